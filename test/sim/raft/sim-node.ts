/**
 * One simulated node: a core, a disk whose writes complete later and in order, a state machine that lags behind, a clock
 * of its own speed. A crash loses a suffix of the outstanding writes and everything in memory.
 */
import { groupId, type NodeId, nodeId, type SeededRandom } from '../../../src/platform/index.ts';
import { RaftCore } from '../../../src/raftengine/core/raft.ts';
import {
  type ConfState,
  type Entry,
  EntryKind,
  type HardState,
  type Message,
  type RaftConfig,
  type Ready,
  Role,
  type SnapshotMeta,
} from '../../../src/raftengine/core/types.ts';
import { PeerLiveness } from '../../../src/raftengine/liveness/peer-liveness.ts';
import { type Restable, RestingGroups } from '../../../src/raftengine/liveness/resting-groups.ts';
import { MemoryLog } from '../../raftengine/core/cluster.ts';
import { InvariantViolation } from './checker.ts';
import type { Simulation } from './simulation.ts';

/** A snapshot on the wire: its meta and the digest of the state. */
export interface SimSnapshot {
  readonly meta: SnapshotMeta;
  readonly hash: number;
}

interface PendingRead {
  readonly index: number;
  readonly ackedIndex: number;
}

export class SimNode implements Restable {
  readonly id: NodeId;
  private readonly simulation: Simulation;
  private readonly random: SeededRandom;
  core: RaftCore;
  isUp = true;
  starts = 0;

  /** The log as the core sees it, outstanding writes included; and as a crash would leave it. */
  view = new MemoryLog();
  readonly stable: MemoryLog = new MemoryLog();
  private stableHardState: HardState = { term: 0, vote: 0, commitIndex: 0 };
  private writes: Ready[] = [];
  /** Hash of the log up to each index. */
  hashes: number[] = [0];

  appliedHash = 0;
  private applied: SnapshotMeta;
  private durable: SimSnapshot;
  /** What the core said last: so far the state machine may reach the disk. */
  private stableCommit = 0;
  private applyQueue: Entry[] = [];

  /** What the engine does for groups at rest, here for the only one. */
  private liveness: PeerLiveness;
  private restingGroups: RestingGroups<SimNode>;
  private resting = false;
  /** How often the group went to rest on this node. */
  rests = 0;

  /** Kept for the checker. */
  ledTerm = 0;
  checkedCommit = 0;
  checkedConf: ConfState;

  /** Until then the disk answers nothing. */
  private diskStallsUntilMs: number;
  private readonly clockRate: number;
  private clockOriginMs = 0;
  private pausedUntilMs = 0;
  private deferred: (() => void)[] = [];
  private lastTickMs = 0;
  /** Proposals that a client waits for: index to term. */
  private proposals = new Map<number, number>();
  private readRequests = new Map<number, number>();
  private pendingReads: PendingRead[] = [];
  private nextRequestId = 1;
  /** Digests of snapshots by index, as they came in. */
  private incoming = new Map<number, number>();

  constructor(simulation: Simulation, id: number, conf: ConfState, random: SeededRandom) {
    this.simulation = simulation;
    this.id = nodeId(id);
    this.random = random;
    this.applied = { index: 0, term: 0, conf };
    this.durable = { meta: this.applied, hash: 0 };
    this.checkedConf = conf;
    this.clockRate = 1 + (random.next() - 0.5) * simulation.knobs.drift;
    this.diskStallsUntilMs = this.drawStall();
    const { raft } = simulation.knobs;
    this.liveness = new PeerLiveness(raft.electionTimeoutTicks * raft.tickMs);
    this.restingGroups = new RestingGroups(this.id, this.liveness);
    this.core = this.boot();
    this.scheduleTick(this.starts);
    this.scheduleBeat(this.starts);
  }

  get isLeading(): boolean {
    return this.core.role === Role.Leader;
  }

  get leaderNode(): NodeId | 0 {
    return this.core.leader;
  }

  get conf(): ConfState {
    return this.core.conf;
  }

  wake(nowMs: number): void {
    this.noteLeaderLived();
    this.core.wake(nowMs, this.liveness.present);
  }

