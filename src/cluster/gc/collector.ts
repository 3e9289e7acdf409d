/**
 * Passes of collection over the stores of a node: a replica drops, by itself and off the hot path, what no read at or above its
 * group's threshold can see. Every replica does it for its own files, so nobody leases anything. Passes begin at times that are
 * spread over a period, so that the replicas of a group do not rewrite their files together, and sooner where much of a store is history; a few run
 * at a time, in slices
 * with pauses between, which are short while nobody asks anything of the node. A pass that was interrupted goes on from its key;
 * the threshold is durable before its first removal, so a crash in between leaves a store that still refuses reads of what is gone.
 */
import {
  type Cancel,
  type Clock,
  type GroupId,
  type HlcTimestamp,
  type Millis,
  NEVER,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { type GroupStatus, Role } from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { StoreGcReport } from './types.ts';

/** When and how much. */
export interface CollectorLimits {
  /** Between passes over one store, plus or minus half. */
  readonly periodMs: Millis;
  /** The same where there is so much history: at least these bytes, and at least this share of the files. A pass reads the whole store. */
  readonly fullPeriodMs: Millis;
  readonly fullBytes: number;
  readonly fullShare: number;
  /** Stores that are collected at a time. */
  readonly concurrency: number;
  /** One slice: how long, and how many bytes of rows it may look at; and the pause after it. */
  readonly sliceMs: Millis;
  readonly sliceBytes: number;
  readonly pauseMs: Millis;
  /** The pause while the node rests: nobody waits for a slice then. */
  readonly restPauseMs: Millis;
  /** The pause while the node holds too much history: collection is then worth more than the last bit of latency. */
  readonly urgentPauseMs: Millis;
  /** A replica that has so many committed entries to apply has more pressing work. */
  readonly maxApplyLag: number;
}

export const DEFAULT_COLLECTOR_LIMITS: CollectorLimits = {
  periodMs: 5 * 60_000,
  fullPeriodMs: 60_000,
  fullBytes: 16 << 20,
  fullShare: 1 / 4,
  concurrency: 2,
  sliceMs: 5,
  sliceBytes: 4 << 20,
  pauseMs: 50,
  restPauseMs: 5,
  urgentPauseMs: 5,
  maxApplyLag: 1_024,
};

/** A replica with its store. */
export interface CollectableGroup {
  readonly groupId: GroupId;
  readonly store: GroupStore;
  status(): GroupStatus;
}

export interface CollectorOptions {
  readonly groups: () => readonly CollectableGroup[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<CollectorLimits>;
  /** Whether the node holds more history than it should; asked between slices. */
  readonly isUrgent?: () => boolean;
  /** Keys that clients read and wrote on this node so far; absent, and it never counts as resting. */
  readonly accesses?: () => number;
  /** Whether others on this machine want its processors: a node does not rest then, although nobody asks anything of it. */
  readonly isBusy?: () => boolean;
  /** Hears of passes that failed; they are begun again. */
  readonly onError: (error: unknown) => void;
}

interface Course {
  /** Monotonic: not before. */
  dueMs: Millis;
  /** Monotonic: nor before this, however much history there is. */
  restsUntilMs: Millis;
  collectedTs: HlcTimestamp;
  passedAtMs: Millis;
  droppedVersions: number;
  isRunning: boolean;
}

/** Looks for due passes this often in a period. */
const LOOKS = 20;
const MAX_LOOK_MS: Millis = 1_000;
/** What a cluster writes by itself does not make a node a busy one. */
const MAX_OPERATIONS_AT_REST = 2;

/** See the top of the file. */
export class StoreCollector {
  private readonly options: CollectorOptions;
  private readonly limits: CollectorLimits;
  private readonly courses = new Map<GroupStore, Course>();
  private readonly running = new Set<Promise<void>>();
  private readonly stopping = new AbortController();
  private cancel: Cancel | undefined;

  constructor(options: CollectorOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_COLLECTOR_LIMITS, ...options.limits };
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  start(): void {
    if (this.isStopped) return;
    this.cancel = this.options.scheduler.after(Math.min(MAX_LOOK_MS, this.limits.periodMs / LOOKS), () => {
      this.look();
      this.start();
    });
  }

  /** Settles when nothing is under way. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.cancel?.();
    await Promise.all(this.running);
  }

  /** Every store is due now. */
  hasten(): void {
    for (const { store } of this.options.groups()) this.courseOf(store).dueMs = this.options.clock.monotonicMs();
  }

  /** How far the stores here are, by group. */
  report(): StoreGcReport[] {
    return this.options.groups().map(({ groupId, store }) => {
      const { collectedTs, passedAtMs, droppedVersions, isRunning } = this.courseOf(store);
      return {
        group: groupId,
        thresholdTs: store.gcThreshold,
        collectedTs,
        passedAtMs,
        droppedVersions,
        overhangBytes: store.pressures?.().overhangBytes ?? 0,
        unreachableBytes: store.pressures?.().lastPass?.unreachableBytes ?? 0,
        isRunning,
      };
    });
  }

  private courseOf(store: GroupStore): Course {
    let course = this.courses.get(store);
    if (course === undefined) {
      const dueMs = this.options.clock.monotonicMs() + this.limits.periodMs * this.options.random.next();
      course = { dueMs, restsUntilMs: 0, collectedTs: NEVER, passedAtMs: 0, droppedVersions: 0, isRunning: false };
      this.courses.set(store, course);
    }
    return course;
  }

  private look(): void {
    const groups = this.options.groups();
    if (this.courses.size > groups.length) {
      const open = new Set(groups.map(({ store }) => store));
      for (const store of this.courses.keys()) if (!open.has(store)) this.courses.delete(store);
    }
    const isUrgent = this.options.isUrgent?.() === true;
    for (const group of groups) {
      const course = this.courseOf(group.store);
      // Nothing can have become garbage since the last pass with this threshold.
      if (course.isRunning || group.store.gcThreshold <= course.collectedTs) continue;
      const nowMs = this.options.clock.monotonicMs();
      const isDue = course.dueMs <= nowMs || (course.restsUntilMs <= nowMs && this.isFull(group.store));
      if (!(isUrgent || isDue) || !this.isCalm(group)) continue;
      if (this.running.size >= this.limits.concurrency) return;
      course.isRunning = true;
      const pass: Promise<void> = this.collect(group, course)
        .catch((error: unknown) => {
          if (!this.isStopped) this.options.onError(error);
        })
        .finally(() => {
          course.isRunning = false;
          const { periodMs, fullPeriodMs } = this.limits;
          const nowMs = this.options.clock.monotonicMs();
          course.dueMs = nowMs + periodMs * (0.5 + this.options.random.next());
          course.restsUntilMs = nowMs + fullPeriodMs * (0.5 + this.options.random.next());
          this.running.delete(pass);
        });
      this.running.add(pass);
    }
  }

  /** So much history waits that a pass is worth it before its time. */
  private isFull(store: GroupStore): boolean {
    const { fullBytes, fullShare } = this.limits;
    const overhangBytes = store.pressures?.().overhangBytes ?? 0;
    return overhangBytes >= fullBytes && overhangBytes >= fullShare * (store.diskBytes?.() ?? 0);
  }

  private async collect(group: CollectableGroup, course: Course): Promise<void> {
    const { limits } = this;
    const { store } = group;
    const threshold = store.gcThreshold;
    // Nothing is known of what goes on here before the first pause.
    let operations = Number.NEGATIVE_INFINITY;
    for (;;) {
      if (this.isStopped || !this.courses.has(store)) return;
      if (this.isCalm(group) && (await store.collectGarbage(limits.sliceMs, limits.sliceBytes))) break;
      const before = operations;
      operations = this.operations();
      await this.pause(operations - before <= MAX_OPERATIONS_AT_REST && this.options.isBusy?.() !== true);
    }
    course.collectedTs = threshold;
    course.passedAtMs = this.options.clock.nowMs();
    course.droppedVersions = store.pressures?.().lastPass?.droppedVersions ?? 0;
  }

  /** Nothing is going on in the group that needs this node's time more. */
  private isCalm(group: CollectableGroup): boolean {
    const { role, commitIndex, appliedIndex, conf, progress } = group.status();
    if (role === Role.Candidate || role === Role.PreCandidate) return false;
    if (commitIndex - appliedIndex > this.limits.maxApplyLag || conf.votersOutgoing.length > 0) return false;
    return progress.every(({ state }) => state !== 'snapshot');
  }

  /** What this node has done for clients so far: keys that were asked for here, and entries that its replicas applied. */
  private operations(): number {
    let operations = this.options.accesses?.() ?? Number.POSITIVE_INFINITY;
    for (const store of this.courses.keys()) operations += store.appliedIndex;
    return operations;
  }

  private pause(isResting: boolean): Promise<void> {
    const { pauseMs, restPauseMs, urgentPauseMs } = this.limits;
    const restedMs = isResting ? restPauseMs : pauseMs;
    const ms = this.options.isUrgent?.() === true ? Math.min(urgentPauseMs, restedMs) : restedMs;
    return sleep(this.options.scheduler, ms, this.stopping.signal);
  }
}
