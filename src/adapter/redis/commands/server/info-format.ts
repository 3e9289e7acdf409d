/** How INFO and its kin show numbers. */

/** A line of INFO. */
export type InfoField = readonly [string, string | number];

const KIBI = 1024;

/** Bytes the way INFO's `_human` fields show them. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T'];
  let value = bytes;
  let unit = 0;
  while (value >= KIBI && unit < units.length - 1) {
    value /= KIBI;
    unit++;
  }
  return unit === 0 ? `${bytes}B` : `${value.toFixed(2)}${units[unit]}`;
}
