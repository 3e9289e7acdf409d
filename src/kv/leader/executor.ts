/**
 * The leader's side of one group: evaluates operations in arrival order, gathers the effects of a turn into one entry,
 * proposes it, and lets replies go once everything they depend on is committed and applied.
 *
 * Everything between reading state and handing the entry to Raft is synchronous: timestamps are drawn and entries are
 * proposed in the same order because nothing can come in between. That, not a lock, is the group's sequencer.
 */
import type { SpanTable } from '../../distribution/index.ts';
import { assert, type HlcTimestamp, type Millis, type NodeId, type Scheduler } from '../../platform/index.ts';
import {
  BusyError,
  type LeadershipEvent,
  NotLeaderError,
  type ProposalOutcome,
  type RaftGroup,
  TooLargeError,
} from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { BatchResult, EntryResult, GroupStateMachine } from '../apply/index.ts';
import {
  ConflictError,
  type Operation,
  OvertakenError,
  type ScanPage,
  type ScanRequest,
  type SpanExecutor,
} from '../contract/index.ts';
import { encodeFence, encodeLease } from '../entry/index.ts';
import {
  AssignedTimestamps,
  type Authority,
  type FenceCommand,
  type FenceReply,
  GroupClock,
  type RenewalOutcome,
  renewalOutcome,
} from '../time/index.ts';
import { complete, failureOf } from './completion.ts';
import {
  DEFAULT_EXECUTOR_LIMITS,
  type ExecutorLimits,
  type ExecutorStats,
  type GroupExecutorOptions,
} from './executor-options.ts';
import { GroupReads } from './group-reads.ts';
import { Overlay, type Unit } from './overlay.ts';
import { ReadConfirmer } from './read-confirmer.ts';
import { Overtaken } from './source-order.ts';
import { LeaderSpans } from './span-executor.ts';
import { SpanGate } from './span-gate.ts';
import { Gathering, isStale, NO_SOURCES, newestOf, type Pending, type Source, TurnEntry } from './turn-entry.ts';
import { LeaderTxns } from './txn-participant.ts';
import { CommandView } from './view.ts';
import { OperationWaits } from './waits.ts';

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
  private readonly view: CommandView;
  private readonly confirmer: ReadConfirmer;
  private serving = false;
  private readonly assigned = new AssignedTimestamps();
  /** The smallest timestamp that something on its way was given. */
  readonly oldestAssigned = (): HlcTimestamp | undefined => this.assigned.first ?? this.entry?.commitTs ?? this.turnTs;
  /** Timestamp of the commands of this turn, drawn by the first of them; undefined between turns. */
  private turnTs: HlcTimestamp | undefined;
  /** The entry that this turn's writes go into. */
  private entry: TurnEntry | undefined;
  private isTurnEndScheduled = false;
  private readonly gathering: Gathering;
  /** Entries that were handed to Raft, oldest first. */
  private readonly inflight: TurnEntry[] = [];
  private inflightBytes = 0;
  /** Operations that must not take effect any more: later ones of their source have run. */
  private readonly overtaken = new Overtaken();
  private entryCount = 0;
  private operationCount = 0;
  private conflictCount = 0;
  private readonly reads: GroupReads;
  private readonly waits: OperationWaits;
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
    this.gathering = new Gathering(this.limits.gatherTurns);
    this.gate = new SpanGate(() => options.stateMachine.spanTable, options.admission);
    this.view = new CommandView(this.store, this.overlay, this.gate, options.stateMachine.locks, options.onAccess);
    this.confirmer = new ReadConfirmer(this.raft, this.scheduler);
    this.clock = new GroupClock({
      hlc: options.hlc,
      limits: options.clockLimits ?? {},
      replicated: options.stateMachine,
      propose: (ceilingMs, done) => this.proposeLease(ceilingMs, done),
      onRenewed: (failure) => this.onRenewed(failure),
      notLeader: () => this.notLeader(),
    });
    const shared = {
      stateMachine: this.stateMachine,
      store: this.store,
      gate: this.gate,
      catchUp: () => this.catchUp(),
      readTimestamp: (at?: HlcTimestamp) => this.readTimestamp(at),
      settleLocks: (start: Buffer, end: Buffer, readTs: HlcTimestamp) => this.txns.settleLocks(start, end, readTs),
      stillLeads: () => this.stillLeads(),
    };
    this.reads = new GroupReads({ ...shared, onAccess: options.onAccess });
    this.waits = new OperationWaits({
      locks: this.stateMachine.locks,
      scheduler: this.scheduler,
      nowMs: () => options.hlc.monotonicMs(),
      maxRangeWaitMs: this.limits.maxRangeWaitMs,
      mayRetry: () => this.serving && this.mayDraw(),
      mayStart: () => this.serving && !this.isFull() && this.mayDraw(),
      evaluate: (operation, tries) => this.evaluate(operation, tries),
      onReady: () => this.drainWaiting(),
    });
    this.spans = new LeaderSpans({
      ...shared,
      clock: this.clock,
      scheduler: this.scheduler,
      propose: (build, isUrgent) => this.proposeAside(build, isUrgent),
      onChanged: () => this.waits.rangesChanged(),
    });
    this.txns = new LeaderTxns({
      ...shared,
      clock: this.clock,
      reads: this.reads,
      waits: this.waits.locks,
      coming: this.waits.coming,
      scheduler: this.scheduler,
      now: () => options.hlc.peek(),
      propose: (build, isUrgent) => this.proposeAside(build, isUrgent),
      submit: (operation) => this.submit(operation as Operation<unknown>),
    });
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
    return this.proposeAside(() => encodeFence(command), true) as Promise<FenceReply>;
  }

  /** True while this node leads the group and has caught up with its own term. */
  get isServing(): boolean {
    return this.serving;
  }

  stats(): ExecutorStats {
    return {
      operations: this.operationCount,
      entries: this.entryCount,
      conflicts: this.conflictCount,
      inflightEntries: this.inflight.length,
      inflightBytes: this.inflightBytes,
      waitingOperations: this.waits.queue.size,
    };
  }

  /**
   * Evaluates an operation in call order. It may be completed before this returns: at once when it only read applied state
   * under a lease, or when it is refused.
   */
  submit(operation: Operation<unknown>): void {
    if (!this.serving) {
      complete(operation, this.notLeader(), undefined);
      return;
    }
    if (this.waits.queue.size > 0 || this.isFull() || !this.mayDraw()) {
      if (this.waits.queue.waitingCount >= this.limits.maxWaitingOperations) {
        complete(operation, new BusyError('too many operations wait for the group; try again later'), undefined);
      } else {
        this.waits.queue.add(operation);
        if (!this.mayDraw()) this.clock.request();
      }
      return;
    }
    this.evaluate(operation, 1);
  }

  private isFull(): boolean {
    return this.inflight.length >= this.limits.maxInflightEntries || this.inflightBytes >= this.limits.maxInflightBytes;
  }

  private notLeader(): NotLeaderError {
    const leader = this.raft.leader()?.nodeId;
    return new NotLeaderError(leader === this.nodeId ? undefined : leader);
  }

  // ---- Synchronous section: from drawing the turn's timestamp to `raft.propose` nothing may await. ----

  /**
   * The timestamp of the present turn. Each draw reserves the value before it too: range deletes of the entry are applied
   * there, below the entry's own puts and above everything older.
   */
  private turnTimestamp(): HlcTimestamp {
    if (this.turnTs === undefined) {
      // A command that joins an entry of an earlier turn is evaluated at that entry's timestamp.
      this.turnTs = this.entry?.commitTs ?? this.drawTimestamp();
      this.scheduleTurnEnd();
    }
    return this.turnTs;
  }

  private scheduleTurnEnd(): void {
    if (this.isTurnEndScheduled) return;
    this.isTurnEndScheduled = true;
    this.scheduler.endOfTurn(() => this.endTurn());
  }

  /** Only after `mayDraw`, in the same turn and with nothing observed since: then it does not fail. */
  private drawTimestamp(): HlcTimestamp {
    return this.clock.take(2);
  }

  /** True when the next operation has a timestamp already or the clock has room for one. */
  private mayDraw(): boolean {
    return this.turnTs !== undefined || this.entry !== undefined || this.clock.hasRoom();
  }

  private evaluate(operation: Operation<unknown>, tries: number): void {
    if (!this.mayDraw()) {
      this.waits.queue.addRetry(operation, tries);
      this.clock.request();
      return;
    }
    if (this.waits.order.size > 0 && this.waits.order.holds(operation, tries)) return;
    this.operationCount++;
    const view = this.view;
    view.begin(this.turnTimestamp(), this.entry);
    let reply: unknown;
    let error: Error | undefined;
    try {
      reply = operation.evaluate(view);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    const isWriter = error === undefined && (view.writes.length > 0 || view.ranges.length > 0);
    if (isWriter) view.checkReadOwnership();
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
    } else if (view.lock !== undefined) {
      this.waits.forLock(operation, tries, view.lock);
      return;
    } else if (isWriter && this.waits.coming.size > 0 && this.waits.coming.meets(view)) {
      this.waits.forComing(operation, tries);
      return;
    } else if (isWriter && view.floorTs >= view.ts - 1n) {
      // The range came with timestamps that are ahead of this turn's.
      this.clock.observe(view.floorTs);
      this.closeEntry();
      this.evaluate(operation, tries);
      return;
    } else if (isWriter) {
      if (!this.addWriter(operation, tries, reply)) return;
    } else if (view.dependencies.length === 0) {
      this.confirmer.confirm(operation, error, reply);
    } else {
      const sources = view.dependencies as readonly Source[];
      newestOf(sources).pending.push({ operation, tries, error, reply, unit: undefined, sources });
    }
    this.waits.left(operation);
  }

  /** @returns false when the operation is evaluated once more, for the next entry */
  private addWriter(operation: Operation<unknown>, tries: number, reply: unknown): boolean {
    const view = this.view;
    const bytes = view.effectBytes();
    if (bytes > this.limits.maxCommandBytes) {
      const message = `the command's effects of ${bytes} bytes exceed the limit of ${this.limits.maxCommandBytes}`;
      complete(operation, new TooLargeError(message), undefined);
      return true;
    }
    if (this.entry !== undefined && this.entry.bodyBytes + bytes > this.limits.maxEntryBytes) {
      // No room left in this turn's entry: the command runs again, at the timestamp of the next one.
      this.propose();
      this.evaluate(operation, tries);
      return false;
    }
    this.entry ??= new TurnEntry(view.ts, this.entryCount++);
    const entry = this.entry;
    const unit = this.overlay.add(entry, view.settleUnit(), view.writes, view.ranges);
    for (let at = 0; at < view.readKeys.length; at++) {
      entry.expect(unit, view.readKeys[at]!, view.readVersions[at]!);
    }
    entry.pending.push({ operation, tries, error: undefined, reply, unit, sources: NO_SOURCES });
    return true;
  }

  private endTurn(): void {
    this.isTurnEndScheduled = false;
    this.turnTs = undefined;
    if (this.entry === undefined) {
      this.clock.keepOpen();
      return;
    }
    if (this.inflight.length >= this.limits.pipelineDepth) return;
    if (this.gathering.waitsFor(this.entry.pending.length)) this.scheduler.nextTurn(() => this.scheduleTurnEnd());
    else this.propose();
  }

  /** Closes the open entry and hands it to Raft. */
  private propose(): void {
    const entry = this.entry!;
    this.entry = undefined;
    this.turnTs = undefined;
    this.gathering.begin();
    entry.ceilingMs = this.clock.carry();
    const { payload, units } = entry.encode(entry.ceilingMs);
    this.inflight.push(entry);
    this.inflightBytes += payload.length;
    const { commitTs } = entry;
    this.raft.propose(
      payload,
      this.assigned.track(commitTs, (outcome) => this.settle(entry, units, payload.length, outcome)),
    );
  }

  // ---- End of the synchronous section. ----

  /** What became of an entry: called once an entry, for applied ones in log order. */
  private settle(entry: TurnEntry, units: readonly Unit[], bytes: number, outcome: ProposalOutcome): void {
    this.inflight.splice(this.inflight.indexOf(entry), 1);
    this.inflightBytes -= bytes;
    this.overlay.remove(entry);
    if (entry.ceilingMs !== 0) this.clock.carried(outcome.kind === 'applied');
    if (outcome.kind === 'applied') this.settleApplied(entry, units, outcome.result as BatchResult);
    else this.settleAbandoned(entry, failureOf(outcome));
    this.drainWaiting();
    // Room for the entry that was kept open.
    if (this.entry !== undefined) this.scheduleTurnEnd();
  }

  private settleApplied(entry: TurnEntry, units: readonly Unit[], refusals: BatchResult): void {
    if (refusals !== undefined) for (const number of refusals.keys()) units[number]!.isConflicted = true;
    // Replies leave in the order in which a serial execution would give them: what runs again comes after the entry.
    let stale: Set<Pending> | undefined;
    for (const pending of entry.pending) {
      const { unit, operation, error, reply } = pending;
      if ((refusals !== undefined || unit === undefined) && isStale(pending)) {
        stale ??= new Set();
        stale.add(pending);
      } else if (unit !== undefined) complete(operation, undefined, reply);
      else this.confirmer.confirm(operation, error, reply);
    }
    if (stale === undefined) return;
    const settled = entry.pending.filter((pending) => !stale.has(pending));
    for (const pending of stale) this.retry(pending, settled);
  }

  /**
   * Evaluates again what was computed from something that did not come to pass. Nothing of it happened.
   * @param settled what of the same entry took effect
   */
  private retry(pending: Pending, settled: readonly Pending[]): void {
    this.conflictCount++;
    if (!this.serving) complete(pending.operation, this.notLeader(), undefined);
    else if (pending.tries >= this.limits.maxTries) {
      const message = `the operation lost ${pending.tries} times against concurrent writes; nothing happened`;
      complete(pending.operation, new ConflictError(message), undefined);
    } else {
      this.overtaken.look(pending.operation, settled, ...this.underWay());
      this.evaluate(pending.operation, pending.tries + 1);
    }
  }

  /** What was evaluated and may take effect, by entry. */
  private underWay(): (readonly Pending[])[] {
    const entries = this.entry === undefined ? this.inflight : [...this.inflight, this.entry];
    return entries.map(({ pending }) => pending);
  }

  /** Writers get the entry's error; those that only read may run again, because nothing of theirs was proposed. */
  private settleAbandoned(entry: TurnEntry, error: Error): void {
    entry.isAbandoned = true;
    for (const pending of entry.pending) {
      if (pending.unit !== undefined) complete(pending.operation, error, undefined);
      else this.retry(pending, []);
    }
  }

  private drainWaiting(): void {
    this.waits.queue.drain();
    if (this.serving && this.waits.queue.size > 0 && !this.isFull() && !this.mayDraw()) this.clock.request();
  }

  private onLeadership(event: LeadershipEvent): void {
    if (event.kind === 'stopped') {
      this.stop();
      return;
    }
    assert(this.inflight.length === 0 && this.overlay.isEmpty, 'a new leader starts without writes in flight');
    this.gate.reset();
    this.assigned.clear();
    this.serving = true;
    // Timestamps of this term must be above every one of earlier terms: what comes waits for the clock.
    this.clock.begin();
  }

  /** Completes everything that was not proposed; what was has been settled by the engine. */
  private stop(): void {
    this.serving = false;
    this.clock.end();
    const entry = this.entry;
    this.entry = undefined;
    this.turnTs = undefined;
    if (entry !== undefined) {
      this.overlay.remove(entry);
      this.settleAbandoned(entry, this.notLeader());
    }
    this.waits.failAll(this.notLeader());
    this.confirmer.failAll(this.notLeader());
  }

  /** Renewals go ahead of every operation that waits for room. */
  private proposeLease(ceilingMs: Millis, done: (outcome: RenewalOutcome) => void): void {
    this.raft.propose(encodeLease(ceilingMs), (outcome) => done(renewalOutcome(outcome)));
  }

  private onRenewed(failure: Error | undefined): void {
    if (failure === undefined || !this.serving) this.drainWaiting();
    else if (!this.mayDraw()) this.waits.queue.refuseAll(failure);
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
      const newest = this.entry ?? this.inflight.at(-1);
      if (newest === undefined) this.confirmer.confirm(operation, undefined, undefined);
      else
        newest.pending.push({ operation, tries: 1, error: undefined, reply: undefined, unit: undefined, sources: [] });
    });
  }

  /**
   * A timestamp to read history at: above everything acknowledged, and nothing that is still to be proposed will be committed
   * at or below it.
   */
  private readTimestamp(at?: HlcTimestamp): HlcTimestamp {
    if (at !== undefined) this.clock.observeForeign(at, this.clock.maxLeadMs);
    const readTs = at ?? this.drawTimestamp();
    // Commands later in this turn must not commit below a timestamp that has been read at.
    if (this.entry === undefined) this.turnTs = undefined;
    return readTs;
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
  countKeys(counterClass: number): Promise<number> {
    return this.reads.countKeys(counterClass);
  }

  /** Sends off what the turn has gathered; what follows is committed at a later timestamp. */
  private closeEntry(): void {
    if (this.entry !== undefined) this.propose();
    this.turnTs = undefined;
  }

  /**
   * Proposes an entry that no operation asked for, in order with the operations' entries: everything evaluated before is
   * ahead of it in the log.
   * @param build gets the entry's commit timestamp
   * @param isUrgent for the few small ones that a range in a move waits for: they do not wait for room
   * @throws NotLeaderError, BusyError, OutcomeUnknownError
   */
  private proposeAside(build: (commitTs: HlcTimestamp) => Buffer, isUrgent = false): Promise<EntryResult> {
    if (!this.serving) return Promise.reject(this.notLeader());
    if (this.isFull() && !isUrgent) return Promise.reject(new BusyError('too much is on its way; try again later'));
    const opening = this.clock.opening();
    if (opening !== undefined) return opening.then(() => this.proposeAside(build, isUrgent));
    this.closeEntry();
    const ts = this.drawTimestamp();
    const payload = build(ts);
    this.inflightBytes += payload.length;
    return new Promise((resolve, reject) => {
      const done = (outcome: ProposalOutcome): void => {
        this.inflightBytes -= payload.length;
        if (outcome.kind === 'applied') resolve(outcome.result as EntryResult);
        else reject(failureOf(outcome));
        this.drainWaiting();
      };
      this.raft.propose(payload, this.assigned.track(ts, done));
    });
  }

  /**
   * Proposes an entry of the periodic work.
   * @param build gets the entry's commit timestamp
   * @returns true when it was applied, false when it was not or when nobody knows
   */
  proposeMaintenance(build: (commitTs: HlcTimestamp) => Buffer): Promise<boolean> {
    return this.proposeAside(build).then(
      () => true,
      () => false,
    );
  }
}
