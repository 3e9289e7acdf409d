/** A group of one that does what the test says: entries apply, get lost or stay open on command. */
import assert from 'node:assert/strict';
import type { GroupAdmission } from '../../src/kv/admission/index.ts';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import type { ChangeListener } from '../../src/kv/contract/changes.ts';
import type { KeyView, LiveValue } from '../../src/kv/contract/view.ts';
import { encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { GroupExecutor } from '../../src/kv/leader/executor.ts';
import type { ExecutorLimits } from '../../src/kv/leader/executor-options.ts';
import type { ObjectRules } from '../../src/kv/leader/long-reads.ts';
import type { NodeTurn } from '../../src/kv/leader/node-turn.ts';
import type { AccessListener } from '../../src/kv/leader/view.ts';
import { Hlc } from '../../src/kv/time/hlc.ts';
import { groupId, hlcTimestamp, type NodeId, nodeId } from '../../src/platform/index.ts';
import type { CommittedEntry, GroupStatus, ProposalOutcome, RaftGroup } from '../../src/raftengine/contract/types.ts';
import { type ConfState, EntryKind } from '../../src/raftengine/core/types.ts';
import { NotLeaderError, OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { ManualClock, ManualScheduler } from './manual-time.ts';
import { MemoryStore } from './memory-store.ts';

export const CONF: ConfState = {
  voters: [nodeId(1)],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export const GROUP = groupId(2);

/** The entry by which a group gets all keys. */
export const ASSIGN_ALL: Buffer = encodeSpan(hlcTimestamp(1n), {
  kind: 'assign',
  start: Buffer.alloc(0),
  end: undefined,
  epoch: 1,
});

/**
 * Applies entries one by one as the engine does: none while the state machine asks to wait. What it waits for are dropped
 * ranges, which a store in memory can let go at once.
 */
export function applyWithPressure(
  machine: GroupStateMachine,
  store: GroupStore,
  entries: readonly CommittedEntry[],
): unknown[] {
  return entries.flatMap((entry) => {
    if (store instanceof MemoryStore && machine.applyPressure() !== undefined) store.carryOutDrops();
    return machine.apply([entry]);
  });
}

interface Proposal {
  readonly payload: Buffer;
  readonly done: (outcome: ProposalOutcome) => void;
  readonly committed?: (() => void) | undefined;
}

export class FakeRaft implements RaftGroup {
  readonly groupId = GROUP;
  readonly stateMachine: GroupStateMachine;
  private readonly store: GroupStore;
  readonly proposals: Proposal[] = [];
  readonly barriers: { resolve: () => void; reject: (error: Error) => void }[] = [];
  /** Every payload ever proposed, in order. */
  readonly log: Buffer[] = [];
  hasLease = true;
  /** Something is committed and not applied. */
  private isBehind = false;
  leaderId: NodeId | undefined = nodeId(1);
  term = 1;
  /** Whether a group that owns nothing when it is first led is given all keys. */
  ownsEverything = true;
  /** Whether `lead` ends with the clock of the group running. */
  commitsFirstCeiling = true;

  constructor(stateMachine: GroupStateMachine, store: GroupStore) {
    this.stateMachine = stateMachine;
    this.store = store;
  }

  propose(payload: Buffer, done: (outcome: ProposalOutcome) => void, committed?: () => void): void {
    this.log.push(payload);
    this.proposals.push({ payload, done, committed });
  }

  holdsLease(): boolean {
    return this.hasLease && !this.isBehind;
  }

  leadsByLease(): boolean {
    return this.hasLease;
  }

  readBarrier(): Promise<void> {
    return new Promise((resolve, reject) => this.barriers.push({ resolve, reject }));
  }

  async waitApplied(): Promise<void> {}

  async changeMembership(): Promise<ConfState> {
    return CONF;
  }

  async transferLeadership(): Promise<void> {}

  leader() {
    return this.leaderId === undefined ? undefined : { nodeId: this.leaderId, term: this.term };
  }

  onLeaderChange(): void {}

  status(): GroupStatus {
    throw new Error('not asked in these tests');
  }

  /** Applies one entry without telling anybody. */
  apply(payload: Buffer): unknown {
    const index = this.stateMachine.applied().index + 1;
    const entry = { index, term: this.term, kind: EntryKind.Normal, payload, conf: undefined };
    return applyWithPressure(this.stateMachine, this.store, [entry])[0];
  }

  /** All proposals are committed, and none of them is applied yet. */
  commitOnly(): void {
    this.isBehind = true;
    for (const { committed } of [...this.proposals]) committed?.();
  }

  /** Commits and applies the oldest `count` proposals. */
  commit(count = this.proposals.length): void {
    this.isBehind = false;
    for (; count > 0; count--) {
      const proposal = this.proposals.shift()!;
      const result = this.apply(proposal.payload);
      proposal.done({ kind: 'applied', index: this.stateMachine.applied().index, result });
    }
  }

  /** Resolves the oldest proposal without applying it. */
  drop(kind: 'notProposed' | 'unknown'): void {
    const proposal = this.proposals.shift()!;
    proposal.done({
      kind,
      error: kind === 'unknown' ? new OutcomeUnknownError('lost') : new NotLeaderError(nodeId(2)),
    });
  }

  lead(): void {
    this.apply(Buffer.alloc(0));
    if (this.ownsEverything && this.stateMachine.spanTable.spans.length === 0) this.apply(ASSIGN_ALL);
    this.stateMachine.onLeadership({ kind: 'serving', term: this.term });
    if (this.commitsFirstCeiling) this.commitCeiling();
  }

  /** Commits the ceiling that a new leader asks for first, and keeps it out of the log that tests look at. */
  commitCeiling(): void {
    assert.equal(this.proposals.length, 1, 'a new leader proposes its ceiling and nothing else');
    this.log.pop();
    this.commit();
  }

  /** Stops leading: what is in flight has an unknown outcome. */
  stepDown(): void {
    while (this.proposals.length > 0) this.drop('unknown');
    this.leaderId = nodeId(2);
    this.stateMachine.onLeadership({ kind: 'stopped', term: this.term++ });
  }
}

/** What became of an operation. */
export class Outcome<Reply> {
  readonly calls: { error: Error | undefined; reply: Reply | undefined }[] = [];
  evaluations = 0;
  /** Place among all completions of the test bed. */
  order = 0;

  get isDone(): boolean {
    return this.calls.length > 0;
  }

  get reply(): Reply | undefined {
    assert.equal(this.calls.length, 1, 'an operation completes exactly once');
    if (this.calls[0]!.error !== undefined) throw this.calls[0]!.error;
    return this.calls[0]!.reply;
  }

  get error(): Error | undefined {
    assert.equal(this.calls.length, 1, 'an operation completes exactly once');
    return this.calls[0]!.error;
  }
}

export class LoneGroup {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly hlc = new Hlc(this.clock);
  readonly store: GroupStore;
  readonly stateMachine: GroupStateMachine;
  readonly raft: FakeRaft;
  readonly executor: GroupExecutor;
  private completions = 0;

  constructor(
    limits: Partial<ExecutorLimits> = {},
    store: GroupStore = new MemoryStore(),
    options: {
      readonly ownsEverything?: boolean;
      readonly onAccess?: AccessListener;
      readonly objects?: ObjectRules;
      readonly admission?: GroupAdmission;
      readonly changes?: ChangeListener;
      readonly turn?: NodeTurn;
      readonly anchorsStatuses?: () => boolean;
    } = {},
  ) {
    this.store = store;
    this.stateMachine = new GroupStateMachine({ store, initialConf: CONF });
    this.raft = new FakeRaft(this.stateMachine, store);
    const { raft, stateMachine, hlc, scheduler } = this;
    this.executor = new GroupExecutor({
      nodeId: nodeId(1),
      raft,
      stateMachine,
      store,
      hlc,
      scheduler,
      limits: { gatherTurns: 0, ...limits },
      ...(options.onAccess === undefined ? {} : { onAccess: options.onAccess }),
      ...(options.admission === undefined ? {} : { admission: options.admission }),
      ...(options.changes === undefined ? {} : { changes: options.changes }),
      ...(options.turn === undefined ? {} : { turn: options.turn }),
      objects: options.objects,
      anchorsStatuses: options.anchorsStatuses,
    });
    raft.ownsEverything = options.ownsEverything ?? true;
    raft.lead();
  }

  /** @param takesAnyTime see `Operation` */
  run<Reply>(evaluate: (view: KeyView) => Reply, takesAnyTime = false): Outcome<Reply> {
    const outcome = new Outcome<Reply>();
    this.executor.submit({
      takesAnyTime,
      evaluate: (view) => {
        outcome.evaluations++;
        return evaluate(view);
      },
      complete: (error, reply) => {
        outcome.order = ++this.completions;
        outcome.calls.push({ error, reply: reply as Reply | undefined });
      },
    });
    return outcome;
  }

  get(key: string): Outcome<string | undefined> {
    return this.run((view) => text(view.get(bytes(key))));
  }

  set(key: string, value: string, expireMs = 0): Outcome<string> {
    return this.run((view) => {
      const expireTs = expireMs === 0 ? 0n : view.ts + (BigInt(expireMs) << 16n);
      // As adapters do: what many values begin with comes by itself.
      const whole = bytes(value);
      view.putJoined!(bytes(key), whole.subarray(0, 1), whole.subarray(1), expireTs as typeof view.ts);
      return 'OK';
    });
  }

  incr(key: string): Outcome<number> {
    return this.run((view) => {
      const value = Number(text(view.get(bytes(key))) ?? '0') + 1;
      view.put(bytes(key), bytes(String(value)), 0n as typeof view.ts);
      return value;
    });
  }

  delete(key: string): Outcome<boolean> {
    return this.run((view) => {
      const isThere = view.get(bytes(key)) !== undefined;
      if (isThere) view.delete(bytes(key));
      return isThere;
    });
  }

  /** What another leader writes comes into the log, ahead of what is proposed here. */
  overtake(write: (other: LoneGroup) => void): void {
    const other = new LoneGroup();
    other.hlc.observe(this.hlc.next());
    write(other);
    other.settle();
    const own = this.raft.proposals.splice(0);
    this.raft.apply(other.raft.log.at(-1)!);
    this.hlc.observe(this.stateMachine.maxTs);
    this.raft.proposals.push(...own);
  }

  /** Ends the turn and applies everything, until nothing moves. */
  settle(): void {
    do {
      this.scheduler.endTurn();
      this.raft.commit();
      this.scheduler.endTurn();
    } while (this.raft.proposals.length > 0);
  }

  /** The answer to a question that takes several turns. */
  async answered<Answer>(question: Promise<Answer>): Promise<Answer> {
    let isDone = false;
    const watched = question.finally(() => {
      isDone = true;
    });
    watched.catch(() => undefined);
    while (!isDone) {
      this.settle();
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
    return watched;
  }
}

export const bytes = (value: string): Buffer => Buffer.from(value, 'latin1');
export const text = (value: LiveValue | undefined): string | undefined => value?.value.toString('latin1');
