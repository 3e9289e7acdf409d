/**
 * Background work that the cluster does once and not on every node. A unit is a row of the catalog that one node at a time
 * leases: it renews the lease while it works, and gives the unit back with its notes when it is through. A node that dies is
 * not asked for anything: its lease runs out, and whoever takes the unit next goes on from the last notes.
 */
import { CatalogError, type ClusterState, MAX_LEASE_MS, type WorkRow } from '../../distribution/index.ts';
import {
  assert,
  type Cancel,
  type Clock,
  type Millis,
  type NodeId,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import type { CatalogClient } from '../contract/index.ts';

/** What a unit of work is given. */
export interface WorkContext {
  /** Aborted when the lease is lost or the node stops: nothing more may be done. */
  readonly signal: AbortSignal;
  /** Notes of whoever had the unit before; empty at first. At most 4 KiB. */
  readonly notes: Buffer;
  /** Stores notes with the lease, for whoever goes on. @throws CatalogError when the unit is somebody else's by now */
  save(notes: Buffer): Promise<void>;
}

/** One unit of work. */
export interface WorkUnit {
  /** Such as `signposts` or `gc/7`; the same on all nodes. */
  readonly name: string;
  /** Whether there is something to do, as far as this can be told from the last notes; undefined when it was never done. */
  isDue(notes: Buffer | undefined): boolean;
  /** Does it, in small steps. @returns the notes for the next time */
  run(context: WorkContext): Promise<Buffer>;
}

/** What became of an attempt at a unit: somebody else has it (`held`), or it was left for later. */
export type AttendResult = 'done' | 'held' | 'left';

/** Periods of a runner. */
export interface WorkTimes {
  /** Between looks for something to do, plus or minus a fifth so that nodes do not come all at once. */
  readonly lookMs: Millis;
  /** What a node that dies is waited for. */
  readonly leaseMs: Millis;
}

export const DEFAULT_WORK_TIMES: WorkTimes = { lookMs: 30_000, leaseMs: 30_000 };

/** Renewed this often during a lease. */
const RENEWALS = 3;
/** Last part of a lease in which nothing is done any more: clocks of nodes differ, and so do the leaders' that judge it. */
const MARGIN = 1 / 4;
const JITTER = 0.2;
const REQUEST_MS: Millis = 5_000;

export interface WorkRunnerOptions {
  readonly nodeId: NodeId;
  readonly incarnation: Buffer;
  readonly catalog: Pick<CatalogClient, 'run' | 'clusterState'>;
  /** The units that this node could take now. */
  readonly units: () => readonly WorkUnit[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly times?: Partial<WorkTimes>;
  /** Asked at each look: whether to ask the catalog at all. Default: always. */
  readonly mayLook?: () => boolean;
  /** A unit failed; it is tried again, here or elsewhere. */
  readonly onError: (unit: string, error: unknown) => void;
}

/** A lease that this node holds. */
interface Held {
  readonly unit: WorkUnit;
  readonly abort: AbortController;
  /** By the monotonic clock of this node, margin taken off. */
  untilMs: Millis;
  cancelRenewal: Cancel;
  cancelEnd: Cancel;
}

/** See the top of the file. Works on one unit at a time. */
export class WorkRunner {
  private readonly options: WorkRunnerOptions;
  private readonly times: WorkTimes;
  private cancel: Cancel | undefined;
  private isStopped = false;
  private held: Held | undefined;
  private round: Promise<void> = Promise.resolve();

  constructor(options: WorkRunnerOptions) {
    this.options = options;
    this.times = { ...DEFAULT_WORK_TIMES, ...options.times };
    assert(this.times.leaseMs <= MAX_LEASE_MS, 'a lease is as short as the catalog allows');
  }

  /** The unit that this node works on; undefined for none. */
  get unitUnderWay(): string | undefined {
    return this.held?.unit.name;
  }

  start(): void {
    this.schedule();
  }

  /** Aborts what is under way and settles when it has ended and the unit was given back, as far as that is possible. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.cancel?.();
    this.held?.abort.abort(new Error('the node stops'));
    await this.round;
  }

  /**
   * Does a unit now, whether it is due or not, after what is under way here.
   * @throws LeaderUnavailableError and the like when the catalog cannot be asked; what the unit threw
   */
  async runNow(name: string): Promise<AttendResult> {
    const unit = this.options.units().find((candidate) => candidate.name === name);
    assert(unit !== undefined, `there is no unit of work ${name} here`);
    const asked: WorkUnit = { name, isDue: () => true, run: (context) => unit.run(context) };
    let failure: unknown;
    const mine = this.round.then(() =>
      this.attend(asked, (error) => {
        failure = error;
      }),
    );
    this.round = mine.then(() => undefined);
    const result = await mine;
    if (failure !== undefined) throw failure;
    return result;
  }

  private schedule(): void {
    if (this.isStopped) return;
    const delayMs = this.times.lookMs * (1 + JITTER * (2 * this.options.random.next() - 1));
    this.cancel = this.options.scheduler.after(delayMs, () => {
      this.round = this.round.then(() => this.look()).finally(() => this.schedule());
    });
  }

  private async look(): Promise<void> {
    if (this.options.mayLook?.() === false) return;
    let clusterState: ClusterState;
    try {
      // Leases are not news that nodes are told, so the catalog is asked.
      clusterState = await this.options.catalog.clusterState(REQUEST_MS);
    } catch {
      // Nobody leads the catalog: nobody could be given a lease either.
      return;
    }
    // Before its first heartbeat is taken a node is given nothing; one that is refused hears why from its heartbeat.
    if (!this.isMember(clusterState)) return;
    const rows = clusterState.work;
    for (const unit of this.options.units()) {
      if (this.isStopped) return;
      const row = rows.find(({ name }) => name === unit.name);
      const isFree = row?.holder === undefined || row.leaseUntilMs <= this.options.clock.nowMs() || this.isOwn(row);
      if (!isFree || !unit.isDue(row?.progress)) continue;
      await this.attend(unit, (error, wasLeased) => {
        // That nobody leads is not news.
        if (wasLeased || error instanceof CatalogError) this.options.onError(unit.name, error);
      });
    }
  }

  private isMember({ nodes }: ClusterState): boolean {
    const { nodeId: self, incarnation } = this.options;
    return nodes.some((row) => row.nodeId === self && row.incarnation.equals(incarnation));
  }

  private isOwn({ holder, incarnation }: WorkRow): boolean {
    return holder === this.options.nodeId && incarnation?.equals(this.options.incarnation) === true;
  }

  /** Leases a unit, does it, and gives it back. @param onError hears why nothing, or not all, was done */
  private async attend(unit: WorkUnit, onError: (error: unknown, wasLeased: boolean) => void): Promise<AttendResult> {
    const { catalog, nodeId: node, incarnation } = this.options;
    const { name } = unit;
    const askedMs = this.options.clock.monotonicMs();
    let notes: Buffer;
    try {
      notes = (await this.lease(name, undefined)).progress;
    } catch (error) {
      if (error instanceof CatalogError && error.code === 'WORK_HELD') return 'held';
      onError(error, false);
      return 'left';
    }
    const held = this.hold(unit, askedMs);
    let progress: Buffer | undefined;
    try {
      // Somebody did it between the look and the lease.
      if (!held.abort.signal.aborted && unit.isDue(notes)) {
        progress = await unit.run({ signal: held.abort.signal, notes, save: (saved) => this.renew(held, saved) });
      }
    } catch (error) {
      if (!held.abort.signal.aborted) onError(error, true);
    }
    held.cancelRenewal();
    held.cancelEnd();
    this.held = undefined;
    try {
      await catalog.run({ kind: 'releaseWork', name, node, incarnation, isDone: false, progress }, REQUEST_MS);
    } catch (error) {
      const isOver = error instanceof CatalogError && error.code === 'WORK_NOT_HELD';
      // Not given back, it runs out.
      if (!isOver && !this.isStopped) onError(error, true);
    }
    return progress === undefined ? 'left' : 'done';
  }

  private lease(name: string, progress: Buffer | undefined): Promise<WorkRow> {
    const { catalog, nodeId: node, incarnation } = this.options;
    const { leaseMs } = this.times;
    return catalog.run(
      { kind: 'leaseWork', name, node, incarnation, leaseMs, progress },
      Math.min(REQUEST_MS, leaseMs),
    );
  }

  /** @param askedMs when the lease was asked for: it is not shorter than from then on */
  private hold(unit: WorkUnit, askedMs: Millis): Held {
    const held: Held = {
      unit,
      abort: new AbortController(),
      untilMs: 0,
      cancelRenewal: () => undefined,
      cancelEnd: () => undefined,
    };
    this.held = held;
    this.extend(held, askedMs);
    if (this.isStopped) held.abort.abort(new Error('the node stops'));
    return held;
  }

  private extend(held: Held, askedMs: Millis): void {
    const { clock, scheduler } = this.options;
    const { leaseMs } = this.times;
    held.untilMs = Math.max(held.untilMs, askedMs + leaseMs * (1 - MARGIN));
    held.cancelEnd();
    held.cancelRenewal();
    const leftMs = held.untilMs - clock.monotonicMs();
    if (leftMs <= 0) {
      this.lose(held, new Error('the lease was granted too late'));
      return;
    }
    held.cancelEnd = scheduler.after(leftMs, () => this.lose(held, new Error('the lease ran out')));
    held.cancelRenewal = scheduler.after(leaseMs / RENEWALS, () => {
      this.renew(held, undefined).catch(() => {
        // Once more, as long as the lease lasts.
        if (this.held !== held || held.abort.signal.aborted) return;
        held.cancelRenewal = scheduler.after(leaseMs / RENEWALS / 4, () => {
          this.renew(held, undefined).catch(() => undefined);
        });
      });
    });
  }

  private async renew(held: Held, progress: Buffer | undefined): Promise<void> {
    const askedMs = this.options.clock.monotonicMs();
    held.abort.signal.throwIfAborted();
    try {
      await this.lease(held.unit.name, progress);
    } catch (error) {
      if (error instanceof CatalogError) this.lose(held, error);
      throw error;
    }
    if (this.held === held && !held.abort.signal.aborted) this.extend(held, askedMs);
  }

  private lose(held: Held, reason: Error): void {
    held.cancelRenewal();
    held.cancelEnd();
    held.abort.abort(reason);
  }
}
