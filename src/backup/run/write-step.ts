/**
 * One more step of the archive of changes: a moment at or after everything that the groups acknowledged, the changes of each group up to it,
 * stored by its leader, and the step that names them. Groups and ranges may come, go and move meanwhile: what counts is that whoever owned a key
 * when it was closed at the moment has stored its changes, for every key there is. Until the step is written there is none; whoever tries again
 * takes a later moment.
 */
import type { GroupId, HlcTimestamp, Millis, Random } from '../../platform/index.ts';
import {
  assertFollows,
  BackupDamagedError,
  BackupError,
  type ChangeLog,
  type ChangePart,
  type ChangeStep,
  newAttempt,
  type StoredStep,
} from '../format/index.ts';
import { forEachOf } from './in-parallel.ts';
import { latestPoint } from './one-moment.ts';

/** What a group says of its changes up to a moment, when they are stored. */
export interface StoredChanges {
  /** Undefined when there were none. */
  readonly part: ChangePart | undefined;
  /** What the group owned when it was closed at the moment, and until the changes were stored. */
  readonly spans: readonly { readonly start: Buffer; readonly end: Buffer | undefined }[];
  /** Its timestamps are below. */
  readonly ceilingMs: Millis;
}

/** Where changes go, and which. */
export interface ChangesOrder {
  readonly chain: string;
  readonly seq: number;
  /** Names what is stored for it; another one each time all groups are asked. */
  readonly attempt: string;
  readonly from: HlcTimestamp;
  readonly to: HlcTimestamp;
}

/** The cluster, as it is asked for changes. */
export interface ChangedCluster {
  /** Groups that are there, by id. */
  groups(): Promise<readonly GroupId[]>;
  /** A moment at or after everything that the group acknowledged. */
  point(group: GroupId): Promise<HlcTimestamp>;
  /** Has them stored. */
  changes(group: GroupId, order: ChangesOrder): Promise<StoredChanges>;
  /** The first key whose changes are archived; what is below is the cluster's own. */
  readonly firstKey: Buffer;
}

export interface WriteStepOptions {
  readonly log: ChangeLog;
  readonly facts: Pick<ChangeStep, 'createdMs' | 'version' | 'clusterName'>;
  readonly cluster: ChangedCluster;
  /** Groups that store at a time. */
  readonly parallel: number;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** How often all groups are asked for one moment, because ranges were on their way from one to another. */
const MAX_ROUNDS = 4;

/** Begins a chain, at the present moment. */
export async function beginChain(
  chain: string,
  { log, facts, cluster }: Pick<WriteStepOptions, 'log' | 'facts' | 'cluster'>,
): Promise<StoredStep> {
  const at = await latestPoint(cluster, await cluster.groups());
  return log.putStep({
    chain,
    seq: 0,
    ...facts,
    from: at,
    to: at,
    before: undefined,
    ceilingMs: 0,
    dataKey: log.place.dataKey?.id,
    parts: [],
  });
}

/**
 * See the top of the file.
 * @returns the step that follows `before`; it may be that of an earlier attempt, or of somebody who was faster
 * @throws BackupError when ranges go on changing hands; BackupDamagedError when the store did not keep what it said it had; what the cluster says
 */
export async function writeStep(before: StoredStep, options: WriteStepOptions): Promise<StoredStep> {
  const { log, facts, cluster, signal } = options;
  const { chain, to: from } = before.step;
  const seq = before.step.seq + 1;
  const to = await latestPoint(cluster, await cluster.groups());
  if (to <= from) throw new BackupError('the time of the groups has not moved on; try again');
  const stored = await changesOfAll({ chain, seq, from, to }, options);
  signal.throwIfAborted();
  const step: ChangeStep = {
    chain,
    seq,
    ...facts,
    from,
    to,
    before: before.sha256,
    ceilingMs: Math.max(...stored.map(({ ceilingMs }) => ceilingMs)),
    dataKey: log.place.dataKey?.id,
    parts: stored
      .flatMap(({ part }) => (part === undefined ? [] : [part]))
      .toSorted((left, right) => left.group - right.group),
  };
  await log.assertStored(step);
  signal.throwIfAborted();
  const written = await log.putStep(step);
  assertFollows(before, written);
  return written;
}

/** Asks every group until their ranges hold every key. */
async function changesOfAll(span: Omit<ChangesOrder, 'attempt'>, options: WriteStepOptions): Promise<StoredChanges[]> {
  const { cluster, parallel, random, signal } = options;
  for (let round = 1; ; round++) {
    const stored: StoredChanges[] = [];
    const order: ChangesOrder = { ...span, attempt: newAttempt(random) };
    await forEachOf(await cluster.groups(), parallel, async (group) => {
      signal.throwIfAborted();
      stored.push(await cluster.changes(group, order));
    });
    const gap = firstGap(
      stored.flatMap(({ spans }) => spans),
      cluster.firstKey,
    );
    if (gap === undefined) return stored;
    if (round === MAX_ROUNDS) {
      throw new BackupError('a range changed hands whenever its changes were to be stored; they are stored later');
    }
  }
}

/** The first key at or behind `firstKey` that is in none of the ranges; undefined when there is none. */
export function firstGap(spans: StoredChanges['spans'], firstKey: Buffer): Buffer | undefined {
  let from = firstKey;
  for (const { start, end } of spans.toSorted((left, right) => Buffer.compare(left.start, right.start))) {
    if (Buffer.compare(start, from) > 0) return from;
    if (end === undefined) return undefined;
    if (Buffer.compare(end, from) > 0) from = end;
  }
  return from;
}

/** @throws BackupDamagedError when the chain does not end where it was left */
export async function resumeChain(log: ChangeLog, chain: string, seq: number, sha256: string): Promise<StoredStep> {
  const found = await log.step(chain, seq);
  if (found.sha256 === sha256) return found;
  throw new BackupDamagedError(`step ${seq} of the archive of changes ${chain} is another one than was written`);
}
