/**
 * The leader's side of one group: evaluates operations in arrival order, and lets replies go once everything that they depend on is
 * committed and applied. The `Sequencer` gathers their effects into entries; from a turn's timestamp to its entry nothing awaits.
 */
import type { SpanTable } from '../../distribution/index.ts';
import { assert, type HlcTimestamp, type Millis, type NodeId, type Scheduler } from '../../platform/index.ts';
import {
  BusyError,
  type LeadershipEvent,
  NotLeaderError,
  type ProposalOutcome,
  type RaftGroup,
} from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import {
  AwaitedKeys,
  type ChangeListener,
  EvaluationTooLongError,
  type Operation,
  OvertakenError,
  type ScanPage,
  type ScanRequest,
  type SpanExecutor,
  WaitEndedError,
} from '../contract/index.ts';
import { encodeFence, encodeLease } from '../entry/index.ts';
import {
  type Authority,
  type FenceCommand,
  type FenceReply,
  GroupClock,
  type RenewalOutcome,
  renewalOutcome,
} from '../time/index.ts';
import { complete } from './completion.ts';
import { EvaluationBudget, effectsTooLarge } from './evaluation-budget.ts';
import {
  DEFAULT_EXECUTOR_LIMITS,
  type ExecutorLimits,
  type ExecutorStats,
  type GroupExecutorOptions,
} from './executor-options.ts';
import { GroupReads } from './group-reads.ts';
import { LongReads } from './long-reads.ts';
import { OpenReads } from './open-reads.ts';
import { Overlay } from './overlay.ts';
import { PartedOperations } from './parted-operations.ts';
import { ReadConfirmer } from './read-confirmer.ts';
import { Sequencer } from './sequencer.ts';
import { Settlements } from './settlements.ts';
import { comesAfter, Overtaken } from './source-order.ts';
import { LeaderSpans } from './span-executor.ts';
import { SpanGate } from './span-gate.ts';
import { NO_SOURCES, newestOf, Pending, type Source } from './turn-entry.ts';
import { TurnLoad } from './turn-load.ts';
import { LeaderTxns } from './txn-participant.ts';
import { CommandView } from './view.ts';
import { OperationWaits } from './waits.ts';

/** Stands for an operation that waits for keys, behind what it has written before. */
const UNHEARD: Operation<unknown> = { evaluate: () => undefined, complete: () => undefined };

/** Evaluates, sequences and answers for one group; idle unless this node leads it. */
export class GroupExecutor {
  private readonly nodeId: NodeId;
  private readonly raft: RaftGroup;
  private readonly stateMachine: GroupStateMachine;
  private readonly store: GroupStore;
  private readonly scheduler: Scheduler;
  private readonly limits: ExecutorLimits;
  private readonly overlay = new Overlay();
  private readonly gate: SpanGate;
  private readonly budget: EvaluationBudget;
  private readonly load: TurnLoad;
  private readonly view: CommandView;
  private readonly confirmer: ReadConfirmer;
  private readonly sequencer: Sequencer;
  private serving = false;
  /** Operations that must not take effect any more: later ones of their source have run. */
  private readonly overtaken = new Overtaken();
  private operationCount = 0;
  readonly reads: GroupReads;
  private readonly longReads: LongReads;
  private readonly parted: PartedOperations;
  private readonly settlements: Settlements;
  private readonly waits: OperationWaits;
  private readonly changes: ChangeListener | undefined;
  /** What coordinators of transactions ask of this group. */
  readonly txns: LeaderTxns;
  /** What moves ask of this group. */
  readonly spans: SpanExecutor;
  /** The timestamps of this group, while this node leads it. */
  readonly clock: GroupClock;

