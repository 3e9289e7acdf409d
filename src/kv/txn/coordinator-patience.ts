/** How coordinators wait and ask again, and how keys are divided among groups. */
import {
  type Backoff,
  backoffMs,
  dispositionOf,
  type GroupId,
  isOutcomeUnknown,
  type Millis,
  sleep,
} from '../../platform/index.ts';
import type { CoordinatorParts } from './coordinator-types.ts';

/** On top of what is drawn. */
const LEAST_PAUSE_MS: Millis = 1;
const PAUSE: Backoff = { baseMs: 2, capMs: 100, factor: 2, jitter: 'full' };

/** True when the same question may bring another answer: nothing happened, or what happened will be answered again. */
export const mayAskAgain = (error: unknown): boolean => dispositionOf(error) === 'wait' || isOutcomeUnknown(error);

/** Waits a little, more with each of `tries`, with jitter. */
export function pause(parts: Pick<CoordinatorParts, 'scheduler' | 'random'>, tries: number): Promise<void> {
  return sleep(parts.scheduler, LEAST_PAUSE_MS + backoffMs(PAUSE, tries, parts.random));
}

/**
 * Asks until there is an answer that settles the matter.
 * @param onUnknown told when a question may have been carried out
 * @throws the last error when it is none that passes, or when `deadlineMs` (monotonic) has
 */
export async function persist<T>(
  parts: Pick<CoordinatorParts, 'scheduler' | 'random' | 'clock'>,
  deadlineMs: Millis,
  ask: () => Promise<T>,
  onUnknown?: () => void,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (isOutcomeUnknown(error)) onUnknown?.();
      if (!mayAskAgain(error) || parts.clock.monotonicMs() >= deadlineMs) throw error;
    }
    await pause(parts, tries);
  }
}

/** Keys and bytes of one question: what a group does for it in one go must not hold up what else the group has to do. */
const CHUNK_KEYS = 1_000;
const CHUNK_BYTES = 1024 * 1024;
/** Questions of one transaction that one group works on at a time. */
const CHUNKS_AT_A_TIME = 2;

/** Cuts items into pieces of one question each, at least one. */
export function chunksOf<T>(items: readonly T[], bytesOf: (item: T) => number = () => 0): (readonly T[])[] {
  if (items.length <= 1) return [items];
  const chunks: T[][] = [];
  let chunk: T[] = [];
  let bytes = 0;
  for (const item of items) {
    if (chunk.length === 0) chunks.push(chunk);
    chunk.push(item);
    bytes += bytesOf(item);
    if (chunk.length < CHUNK_KEYS && bytes < CHUNK_BYTES) continue;
    chunk = [];
    bytes = 0;
  }
  return chunks;
}

/**
 * Does work for each part: groups side by side, a few parts of each at a time.
 * @param work must not fail
 * @returns what came of each, in the order of the parts
 */
export async function besideOthers<Part extends { readonly group: GroupId }, T>(
  parts: readonly Part[],
  work: (part: Part) => Promise<T>,
): Promise<T[]> {
  const outcomes = new Array<T>(parts.length);
  const queues = new Map<GroupId, number[]>();
  for (const [at, { group }] of parts.entries()) {
    const queue = queues.get(group);
    if (queue === undefined) queues.set(group, [at]);
    else queue.push(at);
  }
  const drain = async (queue: number[]): Promise<void> => {
    for (let at = queue.shift(); at !== undefined; at = queue.shift()) outcomes[at] = await work(parts[at]!);
  };
  const workers = [...queues.values()].flatMap((queue) => Array.from({ length: CHUNKS_AT_A_TIME }, () => drain(queue)));
  await Promise.all(workers);
  return outcomes;
}

/** Divides items by the group that has their key, in ascending order of groups. */
export function divide<T>(
  items: readonly T[],
  keyOf: (item: T) => Buffer,
  groupOf: (key: Buffer) => GroupId,
): Map<GroupId, T[]> {
  const parts = new Map<GroupId, T[]>();
  for (const item of items) {
    const group = groupOf(keyOf(item));
    const part = parts.get(group);
    if (part === undefined) parts.set(group, [item]);
    else part.push(item);
  }
  return new Map([...parts].sort(([a], [b]) => a - b));
}
