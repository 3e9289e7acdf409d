/**
 * A handful of cores in one process without time of its own: messages travel when a test says so. Tests read as stories:
 * `cluster.elect(1)`, `cluster.cut(1, 2)`, `cluster.settle()`.
 */

import { groupId, type LogIndex, type NodeId, nodeId, SeededRandom, type Term } from '../../../src/platform/index.ts';
import { simpleConf } from '../../../src/raftengine/core/conf-changer.ts';
import { RaftCore } from '../../../src/raftengine/core/raft.ts';
import {
  type ConfState,
  type Entry,
  EntryKind,
  type HardState,
  type LogView,
  type Message,
  type RaftConfig,
  type ReadState,
  type Ready,
  type SnapshotMeta,
} from '../../../src/raftengine/core/types.ts';

/** A stored log in memory. */
export class MemoryLog implements LogView {
  private base: { index: LogIndex; term: Term } = { index: 0, term: 0 };
  private stored: Entry[] = [];

  firstIndex(): LogIndex {
    return this.base.index + 1;
  }

  lastIndex(): LogIndex {
    return this.base.index + this.stored.length;
  }

  term(index: LogIndex): Term | undefined {
    if (index === this.base.index) return this.base.term;
    return this.stored[index - this.base.index - 1]?.term;
  }

  entries(from: LogIndex, to: LogIndex, maxBytes: number): Entry[] | undefined {
    if (from <= this.base.index) return undefined;
    const taken: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.stored[index - this.base.index - 1]!;
      bytes += entry.payload.length;
      if (taken.length > 0 && bytes > maxBytes) break;
      taken.push(entry);
    }
    return taken;
  }

  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.stored.length = entries[0]!.index - this.base.index - 1;
    this.stored.push(...entries);
  }

  truncatePrefix(upTo: LogIndex): void {
    const term = this.term(upTo)!;
    this.stored.splice(0, upTo - this.base.index);
    this.base = { index: upTo, term };
  }

  resetTo(meta: SnapshotMeta): void {
    this.base = { index: meta.index, term: meta.term };
    this.stored = [];
  }

  clone(): MemoryLog {
    const copy = new MemoryLog();
    copy.base = this.base;
    copy.stored = this.stored.slice();
    return copy;
  }
}

export const TEST_CONFIG: Omit<RaftConfig, 'nodeId'> = {
  groupId: groupId(1),
  electionTimeoutTicks: 10,
  heartbeatTicks: 1,
  tickMs: 100,
  leaseMarginMs: 300,
  leaseDrift: 0.001,
  maxAppendBytes: 1024,
  rotatesAppends: false,
  maxInflightMessages: 8,
  maxInflightBytes: 64 * 1024,
  maxUncommittedBytes: 64 * 1024,
  maxPromoteLag: 4,
  quietAfterTicks: 0,
};

/** One node: a core, its stored log and its applied entries. */
export class CoreNode {
  readonly id: NodeId;
  log: MemoryLog;
  readonly config: RaftConfig;
  core: RaftCore;
  hardState: HardState = { term: 0, vote: 0, commitIndex: 0 };
  conf: ConfState;
  applied: Entry[] = [];
  appliedMeta: SnapshotMeta;
  /** What was applied, entry by entry. */
  private readonly reached: SnapshotMeta[] = [];
  readStates: ReadState[] = [];
  abortedReads: number[] = [];
  /** While false, writes stay outstanding: nothing is reported stable, nothing that waits for it is sent. */
  diskAnswers = true;
  /** While false, committed entries are taken but not applied. */
  applies = true;
  unapplied: Entry[] = [];
  /** By how much later than others it stands for election. */
  heldBackTicks = 0;
  private outstanding: Ready[] = [];
  private seed = 0;
  /** The log as a crash would leave it. */
  private stable = new MemoryLog();

  constructor(id: NodeId, conf: ConfState, overrides: Partial<RaftConfig>, nowMs: number) {
    this.id = id;
    this.log = new MemoryLog();
    this.conf = conf;
    this.appliedMeta = { index: 0, term: 0, conf };
    this.reached.push(this.appliedMeta);
    this.config = { ...TEST_CONFIG, holdBackTicks: () => this.heldBackTicks, ...overrides, nodeId: id };
    this.core = this.start(nowMs);
  }

  start(nowMs: number): RaftCore {
    this.seed++;
    this.core = new RaftCore({
      config: this.config,
      hardState: this.hardState,
      applied: this.appliedMeta,
      log: this.log,
      random: new SeededRandom(this.id * 100 + this.seed),
      nowMs,
    });
    this.outstanding = [];
    this.unapplied = [];
    return this.core;
  }

  /** Power is lost before the outstanding writes are stable, and the store was no further than the log; `start` comes next. */
  loseUnstable(): void {
    this.log = this.stable.clone();
    this.returnTo(this.reached.findLast(({ index }) => index <= this.stable.lastIndex())!);
  }

  /** The store has on disk what it had made of the log up to `meta`; `start` comes next, and the rest of the log is replayed. */
  returnTo(meta: SnapshotMeta): void {
    this.appliedMeta = meta;
    this.conf = meta.conf;
    this.applied = this.applied.filter((entry) => entry.index <= meta.index);
  }