  constructor(options: GroupExecutorOptions) {
    this.nodeId = options.nodeId;
    this.raft = options.raft;
    this.stateMachine = options.stateMachine;
    this.store = options.store;
    this.scheduler = options.scheduler;
    this.limits = { ...DEFAULT_EXECUTOR_LIMITS, ...options.limits };
    this.gate = new SpanGate(() => options.stateMachine.spanTable, options.admission);
    const nowMs = () => options.hlc.monotonicMs();
    this.budget = new EvaluationBudget(this.limits, nowMs);
    const { limits, scheduler } = this;
    this.load = new TurnLoad({ limits, nowMs, scheduler, turn: options.turn, onTurn: () => this.drainWaiting() });
    const { locks } = options.stateMachine;
    this.view = new CommandView(this.store, this.overlay, this.gate, locks, this.budget, options.onAccess);
    this.confirmer = new ReadConfirmer(this.raft, this.scheduler, () => this.sequencer.isForeseen);
    this.clock = new GroupClock({
      hlc: options.hlc,
      limits: options.clockLimits ?? {},
      replicated: options.stateMachine,
      propose: (ceilingMs, done) => this.proposeLease(ceilingMs, done),
      onRenewed: (failure) => this.onRenewed(failure),
      notLeader: () => this.notLeader(),
    });
    this.sequencer = new Sequencer({
      raft: this.raft,
      clock: this.clock,
      scheduler: this.scheduler,
      nowMs,
      limits: this.limits,
      overlay: this.overlay,
      refusal: () => (this.serving ? undefined : this.notLeader()),
      onApplied: (entry, units, refusals) => this.settlements.applied(entry, units, refusals),
      onAbandoned: (entry, error) => this.settlements.abandoned(entry, error),
      onRoom: () => {
        this.parted.room();
        this.drainWaiting();
      },
      onTurnEnd: () => this.load.end(),
    });
    const shared = {
      stateMachine: this.stateMachine,
      store: this.store,
      gate: this.gate,
      catchUp: () => this.catchUp(),
      readTimestamp: (at?: HlcTimestamp) => this.sequencer.readTimestamp(at),
      settleLocks: (start: Buffer, end: Buffer, readTs: HlcTimestamp) => this.txns.settleLocks(start, end, readTs),
      openReads: new OpenReads(),
      clock: this.clock,
      scheduler,
      stillLeads: () => this.stillLeads(),
      holdsLease: () => this.serving && this.raft.holdsLease(),
    };
    this.reads = new GroupReads({ ...shared, onAccess: options.onAccess });
    this.waits = new OperationWaits({
      locks: this.stateMachine.locks,
      scheduler: this.scheduler,
      nowMs: () => options.hlc.monotonicMs(),
      maxRangeWaitMs: this.limits.maxRangeWaitMs,
      maxWaiters: this.limits.maxWaiters,
      mayRetry: () => this.serving && this.sequencer.mayDraw(),
      mayStart: (isReader) => this.mayStart(isReader),
      evaluate: (operation, tries) => this.evaluate(operation, tries),
      onReady: () => this.drainWaiting(),
    });
    const { sequencer, waits, confirmer } = this;
    this.parted = new PartedOperations({
      ...shared,
      limits,
      nowMs,
      sequencer,
      waits,
      confirmer,
      newBudget: () => new EvaluationBudget(limits, nowMs),
      newView: (budget) => new CommandView(this.store, this.overlay, this.gate, locks, budget, options.onAccess),
      onRepeated: () => this.settlements.repeated(),
    });
    this.settlements = new Settlements({
      waits,
      confirmer,
      sequencer,
      overtaken: this.overtaken,
      parted: this.parted,
      maxTries: limits.maxTries,
      isServing: () => this.serving,
      notLeader: () => this.notLeader(),
      evaluate: (operation, tries) => this.evaluate(operation, tries),
    });
    this.longReads = new LongReads({
      ...shared,
      onAccess: options.onAccess,
      waits: this.waits,
      objects: options.objects,
      evaluator: options.evaluator,
      limits: this.limits,
      isOvertaking: (operation) => comesAfter(operation, this.sequencer.underWay()),
    });
    const propose = (build: (commitTs: HlcTimestamp) => Buffer, isUrgent: boolean) =>
      sequencer.proposeAside(build, isUrgent ? 'urgent' : 'usual');
    this.spans = new LeaderSpans({
      ...shared,
      propose,
      onChanged: () => this.waits.rangesChanged(),
    });
    this.txns = new LeaderTxns({
      ...shared,
      reads: this.reads,
      waits: this.waits.locks,
      coming: this.waits.coming,
      parted: this.parted,
      now: () => options.hlc.peek(),
      propose,
      submit: (operation) => this.submit(operation as Operation<unknown>),
      anchorsStatuses: options.anchorsStatuses ?? (() => false),
    });
    this.changes = options.changes;
    this.listenToChanges();
    this.stateMachine.listenToLeadership((event) => this.onLeadership(event));
  }

  /** Which keys the group owns as of the applied index; on any replica. */
  get spanTable(): SpanTable {
    return this.stateMachine.spanTable;
  }

  /** Which oracle the group listens to. */
  get authority(): Authority {
    return this.stateMachine.authority;
  }

