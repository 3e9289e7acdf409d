/**
 * Periodic work of a group's leader: it deletes expired keys and forgets statuses through the log. A group without work costs one
 * comparison a period. Collection is the whole cluster's matter, see gc/safepoint.ts.
 */
import {
  type Cancel,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { ownerOf } from '../apply/index.ts';
import { encodePurge } from '../entry/index.ts';
import type { GroupExecutor } from './executor.ts';
import { StatusGc } from './status-gc.ts';

/** When and how much. */
export interface MaintenanceOptions {
  /** How often each group is looked at. */
  readonly periodMs: Millis;
  /** Keys deleted by one PURGE_EXPIRED entry. */
  readonly purgeBatchKeys: number;
}

export const DEFAULT_MAINTENANCE: MaintenanceOptions = {
  periodMs: 1000,
  purgeBatchKeys: 1000,
};

/** No expiry is later than this. One below the largest timestamp, which has no successor to scan up to. */
const END_OF_TIME: HlcTimestamp = hlcTimestamp(0xffff_ffff_ffff_fffen);

/** What maintenance needs of a group. */
export interface MaintainedGroup {
  readonly executor: GroupExecutor;
  readonly store: GroupStore;
}

/** Looks after one group. */
class GroupMaintenance {
  private readonly group: MaintainedGroup;
  private readonly options: MaintenanceOptions;
  private readonly forgetting: StatusGc;
  private readonly isPurging: () => boolean;
  private readonly onPurged: (keys: number) => void;
  private running: Promise<void> | undefined;
  /** Applied index at which the store was seen to hold no key with an expiry at all. */
  private noExpiryAt: LogIndex = -1;

  constructor(
    group: MaintainedGroup,
    options: MaintenanceOptions,
    isPurging: () => boolean,
    onPurged: (keys: number) => void,
  ) {
    this.isPurging = isPurging;
    this.onPurged = onPurged;
    this.group = group;
    this.options = options;
    this.forgetting = new StatusGc(group.store, (build) => group.executor.proposeMaintenance(build));
  }

  /** One round; a round that is still under way is left alone. */
  async run(isStopped: () => boolean): Promise<void> {
    if (this.running !== undefined) return;
    const round = this.round(isStopped);
    this.running = round.catch(() => undefined);
    try {
      await round;
    } finally {
      this.running = undefined;
    }
  }

  /** Settles when no round is under way. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async round(isStopped: () => boolean): Promise<void> {
    if (!this.group.executor.isServing) return;
    if (this.isPurging()) await this.purge(isStopped);
    await this.forgetting.run(this.group.executor.clock.now());
  }

  private async purge(isStopped: () => boolean): Promise<void> {
    const { store, executor } = this.group;
    if (store.appliedIndex === this.noExpiryAt) return;
    for (;;) {
      const expired = await store.expired(executor.clock.now(), this.options.purgeBatchKeys);
      // What a move has fenced, or is bringing in, its next owner purges.
      const own = expired.filter(({ key }) => ownerOf(executor.spanTable, key, 'write') !== undefined);
      if (own.length === 0) break;
      if (isStopped() || !(await executor.proposeMaintenance((commitTs) => encodePurge(commitTs, own)))) return;
      this.onPurged(own.length);
      if (expired.length < this.options.purgeBatchKeys) break;
    }
    const index = store.appliedIndex;
    if ((await store.expired(END_OF_TIME, 1)).length === 0) this.noExpiryAt = index;
  }
}

/** Runs the periodic work of all groups of a node. */
export class Maintenance {
  private readonly scheduler: Scheduler;
  private readonly periodMs: Millis;
  private readonly groups = new Set<GroupMaintenance>();
  private readonly settings: MaintenanceOptions;
  private readonly onError: (error: unknown) => void;
  private timer: Cancel | undefined;
  private isStopped = false;
  /** Keys that were deleted because they had expired. */
  expiredKeys = 0;
  /** Whether expired keys are deleted; readers do not see them in any case. */
  isPurging = true;
  private current: Promise<void> = Promise.resolve();

  /** @param onError hears of a round that failed; the next one is made all the same */
  constructor(
    groups: readonly MaintainedGroup[],
    scheduler: Scheduler,
    options: Partial<MaintenanceOptions> | undefined,
    onError: (error: unknown) => void,
  ) {
    this.settings = { ...DEFAULT_MAINTENANCE, ...options };
    this.scheduler = scheduler;
    this.periodMs = this.settings.periodMs;
    this.onError = onError;
    for (const group of groups) this.add(group);
  }

  /** Looks after a group from the next round on. @returns ends that, and settles when no round of it is under way */
  add(group: MaintainedGroup): () => Promise<void> {
    const onPurged = (keys: number): void => {
      this.expiredKeys += keys;
    };
    const maintenance = new GroupMaintenance(group, this.settings, () => this.isPurging, onPurged);
    this.groups.add(maintenance);
    return () => {
      this.groups.delete(maintenance);
      return maintenance.settled();
    };
  }

  start(): void {
    this.timer = this.scheduler.after(this.periodMs, () => this.round());
  }

  private round(): void {
    this.current = this.runAll().finally(() => {
      if (!this.isStopped) this.start();
    });
  }

  private async runAll(): Promise<void> {
    for (const group of this.groups) {
      try {
        await group.run(() => this.isStopped || !this.groups.has(group));
      } catch (error) {
        if (!this.isStopped) this.onError(error);
      }
    }
  }

  /** Settles when the round under way has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.timer?.();
    await this.current;
  }
}