  /** Does everything that the core wants; returns the messages that may leave. @param onReady sees what it wants */
  drain(onReady: (ready: Ready) => void = () => {}): Message[] {
    const out: Message[] = [];
    while (this.core.hasReady()) {
      const ready = this.core.ready();
      onReady(ready);
      out.push(...ready.messages);
      if (ready.snapshot !== undefined) {
        this.log.resetTo(ready.snapshot);
        this.appliedMeta = ready.snapshot;
        this.reached.push(ready.snapshot);
        this.conf = ready.snapshot.conf;
        this.core.snapshotInstalled(ready.snapshot);
      }
      this.log.append(ready.entries);
      this.outstanding.push(ready);
      this.readStates.push(...ready.readStates);
      this.abortedReads.push(...ready.abortedReads);
      this.unapplied.push(...ready.committedEntries);
      if (this.diskAnswers) out.push(...this.finishWrites());
      if (this.applies) this.applyAll();
    }
    return out;
  }

  /** The disk answers for the oldest `count` writes. */
  finishWrites(count = this.outstanding.length): Message[] {
    const out: Message[] = [];
    for (const ready of this.outstanding.splice(0, count)) {
      if (ready.hardState !== undefined) this.hardState = ready.hardState;
      if (ready.snapshot !== undefined) this.stable.resetTo(ready.snapshot);
      this.stable.append(ready.entries);
      const last = ready.entries.at(-1);
      if (last !== undefined) this.core.persisted(last.index, last.term);
      out.push(...ready.messagesAfterPersist);
    }
    return out;
  }

  applyAll(): void {
    for (const entry of this.unapplied.splice(0)) {
      this.applied.push(entry);
      if (entry.kind === EntryKind.ConfChange) this.conf = this.core.applyConfChange(entry);
      this.appliedMeta = { index: entry.index, term: entry.term, conf: this.conf };
      this.reached.push(this.appliedMeta);
      this.core.appliedTo(entry.index);
    }
  }

  /** Payloads of applied normal entries, without no-ops. */
  texts(): string[] {
    return this.applied
      .filter((entry) => entry.kind === EntryKind.Normal && entry.payload.length > 0)
      .map((entry) => entry.payload.toString());
  }
}

export class CoreCluster {
  readonly nodes = new Map<number, CoreNode>();
  readonly wire: Message[] = [];
  nowMs = 1_000_000;
  private readonly overrides: Partial<RaftConfig>;
  private readonly cuts = new Set<string>();
  /** Messages for which this returns true are lost. */
  lose: (message: Message) => boolean = () => false;

  constructor(voters: number[], learners: number[] = [], overrides: Partial<RaftConfig> = {}) {
    this.overrides = overrides;
    const conf = simpleConf(voters.map(nodeId), learners.map(nodeId));
    for (const id of [...voters, ...learners]) this.add(id, conf);
  }

  add(id: number, conf: ConfState = simpleConf([]), overrides: Partial<RaftConfig> = {}): CoreNode {
    const node = new CoreNode(nodeId(id), conf, { ...this.overrides, ...overrides }, this.nowMs);
    this.nodes.set(id, node);
    return node;
  }

  node(id: number): CoreNode {
    return this.nodes.get(id)!;
  }

  core(id: number): RaftCore {
    return this.node(id).core;
  }

  /** Nothing travels from `from` to `to`; the other direction still works. */
  cutOneWay(from: number, to: number): void {
    this.cuts.add(`${from}>${to}`);
  }

  cut(left: number, right: number): void {
    this.cutOneWay(left, right);
    this.cutOneWay(right, left);
  }

  isolate(id: number): void {
    for (const other of this.nodes.keys()) if (other !== id) this.cut(id, other);
  }

  heal(): void {
    this.cuts.clear();
  }

  isCut(from: number, to: number): boolean {
    return this.cuts.has(`${from}>${to}`);
  }

  /** Takes what the cores want to send without delivering it. */
  collect(): Message[] {
    for (const node of this.nodes.values()) this.wire.push(...node.drain());
    return this.wire;
  }

  deliver(message: Message): void {
    this.nodes.get(message.to)?.core.step(message, this.nowMs);
  }

  /** Delivers until nobody has anything to say. */
  settle(): this {
    for (let round = 0; round < 10_000; round++) {
      this.collect();
      if (this.wire.length === 0) return this;
      for (const message of this.wire.splice(0)) {
        if (this.isCut(message.from, message.to) || this.lose(message)) continue;
        this.deliver(message);
      }
    }
    throw new Error('the cluster does not settle');
  }

  /** Time passes on every node (or on `only`), one tick at a time, messages being delivered in between. */
  tick(count = 1, only?: number[]): this {
    for (let step = 0; step < count; step++) {
      this.nowMs += TEST_CONFIG.tickMs;
      for (const [id, node] of this.nodes) if (only === undefined || only.includes(id)) node.core.tick(this.nowMs);
      this.settle();
    }
    return this;
  }

  /** Makes `id` the leader; time passes so that nobody is bound to another. */
  elect(id: number): this {
    this.nowMs += 2 * TEST_CONFIG.electionTimeoutTicks * TEST_CONFIG.tickMs;
    this.core(id).campaign(this.nowMs);
    this.settle();
    if (this.core(id).role !== 'leader') throw new Error(`node ${id} was not elected`);
    return this.tick(1);
  }

  propose(id: number, text: string): { index: number; term: number } {
    return this.core(id).propose(Buffer.from(text), this.nowMs);
  }

  /** Proposes and lets it commit and reach everybody. */
  write(id: number, text: string): this {
    this.propose(id, text);
    return this.settle().tick(1);
  }

  restart(id: number): void {
    this.node(id).start(this.nowMs);
  }

  leaders(): number[] {
    return [...this.nodes.keys()].filter((id) => this.core(id).role === 'leader');
  }
}