  /** How far the group's timestamps have come as of the applied index; on any replica. */
  timeState(): FenceReply {
    return this.stateMachine.timeState(true);
  }

  /** Takes one step of a change of the authority through the log. @throws NotLeaderError, OutcomeUnknownError */
  fence(command: FenceCommand): Promise<FenceReply> {
    let release: (() => void) | undefined;
    const reply = this.sequencer.proposeAside(() => {
      release = this.clock.holdCommitted();
      return encodeFence(command);
    }, 'urgent') as Promise<FenceReply>;
    return reply.finally(() => release?.());
  }

  /** True while this node leads the group and has caught up with its own term. */
  get isServing(): boolean {
    return this.serving;
  }

  /** The smallest timestamp that something on its way was given; undefined: nothing is on its way. */
  oldestAssigned(): HlcTimestamp | undefined {
    return this.sequencer.oldestAssigned;
  }

  stats(): ExecutorStats {
    return {
      operations: this.operationCount,
      entries: this.sequencer.entries,
      conflicts: this.settlements.conflicts,
      inflightEntries: this.sequencer.inflightEntries,
      inflightBytes: this.sequencer.inflightBytes,
      waitingOperations: this.waits.queue.size,
      keyWaiters: this.waits.keys.size,
    };
  }

  /** Evaluates an operation in call order. It may be completed before this returns: when it only read applied state under a lease, or is refused. */
  submit(operation: Operation<unknown>): void {
    if (!this.serving) {
      complete(operation, this.notLeader(), undefined);
      return;
    }
    const isReader = this.waits.mayPass(operation);
    const { queue } = this.waits;
    if ((isReader ? queue.passingCount : queue.size) > 0 || !this.mayStart(isReader)) {
      if (queue.waitingCount >= this.limits.maxWaitingOperations) {
        complete(operation, new BusyError('too many operations wait for the group; try again later'), undefined);
      } else {
        queue.add(operation, isReader);
        if (!this.sequencer.mayDraw()) this.clock.request();
      }
      return;
    }
    this.evaluate(operation, 1);
  }

  /** Whether something that was never evaluated may be evaluated now. What only reads needs no room for an entry. */
  private mayStart(isReader = false): boolean {
    return this.serving && this.load.mayBegin() && (isReader || !this.sequencer.isFull()) && this.sequencer.mayDraw();
  }

  private notLeader(): NotLeaderError {
    const leader = this.raft.leader()?.nodeId;
    return new NotLeaderError(leader === this.nodeId ? undefined : leader);
  }

  /** See `KvService.endWait`; the operation is marked already. */
  endWait(operation: Operation<unknown>): void {
    this.waits.keys.end(operation);
  }

  /** Keys that had expired were deleted: whoever waits for one looks at it. */
  keysPurged(keys: readonly Buffer[]): void {
    this.waits.keys.purged(keys);
  }

  /** Looks at the keys of an operation that waits for them. */
  wakeWait(operation: Operation<unknown>): void {
    this.waits.keys.wake(operation);
    this.drainWaiting();
  }

