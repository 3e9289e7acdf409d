/**
 * Periodic work of a group's leader: it deletes expired keys and forgets statuses through the log. A group without work costs one
 * comparison a period. Collection is the whole cluster's matter, see gc/safepoint.ts.
 *
 * An adapter may have rows whose expiry calls for work on the object that they belong to. Such a row is not deleted: the work is evaluated like a
 * command, and writes or deletes the row itself. Where it fails for good, the row is deleted as all others are.
 */
import {
  type Cancel,
  dispositionOf,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { ownerOf } from '../apply/index.ts';
import type { KeyView } from '../contract/index.ts';
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

/** Work evaluated by one `Promise.all`: one after the other would wait for the log each time, all at once would hold the event loop. */
const WORK_TOGETHER = 16;
/** So often work that calls for more work at once is done in one round of a group. */
const MAX_WORK_ROUNDS = 32;

/** No expiry is later than this. One below the largest timestamp, which has no successor to scan up to. */
const END_OF_TIME: HlcTimestamp = hlcTimestamp(0xffff_ffff_ffff_fffen);

/** The work that the expiry of a row calls for; undefined for a row that just goes. It must write or delete the row. */
export type ExpiryWork = (key: Buffer) => ((view: KeyView) => void) | undefined;

interface ExpiredRow {
  readonly key: Buffer;
  readonly commitTs: HlcTimestamp;
}

/** What maintenance needs of a group. */
export interface MaintainedGroup {
  readonly executor: GroupExecutor;
  readonly store: GroupStore;
}

/** What the maintenance of one group tells and asks. */
interface MaintenanceHooks {
  isPurging(): boolean;
  onPurged(keys: number): void;
  readonly expiryWork: ExpiryWork | undefined;
  /** Hears of work that failed for good. */
  onFailure(error: unknown): void;
}

/** Looks after one group. */
class GroupMaintenance {
  private readonly group: MaintainedGroup;
  private readonly options: MaintenanceOptions;
  private readonly forgetting: StatusGc;
  private readonly hooks: MaintenanceHooks;
  private running: Promise<void> | undefined;
  /** Applied index at which the store was seen to hold no key with an expiry at all. */
  private noExpiryAt: LogIndex = -1;

  constructor(group: MaintainedGroup, options: MaintenanceOptions, hooks: MaintenanceHooks) {
    this.hooks = hooks;
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
    if (this.hooks.isPurging()) await this.purge(isStopped);
    await this.forgetting.run(this.group.executor.clock.now());
  }

  /** Does the work that expired rows call for. @returns how much was done, and the rows that are to be deleted */
  private async work(
    expired: readonly ExpiredRow[],
    isStopped: () => boolean,
  ): Promise<{ readonly plain: readonly ExpiredRow[]; readonly done: number }> {
    const calls = expired.map((row) => ({ row, work: this.hooks.expiryWork?.(row.key) }));
    const plain = calls.filter(({ work }) => work === undefined).map(({ row }) => row);
    const open = calls.filter(({ work }) => work !== undefined);
    const { executor } = this.group;
    const { onFailure } = this.hooks;
    let done = 0;
    for (let from = 0; from < open.length && !isStopped(); from += WORK_TOGETHER) {
      const together = open.slice(from, from + WORK_TOGETHER);
      const results = await Promise.all(together.map(({ work }) => evaluateWork(executor, work!, onFailure)));
      for (const [index, result] of results.entries()) {
        if (result === 'done') done++;
        else if (result === 'never') plain.push(together[index]!.row);
      }
    }
    return { plain, done };
  }

  private async purge(isStopped: () => boolean): Promise<void> {
    const { store, executor } = this.group;
    if (store.appliedIndex === this.noExpiryAt) return;
    for (let workRounds = 0; workRounds < MAX_WORK_ROUNDS; ) {
      const expired = await store.expired(executor.clock.now(), this.options.purgeBatchKeys);
      // What a move has fenced, or is bringing in, its next owner purges.
      const own = expired.filter(({ key }) => ownerOf(executor.spanTable, key, 'write') !== undefined);
      const { plain, done } = await this.work(own, isStopped);
      if (done > 0) workRounds++;
      if (plain.length > 0) {
        if (isStopped() || !(await executor.proposeMaintenance((commitTs) => encodePurge(commitTs, plain)))) return;
        executor.keysPurged(plain.map(({ key }) => key));
        this.hooks.onPurged(plain.length);
      }
      const isMore = expired.length === this.options.purgeBatchKeys && plain.length > 0;
      if (!isMore && done === 0) break;
    }
    const index = store.appliedIndex;
    if ((await store.expired(END_OF_TIME, 1)).length === 0) this.noExpiryAt = index;
  }
}

/** What became of work: whether it may be tried again, if it was not done. */
type WorkResult = 'done' | 'later' | 'never';

function evaluateWork(
  executor: GroupExecutor,
  work: (view: KeyView) => void,
  onFailure: (error: unknown) => void,
): Promise<WorkResult> {
  return new Promise((resolve) =>
    executor.submit({
      evaluate: work,
      complete: (error) => {
        const disposition = dispositionOf(error);
        // What no layer declares is a bug, which would come again each time.
        const isFinal = disposition === undefined || disposition === 'final';
        if (error !== undefined && isFinal) onFailure(error);
        resolve(error === undefined ? 'done' : isFinal ? 'never' : 'later');
      },
    }),
  );
}

/** Runs the periodic work of all groups of a node. */
export class Maintenance {
  private readonly scheduler: Scheduler;
  private readonly periodMs: Millis;
  private readonly groups = new Set<GroupMaintenance>();
  private readonly settings: MaintenanceOptions;
  private readonly onError: (error: unknown) => void;
  private readonly expiryWork: ExpiryWork | undefined;
  private timer: Cancel | undefined;
  private isStopped = false;
  /** Keys that were deleted because they had expired. */
  expiredKeys = 0;
  /** Whether expired keys are deleted; readers do not see them in any case. */
  isPurging = true;
  private current: Promise<void> = Promise.resolve();

  /**
   * @param onError hears of a round that failed; the next one is made all the same
   * @param expiryWork left out: all expired rows just go
   */
  constructor(
    groups: readonly MaintainedGroup[],
    scheduler: Scheduler,
    options: Partial<MaintenanceOptions> | undefined,
    onError: (error: unknown) => void,
    expiryWork?: ExpiryWork,
  ) {
    this.expiryWork = expiryWork;
    this.settings = { ...DEFAULT_MAINTENANCE, ...options };
    this.scheduler = scheduler;
    this.periodMs = this.settings.periodMs;
    this.onError = onError;
    for (const group of groups) this.add(group);
  }

  /** Looks after a group from the next round on. @returns ends that, and settles when no round of it is under way */
  add(group: MaintainedGroup): () => Promise<void> {
    const maintenance = new GroupMaintenance(group, this.settings, {
      isPurging: () => this.isPurging,
      onPurged: (keys) => {
        this.expiredKeys += keys;
      },
      expiryWork: this.expiryWork,
      onFailure: this.onError,
    });
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
