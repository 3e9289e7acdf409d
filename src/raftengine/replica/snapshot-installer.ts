/**
 * A snapshot in the place of a replica's state: offered to the core, then installed, or given up. State machine first, then the
 * log: after a crash in between the log is behind the state machine, which `addGroup` repairs, as the mark says that it may; the other
 * order would leave a log that starts after entries that nobody applied. What has begun is carried out also when the replica is closed meanwhile,
 * so that the two go on belonging together.
 */
import { assert, type GroupId, type LogIndex } from '../../platform/index.ts';
import type { GroupLog, SnapshotStage, StateMachine } from '../contract/index.ts';
import type { Ready, SnapshotMeta } from '../core/index.ts';
import type { ReplicaHost } from './replica-host.ts';

/** What is done of it by the replica. */
export interface InstallingReplica {
  readonly groupId: GroupId;
  readonly log: GroupLog;
  readonly stateMachine: StateMachine;
  appliedIndex(): LogIndex;
  isClosed(): boolean;
  /** State machine and log are those of the snapshot. Not called once the replica is closed. */
  installed(ready: Ready, meta: SnapshotMeta): void;
  /** The state machine is what it was, and the log shows nothing that is not stable. Not called once the replica is closed. */
  beginAgain(applied: SnapshotMeta): void;
  /** Nobody knows what the state is, or the log has failed. */
  failed(error: unknown): void;
}

interface Offer {
  readonly meta: SnapshotMeta;
  readonly stage: SnapshotStage;
  readonly outcome: PromiseWithResolvers<boolean>;
}

/** See the top of the file. */
export class SnapshotInstaller {
  private readonly replica: InstallingReplica;
  private readonly host: Pick<ReplicaHost<unknown>, 'counters' | 'installs' | 'settled' | 'writeNow'>;
  private offered: Offer | undefined;
  private installing = false;

  constructor(replica: InstallingReplica, host: SnapshotInstaller['host']) {
    this.replica = replica;
    this.host = host;
  }

  /** The replica is deaf, as if its network were cut. */
  get isInstalling(): boolean {
    return this.installing;
  }

  /** No other may be offered now. */
  get isTaken(): boolean {
    return this.installing || this.offered !== undefined;
  }

  /** @returns settles true when it was installed, false when it is of no use; rejects when it could not be installed */
  offer(meta: SnapshotMeta, stage: SnapshotStage): Promise<boolean> {
    assert(!this.isTaken, 'one snapshot is offered at a time');
    const outcome = Promise.withResolvers<boolean>();
    this.offered = { meta, stage, outcome };
    return outcome.promise;
  }

  /** The core has no use for what was offered, if anything was. */
  discard(): void {
    const { offered } = this;
    if (offered === undefined) return;
    this.offered = undefined;
    const isOver = (): void => offered.outcome.resolve(false);
    offered.stage.discard().then(isOver, isOver);
  }

  /** The core takes what was offered. @param ready what it hands out with that, to be done once the snapshot is in place */
  install(ready: Ready, meta: SnapshotMeta): void {
    const { offered } = this;
    assert(offered !== undefined && offered.meta.index === meta.index, 'only an offered snapshot is installed');
    this.offered = undefined;
    this.installing = true;
    this.carryOut(ready, meta, offered.stage).then(offered.outcome.resolve, offered.outcome.reject);
  }

  private async carryOut(ready: Ready, meta: SnapshotMeta, stage: SnapshotStage): Promise<boolean> {
    try {
      await this.prepare(meta).catch(async (error: unknown) => {
        await stage.discard().catch(() => {});
        throw error;
      });
      await stage.install();
    } catch (error) {
      await this.giveUp(ready, error);
      throw error;
    }
    try {
      await this.complete(ready, meta);
      return !this.replica.isClosed();
    } catch (error) {
      this.replica.failed(error);
      throw error;
    }
  }

  /** What is applied is flushed before it is replaced, and some of it may still be on its way to the log: that comes first. */
  private async prepare(meta: SnapshotMeta): Promise<void> {
    const { replica, host } = this;
    const { groupId, log } = replica;
    await host.installs.begin(groupId, meta.index);
    await host.writeNow({ groupId, hardState: log.hardState(), entries: [], resetTo: undefined });
    replica.stateMachine.logStable(replica.appliedIndex());
  }

  private async complete(ready: Ready, meta: SnapshotMeta): Promise<void> {
    const { replica, host } = this;
    host.counters.snapshotsInstalled++;
    const hardState = ready.hardState ?? replica.log.hardState();
    await host.writeNow({ groupId: replica.groupId, hardState, entries: ready.entries, resetTo: meta });
    host.installs.end(replica.groupId);
    if (replica.isClosed()) return;
    this.installing = false;
    replica.installed(ready, meta);
  }

  /** The old state is in place again, but the core counts on the new one: it begins again, as after a restart. */
  private async giveUp(ready: Ready, error: unknown): Promise<void> {
    const { replica, host } = this;
    const { log, stateMachine } = replica;
    const applied = stateMachine.applied();
    // Proven, not believed: nobody may go on with a state of which it is not known what it is.
    const isOldState = applied.index === replica.appliedIndex() && stateMachine.durableIndex() <= applied.index;
    if (!isOldState) replica.failed(error);
    else host.installs.end(replica.groupId);
    if (replica.isClosed()) return;
    try {
      // The core's promises are kept; that everything up to the snapshot is committed is not true of the old log.
      const { commitIndex } = log.hardState();
      const { hardState } = ready;
      if (hardState !== undefined) {
        const kept = { ...hardState, commitIndex };
        await host.writeNow({ groupId: replica.groupId, hardState: kept, entries: [], resetTo: undefined });
      }
      await host.settled();
      if (replica.isClosed()) return;
      this.installing = false;
      replica.beginAgain(applied);
    } catch (failure) {
      replica.failed(failure);
    }
  }
}
