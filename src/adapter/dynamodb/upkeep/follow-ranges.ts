/**
 * Segments follow ranges. Where rows of a table's items begin to be another group's, a segment is to begin, so that heads and items are led together and a
 * write of an item is one entry again. Until it does, such writes are transactions over two groups. So nobody has to be asked before a range is cut or moved,
 * whoever does it and why. Of a table with a stream a segment is to begin at every border between two tokens, inside a group too: its shards are its ranges.
 *
 * A segment whose border is gone is joined with the one before when no stream has anything to read: what is read of a stream has one parent at most.
 */
import type { KvService } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import { BASE_INDEX, fenceKey, indexRange, tokenIn, tokenPrefixIn } from '../rows/index.ts';
import {
  cutSegment,
  isGoing,
  joinSegment,
  mayCut,
  mayJoin,
  openStream,
  type Segment,
  segmentOf,
  type TableCatalog,
  type TableDescriptor,
} from '../tables/index.ts';

/** With more segments than this none is cut inside a group: what is left is for borders between groups, which cost every write. */
const SEGMENTS_INSIDE_GROUPS = 128;

type Ranges = Pick<KvService, 'groupOf' | 'bordersBetween'>;

/** Tokens at which ranges of a table's items begin. */
interface Borders {
  /** Another group begins. */
  readonly between: readonly number[];
  /** The group stays the same. */
  readonly inside: readonly number[];
}

function bordersOf(kv: Ranges, { id }: TableDescriptor): Borders {
  const { start, end } = indexRange(id, BASE_INDEX);
  const between: number[] = [];
  const inside: number[] = [];
  let group = kv.groupOf(start);
  for (const border of kv.bordersBetween(start, end)) {
    const before = group;
    group = kv.groupOf(border);
    const token = tokenIn(border);
    // A cut in the middle of a partition has its heads on one side in any case.
    if (token === undefined || tokenPrefixIn(border)!.length !== border.length) continue;
    (group === before ? inside : between).push(token);
  }
  return { between, inside };
}

const beginsAt = (table: TableDescriptor, token: number): boolean => segmentOf(table, token).start === token;

/** The tokens at which a segment of a table is to begin and none does; those that cost most first. */
export function missingSegments(kv: Ranges, table: TableDescriptor): number[] {
  const { between, inside } = bordersOf(kv, table);
  const hasRoom = openStream(table) !== undefined && table.segments.length < SEGMENTS_INSIDE_GROUPS;
  return [...between, ...(hasRoom ? inside : [])].filter((token) => !beginsAt(table, token));
}

/** Segments of a table that need not begin where they do, and may be joined with the one before. @param nowMs on the wall clock */
export function spareSegments(kv: Ranges, table: TableDescriptor, nowMs: Millis): Segment[] {
  if (table.segments.length === 1 || !table.segments.some(({ start }) => mayJoin(table, start, nowMs))) return [];
  const { between } = bordersOf(kv, table);
  return table.segments.filter(({ start }, at) => {
    if (!mayJoin(table, start, nowMs) || between.includes(start)) return false;
    const before = table.segments[at - 1]!;
    // Ranges that are cut in the middle of a partition have no segment of their own: heads may lie in another group than the border says.
    return kv.groupOf(fenceKey(table.id, start)) === kv.groupOf(fenceKey(table.id, before.start));
  });
}

/**
 * Lets one segment of a table begin where it should, or be joined that need not: the one after it comes with another look.
 * @returns the table as it is then; undefined when nothing was to be done here
 */
export async function followRanges(
  kv: Ranges & Pick<KvService, 'servesLocally'>,
  catalog: TableCatalog,
  table: TableDescriptor,
  nowMs: Millis,
  deadlineMs: Millis,
): Promise<TableDescriptor | undefined> {
  if (isGoing(table)) return undefined;
  // Whoever leads the heads that there are does it.
  const isHere = (token: number): boolean =>
    kv.servesLocally(kv.groupOf(fenceKey(table.id, segmentOf(table, token).start)));
  const missing = missingSegments(kv, table).find((token) => mayCut(table, token));
  if (missing !== undefined) {
    if (!isHere(missing)) return undefined;
    return catalog.changeById(table.id, deadlineMs, (before, tasks) => cutSegment(before, tasks, missing, nowMs));
  }
  const [spare] = spareSegments(kv, table, nowMs);
  if (spare === undefined || !isHere(spare.start)) return undefined;
  return catalog.changeById(table.id, deadlineMs, (before, tasks) => joinSegment(before, tasks, spare.start, nowMs));
}