  private evaluate(operation: Operation<unknown>, tries: number): void {
    if (operation.wait?.isEnded === true) {
      complete(operation, new WaitEndedError(), undefined);
      return;
    }
    if (!this.sequencer.mayDraw()) {
      this.waits.queue.addRetry(operation, tries);
      this.clock.request();
      return;
    }
    if (this.waits.order.size > 0 && this.waits.order.holds(operation, tries)) return;
    this.operationCount++;
    if (this.parted.takes(operation, tries)) {
      this.parted.start(operation, tries);
      return;
    }
    const view = this.view;
    view.begin(this.sequencer.turnTimestamp(), this.sequencer.open);
    this.budget.begin(operation);
    this.load.begin(operation);
    let reply: unknown;
    let error: Error | undefined;
    try {
      reply = operation.evaluate(view);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    const { excess } = this.budget;
    this.load.add(this.budget.touchedRows);
    if (excess !== undefined) error = excess;
    const isWriter = error === undefined && (view.writes.length > 0 || view.ranges.length > 0);
    if (isWriter) view.checkReadOwnership();
    const isStopped = view.refusal !== undefined || view.lock !== undefined || error !== undefined;
    const awaited = reply instanceof AwaitedKeys && !isStopped ? reply : undefined;
    if (operation.wait !== undefined && awaited === undefined) this.waits.keys.leave(operation);
    if (view.refusal !== undefined) {
      this.waits.forRange(operation, tries, view.refusal);
      return;
    }
    if (tries > 1 && this.overtaken.has(operation)) {
      complete(
        operation,
        new OvertakenError('a later operation of the same source has run on one of its keys'),
        undefined,
      );
    } else if (excess !== undefined && !(excess instanceof EvaluationTooLongError)) {
      this.longReads.start(operation, tries);
      return;
    } else if (view.lock !== undefined) {
      this.waits.forLock(operation, tries, view.lock);
      return;
    } else if (this.parted.heldCount > 0 && this.parted.bars(operation, tries, view, isWriter)) {
      return;
    } else if (isWriter && this.waits.coming.size > 0 && this.waits.coming.meets(view)) {
      this.waits.forComing(operation, tries);
      return;
    } else if (isWriter && (view.needsLaterEntry || view.isBelowFloor)) {
      // The range may have come with timestamps that are ahead of this turn's.
      this.clock.observe(view.floorTs);
      this.sequencer.closeEntry();
      this.evaluate(operation, tries);
      return;
    } else if (isWriter) {
      if (!this.addWriter(operation, tries, reply, awaited)) return;
    } else if (awaited !== undefined) {
      this.wait(operation, awaited);
    } else if (view.dependencies.length === 0) {
      this.confirmer.confirm(operation, error, reply);
    } else {
      const sources = view.dependencies as readonly Source[];
      newestOf(sources).pending.push(new Pending(operation, tries, error, reply, sources));
    }
    this.waits.left(operation);
    if (this.waits.keys.hasReady) this.waits.keys.serve();
  }

  /**
   * @param awaited what the operation goes on to wait for: nobody hears what becomes of what it has written before
   * @returns false when the operation is evaluated once more, for the next entry
   */
  private addWriter(
    operation: Operation<unknown>,
    tries: number,
    reply: unknown,
    awaited: AwaitedKeys | undefined,
  ): boolean {
    const view = this.view;
    const bytes = view.effectBytes();
    const { maxCommandBytes, maxEntryBytes, maxEntryRows } = this.limits;
    if (bytes > maxCommandBytes) {
      complete(operation, effectsTooLarge(bytes, maxCommandBytes), undefined);
      return true;
    }
    const { open } = this.sequencer;
    if (open !== undefined && (open.bodyBytes + bytes > maxEntryBytes || open.writes.length >= maxEntryRows)) {
      // No room left in this turn's entry: the command runs again, at the timestamp of the next one.
      this.sequencer.closeEntry();
      this.evaluate(operation, tries);
      return false;
    }
    const entry = this.sequencer.entryAt(view.ts);
    const pending = new Pending(awaited === undefined ? operation : UNHEARD, tries, undefined, reply, NO_SOURCES);
    const unit = this.overlay.add(entry, view.settleUnit() ?? pending, view.writes, view.ranges);
    pending.unit = unit;
    for (let at = 0; at < view.readKeys.length; at++) {
      entry.expect(unit, view.readNames[at]!, view.readKeys[at]!, view.readVersions[at]!);
    }
    entry.pending.push(pending);
    this.waits.keys.written(view.writes, view.ranges);
    if (awaited === undefined) operation.putAway?.();
    else this.wait(operation, awaited);
    return true;
  }

  /** Somebody may be told that there was nothing, once that is certain: it may have been seen by a leader that is none any more. */
  private wait(operation: Operation<unknown>, awaited: AwaitedKeys): void {
    const { wait } = operation;
    if (!this.waits.keys.wait(operation, awaited) || wait?.begins === undefined) return;
    this.catchUp().then(
      () => wait.begins!(),
      () => undefined,
    );
  }

  private drainWaiting(): void {
    const { keys } = this.waits;
    if (this.serving && keys.hasReady) {
      keys.serve();
      if (keys.hasReady && !this.sequencer.mayDraw()) this.clock.request();
    }
    this.waits.queue.drain();
    const { sequencer, waits } = this;
    if (this.serving && waits.queue.size > 0 && !sequencer.isFull() && !sequencer.mayDraw()) this.clock.request();
  }

  private listenToChanges(): void {
    const { changes } = this;
    if (changes === undefined) return;
    const group = this.raft.groupId;
    this.stateMachine.listenToChanges({
      isListening: () => this.serving && changes.isListening,
      changed: (key, hasExpired, commitTs) => changes.changed(group, key, hasExpired, commitTs),
      deleted: (start, end, commitTs) => changes.deleted(group, start, end, commitTs),
    });
  }

  private onLeadership(event: LeadershipEvent): void {
    if (event.kind === 'stopped') {
      this.stop();
      return;
    }
    assert(this.overlay.isEmpty, 'a new leader starts without writes in flight');
    this.sequencer.begin();
    this.gate.reset();
    this.serving = true;
    this.changes?.began(this.raft.groupId);
    // Timestamps of this term must be above every one of earlier terms: what comes waits for the clock.
    this.clock.begin();
  }

  /** Completes everything that was not proposed; what was has been settled by the engine. */
  private stop(): void {
    this.serving = false;
    this.clock.end();
    const entry = this.sequencer.end();
    if (entry !== undefined) this.settlements.abandoned(entry, this.notLeader());
    this.parted.failAll(this.notLeader());
    this.waits.failAll(this.notLeader());
    this.confirmer.failAll(this.notLeader());
  }

  /** Renewals go ahead of every operation that waits for room. */
  private proposeLease(ceilingMs: Millis, done: (outcome: RenewalOutcome) => void): void {
    const settled = (outcome: ProposalOutcome): void => done(renewalOutcome(outcome));
    this.raft.propose(encodeLease(ceilingMs), settled, () => this.clock.committed(ceilingMs));
  }

  private onRenewed(failure: Error | undefined): void {
    if (failure === undefined || !this.serving) this.drainWaiting();
    else if (!this.sequencer.mayDraw()) this.waits.queue.refuseAll(failure);
  }

  /**
   * Issues `count` consecutive timestamps and answers with the largest when this node is known to have led the group after
   * they were drawn; under a lease before this returns. Does not wait behind operations.
   * @param done gets an error when none was issued that anybody may use: CeilingExpiredError, NotLeaderError
   */
  draw(count: number, done: (error: Error | undefined, last: HlcTimestamp | undefined) => void): void {
    const opening = this.serving ? this.clock.opening() : undefined;
    if (!this.serving) done(this.notLeader(), undefined);
    else if (opening !== undefined)
      opening.then(
        () => this.draw(count, done),
        (error: Error) => done(error, undefined),
      );
    else {
      const last = this.clock.take(count);
      this.clock.keepOpen();
      this.confirmer.confirm(
        { evaluate: () => last, complete: done as Operation<unknown>['complete'] },
        undefined,
        last,
      );
    }
  }

  /**
   * Settles when everything in flight at the call is applied and this node was confirmed as the leader after the call.
   * @throws NotLeaderError
   */
  private catchUp(): Promise<void> {
    return new Promise((resolve, reject) => {
      const operation: Operation<unknown> = {
        evaluate: () => undefined,
        complete: (error) => (error === undefined ? resolve() : reject(error)),
      };
      if (!this.serving) {
        reject(this.notLeader());
        return;
      }
      const { newest } = this.sequencer;
      if (newest === undefined) this.confirmer.confirm(operation, undefined, undefined);
      else newest.pending.push(new Pending(operation, 1, undefined, undefined, NO_SOURCES));
    });
  }

  /** @throws NotLeaderError when what was read since `catchUp` may be old */
  private async stillLeads(): Promise<void> {
    if (!this.serving) throw this.notLeader();
    if (!this.raft.holdsLease()) await this.raft.readBarrier();
  }

  /**
   * One page at one timestamp that is above every write acknowledged before the call. It ends where what the group owns ends.
   * @throws NotLeaderError; NotOwnerError, RangeBusyError when `request.start` may not be read here
   */
  async scan(request: ScanRequest): Promise<ScanPage> {
    if (!this.serving) throw this.notLeader();
    const opening = this.clock.opening();
    if (opening !== undefined) await opening;
    return this.reads.scan(request);
  }

  /**
   * Keys of a counter class in applied state, as of a moment after the call, without those that a move is bringing in or has
   * taken away. @throws NotLeaderError
   */
  async countKeys(counterClass: number): Promise<number> {
    if (!this.serving) throw this.notLeader();
    const opening = this.clock.opening();
    if (opening !== undefined) await opening;
    return this.reads.countKeys(counterClass);
  }

  /**
   * Proposes an entry of the periodic work.
   * @param build gets the entry's commit timestamp
   * @returns true when it was applied, false when it was not or when nobody knows
   */
  proposeMaintenance(build: (commitTs: HlcTimestamp) => Buffer): Promise<boolean> {
    return this.sequencer.proposeAside(build, 'maintenance').then(
      () => true,
      () => false,
    );
  }
}
