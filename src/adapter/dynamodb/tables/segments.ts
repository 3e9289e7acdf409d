/**
 * Cutting segments in two, and joining them. The right part gets head rows of its own, which lie at its first token: so whoever leads its items leads them
 * too. The left part goes on with those that there were.
 *
 * The cut is a change of the table: from its timestamp on nothing is written to the old head rows for tokens of the right part. Where the left part's
 * records begin to be another shard's is settled after it, at a timestamp that is not below that of the cut: `endOfSegment`.
 *
 * Segments are joined only while no stream of the table has anything to read. A shard of a stream has one parent: were two joined, who reads it behind the
 * one that is named could not know that it has to read the other before, and would see changes of an item out of order.
 */
import type { Millis } from '../../../platform/index.ts';
import type { TableChange } from './catalog.ts';
import {
  type CutSegment,
  isGoing,
  isSameSegment,
  type Segment,
  type SegmentName,
  segmentOf,
  type TableDescriptor,
} from './descriptor.ts';
import type { TableTask } from './job-record.ts';
import { keptStreams } from './streams-of-tables.ts';

/** A change of a table rewrites the fences of all its segments in one transaction. */
export const MAX_SEGMENTS = 256;
/** How long a segment that was cut is remembered: longer than records of streams are there. */
const KEPT_MS: Millis = 26 * 60 * 60 * 1000;

/** Ranges that have gone to another group come back sometimes: segments that are younger stay. */
const JOINED_AFTER_MS: Millis = 60 * 60 * 1000;

/** Which segments there are is decided one change after the other: who reads a segment waits until it is settled where the one before has ended. */
const isSettled = ({ cutSegments = [] }: TableDescriptor): boolean =>
  cutSegments.every(({ untilTs }) => untilTs !== undefined);

/** True when a segment of the table may begin at a token. */
export const mayCut = (table: TableDescriptor, token: number): boolean =>
  !isGoing(table) &&
  table.segments.length < MAX_SEGMENTS &&
  segmentOf(table, token).start !== token &&
  isSettled(table);

/** True when the segment that begins at a token may be joined with the one before. @param nowMs on the wall clock */
export function mayJoin(table: TableDescriptor, token: number, nowMs: Millis): boolean {
  const { start, createdMs } = segmentOf(table, token);
  const isOld = nowMs - createdMs >= JOINED_AFTER_MS;
  return token > 0 && start === token && isOld && !isGoing(table) && isSettled(table) && !isRead(table, nowMs);
}

const isRead = (table: TableDescriptor, nowMs: Millis): boolean => keptStreams(table, nowMs).length > 0;

/**
 * What a table is with a segment that begins at a token. A table that may not be cut there stays as it is.
 * @param nowMs on the wall clock
 */
export function cutSegment(
  table: TableDescriptor,
  tasks: readonly TableTask[],
  token: number,
  nowMs: Millis,
): TableChange {
  if (!mayCut(table, token)) return { table };
  const old = segmentOf(table, token);
  // Ids of shards and the order of their lives come from these times, whatever the clocks of nodes say.
  const times = [
    nowMs,
    ...table.segments.map(({ createdMs }) => createdMs + 1),
    ...table.streams.flatMap(({ enabledMs, disabledMs }) => [enabledMs + 1, (disabledMs ?? 0) + 1]),
  ];
  const cutMs = Math.max(...times);
  const parent: SegmentName = { start: old.start, createdMs: old.createdMs };
  const left: Segment = { start: old.start, createdMs: cutMs, parent };
  const right: Segment = { start: token, createdMs: cutMs, parent };
  const kept = (table.cutSegments ?? []).filter((one) => one.cutMs > nowMs - KEPT_MS);
  return {
    table: {
      ...table,
      segments: table.segments.flatMap((segment) => (segment === old ? [left, right] : [segment])),
      cutSegments: [...kept, { ...old, cutMs }],
    },
    tasks: [
      ...tasks,
      { kind: 'endSegment', segment: parent },
      { kind: 'moveExpiry', segment: { start: token, createdMs: cutMs } },
    ],
  };
}

/**
 * What a table is when the segment that begins at a token is joined with the one before. From the timestamp of this change on nothing is written to its head;
 * what that still has is moved by a task. A table whose segment may not be joined, or that has other tasks, stays as it is.
 * @param nowMs on the wall clock
 */
export function joinSegment(
  table: TableDescriptor,
  tasks: readonly TableTask[],
  token: number,
  nowMs: Millis,
): TableChange {
  if (tasks.length > 0 || !mayJoin(table, token, nowMs)) return { table };
  const segments = table.segments.filter(({ start }) => start !== token);
  return { table: { ...table, segments }, tasks: [{ kind: 'clearHead', token }] };
}

/**
 * Settles where a segment that was cut has ended.
 * @param untilTs not below the timestamp of the cut, and above all that was read of the segment before it
 */
export function endOfSegment(table: TableDescriptor, name: SegmentName, untilTs: bigint): TableDescriptor {
  const ended = table.cutSegments?.find((one) => isSameSegment(one, name));
  if (ended === undefined || ended.untilTs !== undefined) return table;
  const end = String(untilTs);
  const isLeft = ({ start, parent }: Segment): boolean =>
    start === ended.start && parent !== undefined && isSameSegment(parent, ended);
  return {
    ...table,
    segments: table.segments.map((segment) => (isLeft(segment) ? { ...segment, fromTs: end } : segment)),
    cutSegments: table.cutSegments?.map((one): CutSegment => (one === ended ? { ...one, untilTs: end } : one)),
  };
}
