/** Progress as text. */

const CELLS = 24;

/** `[######..................] 25 %` @param share 0 to 1 */
export function progressBar(share: number): string {
  const clipped = Math.min(1, Math.max(0, share));
  const full = Math.floor(clipped * CELLS);
  return `[${'#'.repeat(full)}${'.'.repeat(CELLS - full)}] ${Math.floor(clipped * 100)} %`;
}
