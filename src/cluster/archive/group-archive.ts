/**
 * Copies of groups for an archive: all of one moment, though each is cut by itself. A group is closed at the moment first:
 * its leader's clock is past it and so will be the next one's, whatever was given a timestamp up to it has been applied, and no lock is left
 * whose transaction could still commit at or before it. What is cut then holds every version up to the moment; later ones in it are dropped
 * when it is restored. Changes between two moments are read in the same way.
 */

import { RESERVED_END } from '../../distribution/index.ts';
import { describeGroup, type GroupExecutor, type GroupStateMachine } from '../../kv/index.ts';
import {
  type Clock,
  type ErrorDisposition,
  type GroupId,
  type HlcTimestamp,
  KvorumError,
  type Millis,
  type Scheduler,
  sleep,
  timestampOfMs,
} from '../../platform/index.ts';
import { NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import type { GroupStore, StoreCut } from '../../store/index.ts';
import { type ChangedSpan, type GroupChanges, type Moments, readChanges } from './group-changes.ts';

/** A look at what is still open at the moment. */
const POLL_MS: Millis = 10;

/** What is open at the moment did not end in time. Nothing was changed. */
export class MomentNotClosedError extends KvorumError {
  readonly code = 'MOMENT_NOT_CLOSED';
  readonly disposition: ErrorDisposition = 'wait';
}

/** The past at the moment was let go of before it could be copied; a later moment can be. Nothing was changed. */
export class MomentCollectedError extends KvorumError {
  readonly code = 'MOMENT_COLLECTED';
  readonly disposition: ErrorDisposition = 'wait';
}

/** Ranges changed hands while their changes were read; they have to be read again, where they are now. Nothing was changed. */
export class RangesMovedError extends KvorumError {
  readonly code = 'RANGES_MOVED';
  readonly disposition: ErrorDisposition = 'wait';
}

/** A replica that may be cut. */
export interface ArchivedGroup {
  readonly groupId: GroupId;
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
  readonly executor: GroupExecutor;
}

export interface GroupArchiveOptions {
  readonly find: (group: GroupId) => ArchivedGroup | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** See the top of the file. */
export class GroupArchive {
  private readonly options: GroupArchiveOptions;

  constructor(options: GroupArchiveOptions) {
    this.options = options;
  }

  /**
   * A moment that everything acknowledged by the group so far lies at or before.
   * @throws NotLeaderError when the group is not led here
   */
  async point(group: GroupId): Promise<HlcTimestamp> {
    const { raft, stateMachine, executor } = this.led(group);
    await this.confirm(raft);
    const now = executor.clock.now();
    if (stateMachine.maxTs > now) return stateMachine.maxTs;
    return now;
  }

  /**
   * Closes the group at the moment and cuts it. The caller closes the cut.
   * @throws NotLeaderError, MomentNotClosedError, MomentCollectedError; the clock's error when the moment is too far in the future
   */
  async cut(group: GroupId, at: HlcTimestamp, timeoutMs: Millis): Promise<StoreCut> {
    const { store } = await this.close(group, at, timeoutMs);
    const cut = await store.exportSegments(describeGroup(group));
    if (readableFrom(store) <= at) return cut;
    await cut.close();
    throw new MomentCollectedError(
      `of group ${group} the past at ${at} was let go of before it was copied; begin again`,
    );
  }

  /**
   * Closes the group at the later moment; gives what it owns then, and the versions of that between the two.
   * @param onRead told of bytes that were read from the store where its notes do not reach back so far
   * @throws NotLeaderError, MomentNotClosedError; the clock's error when the moment is too far in the future
   */
  async changes(
    group: GroupId,
    { from, to }: Moments,
    timeoutMs: Millis,
    onRead: (bytes: number) => Promise<void>,
  ): Promise<GroupChanges> {
    const { store, stateMachine, raft, term } = await this.close(group, to, timeoutMs);
    // In the turn in which the group was closed: what it came to own later was not closed.
    const spans = ownedSpans(stateMachine);
    return {
      spans,
      pages: readChanges(store, spans, { from, to }, onRead),
      confirm: async () => {
        const led = this.led(group);
        if (led.raft.status().term !== term) throw new NotLeaderError(raft.leader()?.nodeId);
        await this.confirm(raft);
        if (readableFrom(store) > from) {
          throw new MomentCollectedError(
            `of group ${group} the past at ${from} was let go of before its changes were stored`,
          );
        }
        const now = ownedSpans(stateMachine);
        if (!spans.every((span) => isStillOwned(span, now))) {
          throw new RangesMovedError(`a range of group ${group} was moved while its changes were stored`);
        }
        return { ceilingMs: stateMachine.ceilingMs };
      },
    };
  }

  /** Nothing is committed at or before the moment any more, whoever leads. */
  private async close(
    group: GroupId,
    at: HlcTimestamp,
    timeoutMs: Millis,
  ): Promise<ArchivedGroup & { readonly term: number }> {
    const { clock, scheduler } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const found = this.led(group);
    const { raft, stateMachine, executor } = found;
    const { term } = raft.status();
    executor.clock.observeForeign(at);
    await this.confirm(raft);
    for (;;) {
      if (this.led(group).raft.status().term !== term) throw new NotLeaderError(raft.leader()?.nodeId);
      // The next leader begins at the ceiling: while that is not above the moment, it could commit something below.
      const isReserved = at < timestampOfMs(executor.clock.bound);
      const assigned = executor.oldestAssigned();
      const locked = stateMachine.locks.oldestMinCommitTs();
      // The timestamp before an entry's own is that of its range deletes.
      const isUnderWay = assigned !== undefined && assigned - 1n <= at;
      const isLocked = locked !== undefined && locked <= at;
      if (isReserved && !isUnderWay && !isLocked) return { ...found, term };
      if (clock.monotonicMs() >= deadlineMs) {
        const what = isLocked ? 'a transaction that holds locks' : 'a write under way';
        throw new MomentNotClosedError(`group ${group} cannot be closed at ${at}: ${what} did not end; try again`);
      }
      if (isReserved) await sleep(scheduler, POLL_MS);
      else await (executor.clock.opening() ?? sleep(scheduler, POLL_MS));
    }
  }

  private led(group: GroupId): ArchivedGroup {
    const hosted = this.options.find(group);
    if (hosted?.executor.isServing !== true) throw new NotLeaderError(hosted?.raft.leader()?.nodeId);
    return hosted;
  }

  /** Nobody else leads. */
  private async confirm(raft: RaftGroup): Promise<void> {
    if (!raft.holdsLease()) await raft.readBarrier();
  }
}

const readableFrom = (store: GroupStore): HlcTimestamp => store.readableFrom ?? store.gcThreshold;

/** Without the keys of the cluster itself: a cluster that is restored has the catalog of the backup. */
function ownedSpans({ spanTable }: GroupStateMachine): ChangedSpan[] {
  return spanTable.spans.flatMap(({ start, end, epoch, state }) => {
    const isOwned = state === 'ACTIVE' || state === 'FENCED';
    const from = Buffer.compare(start, RESERVED_END) < 0 ? RESERVED_END : start;
    const isEmpty = end !== undefined && Buffer.compare(end, from) <= 0;
    return isOwned && !isEmpty ? [{ start: from, end, epoch }] : [];
  });
}

/** Nobody else has had any of it: ranges that come back have another epoch. Spans may have been cut or joined. */
function isStillOwned({ start, end, epoch }: ChangedSpan, owned: readonly ChangedSpan[]): boolean {
  let from = start;
  for (const span of owned) {
    if (span.end !== undefined && Buffer.compare(span.end, from) <= 0) continue;
    if (Buffer.compare(span.start, from) > 0 || span.epoch !== epoch) return false;
    if (span.end === undefined || (end !== undefined && Buffer.compare(end, span.end) <= 0)) return true;
    from = span.end;
  }
  return false;
}