  private noteLeaderLived(): void {
    if (this.resting && this.core.leader !== 0) this.core.leaderLived(this.liveness.heardMs(this.core.leader));
  }

  private noteRest(): void {
    if (this.core.isQuiet === this.resting) return;
    this.resting = this.core.isQuiet;
    if (this.resting) {
      this.rests++;
      this.restingGroups.rests(this);
    } else this.restingGroups.wakes(this);
  }

  localNowMs(): number {
    return this.clockOriginMs + this.simulation.queue.nowMs * this.clockRate;
  }

  private boot(): RaftCore {
    this.starts++;
    this.clockOriginMs = this.random.int(1_000_000);
    const { knobs } = this.simulation;
    const config: RaftConfig = { ...knobs.raft, groupId: groupId(1), nodeId: this.id };
    this.core = new RaftCore({
      config,
      hardState: this.stableHardState,
      applied: this.applied,
      log: this.view,
      random: this.random.fork(this.starts),
      nowMs: this.localNowMs(),
    });
    const { raft } = knobs;
    this.liveness = new PeerLiveness(raft.electionTimeoutTicks * raft.tickMs);
    this.restingGroups = new RestingGroups(this.id, this.liveness);
    this.restingGroups.add(this);
    this.resting = false;
    this.checkedCommit = this.applied.index;
    this.stableCommit = this.applied.index;
    this.checkedConf = this.applied.conf;
    this.lastTickMs = this.localNowMs();
    return this.core;
  }

  // ---- faults

  crash(): void {
    if (!this.isUp) return;
    this.isUp = false;
    const survivors = this.isDiskStalled ? 0 : this.random.int(this.writes.length + 1);
    if (this.random.next() < 0.7) this.diskStallsUntilMs = 0;
    for (const write of this.writes.slice(0, survivors)) {
      // A snapshot that was not installed is gone with everything after it.
      if (write.snapshot !== undefined) break;
      this.storeStable(write);
    }
    if (this.stableHardState.term < this.ledTerm) this.simulation.checker.forgetLeader(this);
    this.writes = [];
    this.view = this.stable.clone();
    this.simulation.checker.rehash(this);
    this.applied = this.durable.meta;
    this.appliedHash = this.durable.hash;
    this.applyQueue = [];
    this.deferred = [];
    this.pausedUntilMs = 0;
    this.proposals.clear();
    this.readRequests.clear();
    this.pendingReads = [];
    this.incoming.clear();
    this.ledTerm = 0;
  }

  restart(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.boot();
    this.scheduleTick(this.starts);
    this.scheduleBeat(this.starts);
    this.afterStep();
  }

  pause(forMs: number): void {
    this.pausedUntilMs = this.simulation.queue.nowMs + forMs;
    this.simulation.queue.after(forMs, () => {
      if (this.isPaused()) return;
      for (const run of this.deferred.splice(0)) run();
    });
  }

  isPaused(): boolean {
    return this.simulation.queue.nowMs < this.pausedUntilMs;
  }

  /** Runs `action` on this node later, unless it was restarted by then; while it is paused, the action waits. */
  private later(delayMs: number, action: () => void): void {
    const { starts } = this;
    this.simulation.queue.after(delayMs, () => {
      if (this.isUp && this.starts === starts) this.run(action);
    });
  }

  private run(action: () => void): void {
    if (this.isPaused()) {
      this.deferred.push(() => this.run(action));
      return;
    }
    if (!this.isUp) return;
    action();
    this.afterStep();
  }

  private scheduleTick(starts: number): void {
    const { tickMs } = this.simulation.knobs.raft;
    this.simulation.queue.after((tickMs / this.clockRate) * (0.9 + this.random.next() * 0.2), () => {
      if (!this.isUp || this.starts !== starts) return;
      this.run(() => {
        this.scheduleTick(starts);
        const now = this.localNowMs();
        const { electionTimeoutTicks } = this.simulation.knobs.raft;
        const isLate = now - this.lastTickMs > (electionTimeoutTicks * tickMs) / 2 + tickMs;
        this.lastTickMs = now;
        if (isLate && this.simulation.knobs.noticesStalls) {
          this.core.skipElectionRound();
          this.liveness.skipRound(now);
        }
        for (const peer of this.liveness.expire(now)) this.restingGroups.peerLost(peer);
        this.restingGroups.wakeSome(now);
        if (this.core.isQuiet) return;
        this.core.tick(now, this.simulation.knobs.raft.quietAfterTicks > 0 ? this.liveness.present : undefined);
      });
    });
  }

