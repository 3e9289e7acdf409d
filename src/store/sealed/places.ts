/** Where the rows of a range lie in an encrypted area, roughly: for estimates of sizes. */
import type { SealedArea } from './areas.ts';
import { behind, commonBeginning } from './ordered-walk.ts';

type Place = readonly [gte: Buffer, lt: Buffer];

/** Bounds of the branches behind a beginning whose next byte is in `[from, to)`; neighbours are put together. */
function branchesOf(area: SealedArea, beginning: Buffer, from: number, to: number): Place[] {
  if (from >= to) return [];
  const hidden = [...area.names.nextBytes(beginning).slice(from, to)].sort((a, b) => a - b);
  const place = area.place(beginning);
  const places: Place[] = [];
  for (let at = 0; at < hidden.length; ) {
    const first = hidden[at]!;
    while (at + 1 < hidden.length && hidden[at + 1] === hidden[at]! + 1) at++;
    const last = Buffer.concat([place, Buffer.from([hidden[at]!])]);
    places.push([Buffer.concat([place, Buffer.from([first])]), behind(last)!]);
    at++;
  }
  return places;
}

/**
 * Bounds between which the rows of `[start, end)` are stored. Looks two bytes behind what all keys of the range begin with: what differs
 * later only is left out.
 */
export function placesOf(area: SealedArea, start: Buffer, end: Buffer): Place[] {
  const shared = commonBeginning(start, end);
  if (shared === 0) return [];
  const beginning = start.subarray(0, shared);
  const isWhole = start.length === shared && behind(beginning)?.equals(end) === true;
  if (isWhole) {
    const place = area.place(beginning);
    return [[place, behind(place)!]];
  }
  const low = start[shared];
  const isBounded = end.length > shared && end.subarray(0, shared).equals(beginning);
  const high = isBounded ? end[shared]! : 256;
  const places = branchesOf(area, beginning, low === undefined ? 0 : low + 1, high);
  if (low !== undefined && low < high) {
    const first = start.subarray(0, shared + 1);
    places.push(...branchesOf(area, first, start[shared + 1] ?? 0, 256));
  }
  if (isBounded && end.length > shared + 1) {
    const last = end.subarray(0, shared + 1);
    places.push(...branchesOf(area, last, 0, end[shared + 1]!));
  }
  return places;
}
