/**
 * Copies of groups for an archive: all of one moment, though each is cut by itself. A group is closed at the moment first:
 * its leader's clock is past it, whatever was given a timestamp up to it has been applied, and no lock is left whose transaction
 * could still commit at or before it. What is cut then holds every version up to the moment; later ones in it are dropped
 * when it is restored.
 */

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
} from '../../platform/index.ts';
import { NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import type { GroupStore, StoreCut } from '../../store/index.ts';

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
    const { clock, scheduler } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const { raft, stateMachine, executor, store } = this.led(group);
    const { term } = raft.status();
    executor.clock.observeForeign(at);
    await this.confirm(raft);
    for (;;) {
      if (this.led(group).raft.status().term !== term) throw new NotLeaderError(raft.leader()?.nodeId);
      const assigned = executor.oldestAssigned();
      const locked = stateMachine.locks.oldestMinCommitTs();
      const isOpen = (assigned !== undefined && assigned <= at) || (locked !== undefined && locked <= at);
      if (!isOpen) break;
      if (clock.monotonicMs() >= deadlineMs) {
        const what = locked !== undefined && locked <= at ? 'a transaction that holds locks' : 'a write under way';
        throw new MomentNotClosedError(`group ${group} cannot be closed at ${at}: ${what} did not end; try again`);
      }
      await sleep(scheduler, POLL_MS);
    }
    const cut = await store.exportSegments(describeGroup(group));
    if (store.gcThreshold <= at) return cut;
    await cut.close();
    throw new MomentCollectedError(
      `of group ${group} the past at ${at} was let go of before it was copied; begin again`,
    );
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