  private scheduleBeat(starts: number): void {
    const { raft } = this.simulation.knobs;
    if (raft.quietAfterTicks === 0) return;
    this.simulation.queue.after((raft.electionTimeoutTicks * raft.tickMs) / 4, () => {
      if (!this.isUp || this.starts !== starts) return;
      this.run(() => {
        this.scheduleBeat(starts);
        this.simulation.sendBeats(this, starts);
      });
    });
  }

  receiveBeat(from: NodeId, life: number): void {
    if (!this.isUp) return;
    this.run(() => {
      if (this.liveness.heard(from, life, this.localNowMs())) this.restingGroups.peerBegan(from);
    });
  }

  // ---- inputs

  receive(message: Message, snapshotHash: number): void {
    if (!this.isUp) return;
    this.run(() => {
      if (message.kind === 'snapshot') this.incoming.set(message.snapshot.index, snapshotHash);
      this.noteLeaderLived();
      this.core.step(message, this.localNowMs());
    });
  }

  /** What a client or an operator asks of this node; refusals are part of the game. */
  ask(action: (core: RaftCore, nowMs: number) => void): void {
    if (!this.isUp || this.isPaused()) return;
    this.run(() => {
      try {
        action(this.core, this.localNowMs());
      } catch (error) {
        if (!(error instanceof Error && 'disposition' in error)) throw error;
      }
    });
  }

  /** What its own engine tells this node; it waits while the node is paused. */
  tell(action: (core: RaftCore) => void): void {
    if (this.isUp) this.run(() => action(this.core));
  }

  propose(payload: Buffer): void {
    this.ask((core, now) => {
      const { index, term } = core.propose(payload, now);
      this.proposals.set(index, term);
    });
  }

  read(): void {
    this.ask((core, now) => {
      const requestId = this.nextRequestId++;
      core.readIndex(requestId, now);
      this.readRequests.set(requestId, this.simulation.checker.ackedIndex);
    });
  }

  // ---- doing what the core wants

  private afterStep(): void {
    // An election is looked at in the step that won it: later, more may have been committed elsewhere.
    const isElected = this.core.role === Role.Leader && this.ledTerm !== this.core.term;
    if (!isElected && this.random.next() < this.simulation.knobs.lazyTurn) return;
    this.pump();
    this.noteRest();
    this.simulation.checker.onStep(this, this.simulation.nodes);
  }

  private pump(): void {
    while (this.core.hasReady()) {
      const ready = this.core.ready();
      for (const message of ready.messages) this.simulation.send(this, message);
      if (ready.entries.length > 0) {
        this.view.append(ready.entries);
        this.hashes.length = ready.entries[0]!.index;
        this.simulation.checker.onEntries(this, ready.entries);
      }
      if (ready.snapshot !== undefined) {
        this.hashes = [];
        this.hashes[ready.snapshot.index] = this.incoming.get(ready.snapshot.index)!;
      }
      this.store(ready);
      for (const { requestId, index } of ready.readStates) {
        this.pendingReads.push({ index, ackedIndex: this.readRequests.get(requestId)! });
        this.readRequests.delete(requestId);
      }
      for (const requestId of ready.abortedReads) this.readRequests.delete(requestId);
      if (ready.committedEntries.length > 0) {
        this.applyQueue.push(...ready.committedEntries);
        this.later(this.simulation.applyDelayMs(), () => this.applySome());
      }
      this.serveReads();
    }
  }

  private store(ready: Ready): void {
    const isEmpty = ready.entries.length === 0 && ready.hardState === undefined && ready.snapshot === undefined;
    if (isEmpty && ready.messagesAfterPersist.length === 0) return;
    this.writes.push(ready);
    if (isEmpty && this.writes.length === 1) this.finishOldestWrite();
    else this.later(this.diskDelayMs(), () => this.finishOldestWrite());
  }

