/** How clocks and durations are told to operators. */
import type { Millis } from '../../platform/index.ts';
import type { NodeStatus } from '../contract/index.ts';

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** Such as `3 h 20 min`: two units, rounded. */
export function durationText(ms: Millis): string {
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  const largest = UNITS.findIndex(([, size]) => ms >= size);
  const shown = UNITS.slice(largest, largest + 2);
  const smallest = shown.at(-1)![1];
  let restMs = Math.round(ms / smallest) * smallest;
  const parts: string[] = [];
  for (const [unit, size] of shown) {
    const count = Math.floor(restMs / size);
    restMs -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(' ');
}

/** How a clock is off, such as `700 ms ahead, within 3 ms`. */
export function offsetText({
  clockOffsetMs,
  clockErrorMs,
}: Pick<NodeStatus, 'clockOffsetMs' | 'clockErrorMs'>): string {
  const way = clockOffsetMs > 0 ? 'ahead' : 'behind';
  const within = clockErrorMs === 0 ? '' : `, within ${durationText(clockErrorMs)}`;
  return `${durationText(Math.abs(clockOffsetMs))} ${way}${within}`;
}