  /** In a storm some disks stand still, mostly until the machine is started again. */
  private drawStall(): number {
    return this.random.next() < 0.4 ? this.simulation.knobs.stormMs * this.random.next() : 0;
  }

  get isDiskStalled(): boolean {
    return this.simulation.queue.nowMs < this.diskStallsUntilMs;
  }

  private diskDelayMs(): number {
    return Math.max(this.simulation.diskDelayMs(), this.diskStallsUntilMs - this.simulation.queue.nowMs);
  }

  /** Completions are anonymous: whichever timer fires first, it is the oldest write that is done. */
  private finishOldestWrite(): void {
    const write = this.writes.shift();
    if (write === undefined) return;
    this.storeStable(write);
    if (write.snapshot !== undefined) this.install(write.snapshot);
    const last = write.entries.at(-1);
    if (last !== undefined) this.stableCommit = this.core.persisted(last.index, last.term);
    for (const message of write.messagesAfterPersist) this.simulation.send(this, message);
  }

  private storeStable(write: Ready): void {
    if (write.hardState !== undefined) this.stableHardState = write.hardState;
    this.stable.append(write.entries);
  }

  private install(meta: SnapshotMeta): void {
    this.stable.resetTo(meta);
    this.view.resetTo(meta);
    const hash = this.incoming.get(meta.index)!;
    if (hash !== this.simulation.checker.committedHashes[meta.index]) {
      throw new InvariantViolation(
        'state machine safety',
        `node ${this.id} installed a strange snapshot ${meta.index}`,
      );
    }
    if (meta.index <= this.applied.index) {
      throw new InvariantViolation('state machine safety', `node ${this.id} moved back to snapshot ${meta.index}`);
    }
    this.applied = meta;
    this.appliedHash = hash;
    this.durable = { meta, hash };
    this.applyQueue = this.applyQueue.filter((entry) => entry.index > meta.index);
    this.core.snapshotInstalled(meta);
    this.stableCommit = meta.index;
  }

  private applySome(): void {
    const entries = this.applyQueue.splice(0, 1 + this.random.int(this.applyQueue.length + 1));
    for (const entry of entries) {
      const conf = entry.kind === EntryKind.ConfChange ? this.core.applyConfChange(entry) : this.applied.conf;
      this.applied = { index: entry.index, term: entry.term, conf };
      this.simulation.checker.onApplied(this, entry, conf);
      this.stableCommit = this.core.appliedTo(entry.index);
      if (this.proposals.get(entry.index) === entry.term) this.simulation.checker.onAcknowledged(entry.index);
      this.proposals.delete(entry.index);
    }
    if (this.applyQueue.length > 0) this.later(this.simulation.applyDelayMs(), () => this.applySome());
    this.serveReads();
  }

  private serveReads(): void {
    if (this.pendingReads.length === 0) return;
    const { appliedIndex } = this.core;
    this.pendingReads = this.pendingReads.filter((read) => {
      if (read.index > appliedIndex) return true;
      this.simulation.checker.onRead(this, read.ackedIndex, 'ReadIndex');
      return false;
    });
  }

  /** The state machine reaches the disk, as soon as the log holds what led to it, and the log gives up what it does not need for that. */
  flush(keepEntries: number): void {
    if (!this.isUp || this.core.status().appliedIndex < this.applied.index) return;
    if (this.stableCommit < this.applied.index) return;
    this.durable = { meta: this.applied, hash: this.appliedHash };
    const upTo = Math.min(this.applied.index - keepEntries, this.stable.lastIndex());
    if (upTo < this.view.firstIndex() || upTo < this.stable.firstIndex()) return;
    this.view.truncatePrefix(upTo);
    this.stable.truncatePrefix(upTo);
  }

  snapshot(): SimSnapshot {
    return { meta: this.applied, hash: this.appliedHash };
  }

  isLeader(): boolean {
    return this.isUp && this.core.role === Role.Leader;
  }

  describe(): string {
    const { core } = this;
    const state = this.isUp ? (this.isPaused() ? 'paused' : core.role) : 'down';
    return `${this.id}:${state} t${core.term} c${core.commitIndex} a${core.appliedIndex} l${core.lastIndex}${core.isQuiet ? ' rests' : ''}`;
  }
}
