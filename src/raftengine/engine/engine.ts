/**
 * The multi-group Raft engine. It owns no thread and no loop: messages, ticks and proposals mark replicas dirty, and the
 * end of the event-loop turn gathers all dirty replicas.
 *
 *   messages, ticks, proposals ──▶ cores ──▶ dirty replicas
 *   end of turn:  1. collect: every dirty core's Ready        ─▶ ONE LogStore.write of all groups ─┐
 *                 2. frames: one a peer and lane leave, while the write is under way               │
 *                 3. act: apply what is committed, resolve proposals and reads                     │
 *   write stable: `persisted` to the cores, messages that waited for it, and the turn ends again ◀─┘
 *
 * Writes are pipelined: the next turn does not wait for the write of this one.
 */
import {
  assert,
  type Cancel,
  type Clock,
  type GroupId,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  SuspensionWatch,
} from '../../platform/index.ts';
import {
  DEFAULT_ENGINE_LIMITS,
  EngineCounters,
  type EngineLimits,
  type LogStore,
  type LogWrite,
  type RaftGroup,
  type StateMachine,
} from '../contract/index.ts';
import { type ConfState, type Message, membersOf, type RaftConfig, type SnapshotMeta } from '../core/index.ts';
import { StoppedError } from '../errors.ts';
import { FOUNDING_INDEX, FOUNDING_TERM, foundingEntry, type InstallMarks, repairOf } from '../founding/index.ts';
import {
  type Beat,
  ClockExchange,
  decodeBeat,
  encodeBeat,
  isBeat,
  newLife,
  type PeerClocks,
  PeerLiveness,
  RestingGroups,
  TimerWheel,
} from '../liveness/index.ts';
import { type PendingWrite, Replica, type ReplicaHost } from '../replica/index.ts';
import { type SentSnapshot, SnapshotTransfer } from '../snapshot/index.ts';
import { decodeAddresses, decodeMessages, Outbox, type PeerAddressBook } from '../wire/index.ts';

/** Collect and act feed each other (an apply may propose); beyond this the rest waits for the next turn. */
const MAX_ROUNDS_PER_TURN = 8;

/** Groups whose ticks of 10 ms fit into a small part of them. */
const MAX_TICKED_AT_ONCE = 500;

/** Beats of this node in one election timeout: three may be lost before its groups look for another leader. */
const BEATS_PER_TIMEOUT = 4;

/** A node that should not lead stands for election so many election timeouts later than others. */
const HOLD_BACK_TIMEOUTS = 4;

/** The log of a group at rest is looked at for truncation once in so many rounds. */
const RESTING_TRUNCATE_ROUNDS = 32;

/** Events that an operator wants to see; the engine goes on after each. */
export interface EngineObserver {
  malformedFrame?(from: NodeId, error: Error): void;
  /** A snapshot to or from the peer did not arrive. Nothing was changed by it; it is tried again. */
  snapshotFailed?(groupId: number, peer: NodeId, error: Error): void;
  /** A peer has got a snapshot from here. */
  snapshotSent?(sent: SentSnapshot): void;
  /** The event loop stood still for `lateMs`. */
  stalled?(lateMs: Millis): void;
  /** The machine was suspended for `sleptMs`, or its wall clock was set ahead by as much. */
  suspended?(sleptMs: Millis): void;
}

export interface RaftEngineOptions {
  readonly nodeId: NodeId;
  /** The machine's, as it is: what nodes tell each other of their wall clocks is what those show. */
  readonly clock: Clock;
  /** Left out: this node compares no clocks. */
  readonly peerClocks?: PeerClocks;
  /** False while this node should not lead for another reason than its clock; left out: it always may. */
  readonly mayLead?: () => boolean;
  readonly random: Random;
  readonly scheduler: Scheduler;
  /** The engine takes its `control` and `bulk` lanes and the stream kind `snapshot`; its owner starts and stops it. */
  readonly network: PeerNetwork;
  /** Opened and closed by its owner. */
  readonly logStore: LogStore;
  readonly installs: InstallMarks;
  readonly limits?: Partial<EngineLimits>;
  readonly peerAddresses?: PeerAddressBook;
  readonly observer?: EngineObserver;
  /** The log store failed: nothing more can be promised by this node. The engine has stopped itself already. */
  readonly onFatal: (error: Error) => void;
  /** A peer sends messages of a group that has no replica here: this node may have been taken in. Called for every such message. */
  readonly onUnknownGroup?: (groupId: GroupId, from: NodeId) => void;
  /** A state machine refused an entry; that replica halted. Default: `onFatal`. */
  readonly onReplicaFailed?: (groupId: GroupId, error: Error) => void;
}

export interface GroupOptions {
  readonly groupId: GroupId;
  readonly stateMachine: StateMachine;
  /** Founding members, equal on all of them; used only while nothing was ever applied here. Without it the replica waits to be taken in. */
  readonly bootstrap?: ConfState;
  /** Overrides for this group, for example longer timeouts across regions. */
  readonly config?: Partial<Omit<RaftConfig, 'groupId' | 'nodeId'>>;
}

/** A write that is under way. */
interface UnderWay {
  readonly shares: readonly PendingWrite<Replica>[];
  stable: boolean;
  /** Who waits for it to be over, in whatever way. */
  readonly waiters: (() => void)[];
}

/** Hosts the replicas of one node. */
export class RaftEngine {
  /** One armed timer for everything periodic on the node; other layers may hang their timers in it. */
  readonly wheel: TimerWheel;
  readonly limits: EngineLimits;
  /** What happened since the start, over all groups. */
  readonly counters = new EngineCounters();
  private readonly options: RaftEngineOptions;
  private readonly host: ReplicaHost<Replica>;
  private readonly outbox: Outbox;
  private readonly snapshots: SnapshotTransfer;
  private readonly replicas = new Map<GroupId, Replica>();
  private readonly liveness: PeerLiveness;
  private readonly resting: RestingGroups<Replica>;
  /** Nodes that this one shared a group with: they get its beats. */
  private readonly beatTo = new Set<NodeId>();
  private life: number;
  private readonly clocks: ClockExchange | undefined;
  private readonly suspension: SuspensionWatch;
  private truncateRounds = 0;
  private ticks = 0;
  private dirty = new Set<Replica>();
  /** A flush is waiting at the end of this turn. */
  private flushPending = false;
  private flushing = false;
  /** Writes under way, oldest first. */
  private readonly writes: UnderWay[] = [];
  private readonly cancels: Cancel[] = [];
  private state: 'new' | 'running' | 'stopped' = 'new';

  constructor(options: RaftEngineOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_ENGINE_LIMITS, ...options.limits };
    const { clock, scheduler, network } = options;
    this.liveness = new PeerLiveness(this.limits.electionTimeoutMs);
    this.resting = new RestingGroups(options.nodeId, this.liveness);
    this.life = newLife(options.random);
    const { peerClocks } = options;
    this.clocks = peerClocks && new ClockExchange(peerClocks, options.random);
    this.suspension = new SuspensionWatch(clock);
    this.wheel = new TimerWheel({ clock, scheduler, tickMs: this.limits.tickMs });
    this.outbox = new Outbox(network, this.limits.maxFrameBytes, (message) => this.dropped(message), this.counters);
    this.snapshots = new SnapshotTransfer({
      clock,
      scheduler,
      network,
      limits: this.limits,
      findReplica: (groupId) => this.replicas.get(groupId as GroupId),
      onFailed: (groupId, peer, error) => {
        this.counters.snapshotsFailed++;
        options.observer?.snapshotFailed?.(groupId, peer, error);
      },
      onSent: (sent) => {
        this.counters.snapshotsSent++;
        options.observer?.snapshotSent?.(sent);
      },
    });
    this.host = {
      nodeId: options.nodeId,
      clock,
      limits: this.limits,
      counters: this.counters,
      liveness: this.liveness,
      restChanged: (replica, rests) => (rests ? this.resting.rests(replica) : this.resting.wakes(replica)),
      markDirty: (replica) => this.markDirty(replica),
      markDirtyLater: (replica) => {
        scheduler.after(0, () => this.markDirty(replica));
      },
      giveUpLeasesAfterSleep: () => this.giveUpLeasesAfterSleep(),
      endOfTurn: (callback) => scheduler.endOfTurn(callback),
      send: (message) => this.outbox.add(message),
      sendSnapshot: (replica, to) => this.snapshots.request(replica, to),
      writeNow: (write) => this.writeNow(write),
      settled: () => this.settled(),
      installs: options.installs,
      membershipApplied: (conf, context) => this.membershipApplied(conf, context),
      replicaFailed: (replica, error) => {
        this.giveUp(replica);
        if (options.onReplicaFailed !== undefined) options.onReplicaFailed(replica.groupId, error);
        else this.fail(error);
      },
    };
    network.onFrame('control', (from, frame) => {
      if (isBeat(frame)) this.receiveBeat(from, frame);
      else this.receive(from, frame);
    });
    network.onFrame('bulk', (from, frame) => this.receive(from, frame));
    network.onPeerLost((peer) => {
      for (const replica of this.resting.awake) replica.reportUnreachable(peer);
    });
  }

  /** Starts ticking. Groups may be added before and after. */
  start(): void {
    assert(this.state === 'new', 'an engine starts once');
    this.state = 'running';
    this.cancels.push(this.wheel.every(this.limits.tickMs, (nowMs, lateMs) => this.tick(nowMs, lateMs)));
    this.cancels.push(this.wheel.every(this.limits.electionTimeoutMs / BEATS_PER_TIMEOUT, () => this.sendBeats()));
    this.cancels.push(this.wheel.every(this.limits.truncateIntervalMs, () => this.truncateLogs()));
    for (const replica of this.replicas.values()) this.markDirty(replica);
  }

  /**
   * Opens the group's replica from its stored log and the state machine's durable state.
   * @throws AssertionError when the group is here already
   * @throws ReplicaTornError when log and state do not belong together
   */
  addGroup(group: GroupOptions): RaftGroup {
    const { groupId, stateMachine } = group;
    if (this.state === 'stopped') throw new StoppedError('the engine is stopped');
    assert(!this.replicas.has(groupId), `group ${groupId} is here already`);
    const log = this.options.logStore.group(groupId);
    const applied = this.startingPoint(group);
    const { installs } = this.options;
    const repair = repairOf(groupId, log, applied, installs.of(groupId));
    if (repair === undefined) installs.end(groupId);
    else {
      const write = this.issueWrite([repair], []);
      write.waiters.push(() => write.stable && installs.end(groupId));
    }
    const replica = new Replica({
      config: this.raftConfig(group),
      host: this.host,
      log,
      stateMachine,
      applied,
      random: this.options.random,
    });
    this.replicas.set(groupId, replica);
    this.resting.add(replica);
    this.membershipApplied(applied.conf, Buffer.alloc(0));
    this.markDirty(replica);
    return replica;
  }

  group(groupId: GroupId): RaftGroup | undefined {
    return this.replicas.get(groupId);
  }

  groups(): RaftGroup[] {
    return [...this.replicas.values()];
  }

  /** Groups that take part in ticks and heartbeats; the others rest. */
  get awakeGroups(): number {
    return this.resting.awake.size;
  }

  /** Ends the replica here and forgets its log. The state machine is its owner's to close and delete. */
  async removeGroup(groupId: GroupId): Promise<void> {
    if (await this.closeGroup(groupId)) await this.options.logStore.removeGroup(groupId);
  }

  /**
   * Ends the replica here and keeps its log, so that it can be added again. A snapshot that is being installed is there with
   * its log when this settles. @returns false when there was none
   */
  async closeGroup(groupId: GroupId): Promise<boolean> {
    const replica = this.replicas.get(groupId);
    if (replica === undefined) return false;
    this.giveUp(replica);
    replica.close(new StoppedError(`the replica of group ${groupId} was closed`));
    this.replicas.delete(groupId);
    this.dirty.delete(replica);
    await this.snapshots.dropped(replica);
    await this.settled();
    return true;
  }

  /** Starts an election now, without waiting for the timeout; for tests and for founding a cluster quickly. */
  campaign(groupId: GroupId): void {
    this.replicas.get(groupId)?.campaign(this.options.clock.monotonicMs());
  }

  /** This replica waits another round before it stands for election: somebody else should. */
  holdBack(groupId: GroupId): void {
    this.replicas.get(groupId)?.skipElectionRound();
  }

  /** Every pending proposal becomes UNKNOWN; settles when no write and no install is under way. Neither log store nor network are closed. */
  async stop(): Promise<void> {
    this.halt(new StoppedError('the engine is stopped'));
    await this.snapshots.stop();
    await this.settled();
  }

  // --- inputs ----------------------------------------------------------------------------------------------------

  private receive(from: NodeId, frame: Buffer): void {
    if (this.state !== 'running') return;
    let messages: Message[];
    try {
      messages = decodeMessages(frame, from, this.options.nodeId);
    } catch (error) {
      this.counters.malformedFrames++;
      this.options.observer?.malformedFrame?.(from, error as Error);
      return;
    }
    const nowMs = this.options.clock.monotonicMs();
    for (const message of messages) {
      // A snapshot token is believed only from the stream that brought the bytes.
      if (message.kind === 'snapshot') continue;
      // Whoever ordered it goes on leading after a while.
      if (message.kind === 'timeoutNow' && !this.mayLead) continue;
      const replica = this.replicas.get(message.groupId);
      if (replica !== undefined) replica.step(message, nowMs);
      else this.options.onUnknownGroup?.(message.groupId, from);
    }
  }

  private tick(nowMs: Millis, lateMs: Millis): void {
    if (this.state !== 'running') return;
    this.giveUpLeasesAfterSleep();
    if (lateMs > this.limits.electionTimeoutMs / 2) {
      this.counters.stalls++;
      this.options.observer?.stalled?.(lateMs);
      this.liveness.skipRound(nowMs);
      for (const replica of this.replicas.values()) replica.skipElectionRound();
    }
    for (const peer of this.liveness.expire(nowMs)) this.resting.peerLost(peer);
    this.resting.wakeSome(nowMs);
    this.tickAwake(nowMs);
  }

  /** What was promised to this node before the machine slept is over, however young it looks. */
  private giveUpLeasesAfterSleep(): void {
    const sleptMs = this.suspension.look();
    if (sleptMs === 0) return;
    this.counters.suspensions++;
    this.options.observer?.suspended?.(sleptMs);
    for (const replica of this.replicas.values()) replica.skipElectionRound();
  }

  /** With very many groups awake each gets its ticks several at a time, in turns, still twice a heartbeat at least. */
  private tickAwake(nowMs: Millis): void {
    const { awake } = this.resting;
    const maxStride = Math.max(1, Math.floor(this.limits.heartbeatMs / this.limits.tickMs / 2));
    const stride = Math.min(maxStride, Math.ceil(awake.size / MAX_TICKED_AT_ONCE));
    this.ticks += 1;
    for (const replica of awake) {
      if (stride === 1 || replica.groupId % stride === this.ticks % stride) replica.tick(nowMs, stride);
    }
  }

  private sendBeats(): void {
    const { network } = this.options;
    for (const peer of this.beatTo) network.send(peer, 'control', encodeBeat(this.life, this.clocks?.stamp(peer)));
  }

  private receiveBeat(from: NodeId, frame: Buffer): void {
    if (this.state !== 'running') return;
    let beat: Beat;
    try {
      beat = decodeBeat(frame);
    } catch (error) {
      this.options.observer?.malformedFrame?.(from, error as Error);
      return;
    }
    if (beat.clocks !== undefined) this.clocks?.heard(from, beat.clocks);
    if (this.liveness.heard(from, beat.life, this.options.clock.monotonicMs())) this.resting.peerBegan(from);
  }

  /** Groups that rest under a leader that is given up must hear of it: this node begins another life. */
  private giveUp(replica: Replica): void {
    this.resting.remove(replica);
    if (!replica.isLeading || this.state !== 'running') return;
    this.life = newLife(this.options.random);
    this.sendBeats();
  }

  /** False while this node takes no leadership that it can leave to others. */
  private get mayLead(): boolean {
    const { peerClocks, mayLead } = this.options;
    return peerClocks?.mayLead !== false && mayLead?.() !== false;
  }

  private dropped(message: Message): void {
    if (message.kind === 'append') this.replicas.get(message.groupId)?.reportUnreachable(message.to);
  }

  // --- the end of a turn -----------------------------------------------------------------------------------------

  private markDirty(replica: Replica): void {
    if (this.state === 'stopped' || replica.isClosed) return;
    this.dirty.add(replica);
    if (this.flushPending || this.flushing || this.state !== 'running') return;
    this.flushPending = true;
    // Behind all callbacks that were there first: what the layers above propose at the end of this turn still gets in.
    const { scheduler } = this.options;
    scheduler.endOfTurn(() => scheduler.endOfTurn(() => this.flush()));
  }

  private flush(): void {
    this.flushPending = false;
    if (this.state !== 'running') return;
    this.flushing = true;
    try {
      for (let round = 0; round < MAX_ROUNDS_PER_TURN && this.dirty.size > 0; round++) this.flushRound();
    } finally {
      this.flushing = false;
    }
    this.outbox.flush();
    const rest = this.dirty.values().next().value;
    if (rest !== undefined) this.markDirty(rest);
  }

  private flushRound(): void {
    const dirty = this.dirty;
    this.dirty = new Set();
    let writes: LogWrite[] = [];
    let shares: PendingWrite<Replica>[] = [];
    let bytes = 0;
    for (const replica of dirty) {
      replica.collect((write, share) => {
        const more = payloadBytes(write);
        if (bytes + more > this.limits.maxWriteBytes && writes.length > 0) {
          this.issueWrite(writes, shares);
          writes = [];
          shares = [];
          bytes = 0;
        }
        bytes += more;
        writes.push(write);
        shares.push(share);
      });
    }
    if (writes.length > 0) this.issueWrite(writes, shares);
    this.outbox.flush();
    for (const replica of dirty) replica.act();
  }

  private issueWrite(writes: readonly LogWrite[], shares: readonly PendingWrite<Replica>[]): UnderWay {
    const write: UnderWay = { shares, stable: false, waiters: [] };
    this.writes.push(write);
    this.options.logStore.write(writes).then(
      () => {
        write.stable = true;
        this.completeWrites();
      },
      (error: unknown) => {
        const abandoned = this.writes.splice(0);
        this.fail(error instanceof Error ? error : new Error(String(error)));
        for (const { waiters } of abandoned) for (const waiter of waiters) waiter();
      },
    );
    return write;
  }

  /** In call order, whatever order the promises settle in. */
  private completeWrites(): void {
    while (this.writes[0]?.stable) {
      const { shares, waiters } = this.writes.shift()!;
      for (const share of shares) share.replica.written(share);
      for (const waiter of waiters) waiter();
    }
  }

  private async writeNow(write: LogWrite): Promise<void> {
    try {
      await this.options.logStore.write([write]);
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** Settles when every write that is under way now is over; those of other groups may go on and on. */
  private settled(): Promise<void> {
    const last = this.writes.at(-1);
    return last === undefined ? Promise.resolve() : new Promise((resolve) => last.waiters.push(resolve));
  }

  // --- the rest --------------------------------------------------------------------------------------------------

  /** Where the replica's log begins to be replayed; a founding replica's state machine hears of its founders first. */
  private startingPoint(group: GroupOptions): SnapshotMeta {
    const applied = group.stateMachine.applied();
    if (applied.index > 0 || group.bootstrap === undefined) return applied;
    const conf = group.bootstrap;
    group.stateMachine.apply([foundingEntry(conf, (node) => this.options.peerAddresses?.lookup(node))]);
    return { index: FOUNDING_INDEX, term: FOUNDING_TERM, conf };
  }

  private raftConfig(group: GroupOptions): RaftConfig {
    const { limits } = this;
    return {
      electionTimeoutTicks: Math.ceil(limits.electionTimeoutMs / limits.tickMs),
      heartbeatTicks: Math.ceil(limits.heartbeatMs / limits.tickMs),
      tickMs: limits.tickMs,
      leaseMarginMs: limits.leaseMarginMs,
      leaseDrift: limits.leaseDrift,
      maxAppendBytes: limits.maxAppendBytes,
      rotatesAppends: limits.rotatesAppends,
      maxInflightMessages: limits.maxInflightMessages,
      maxInflightBytes: limits.maxInflightBytes,
      maxUncommittedBytes: limits.maxUncommittedBytes,
      maxPromoteLag: limits.maxPromoteLag,
      // Not before a transfer of leadership that failed was given up and told.
      quietAfterTicks:
        limits.quietAfterMs === 0
          ? 0
          : Math.ceil(Math.max(limits.quietAfterMs, 2 * limits.electionTimeoutMs) / limits.tickMs),
      holdBackTicks: () =>
        this.mayLead ? 0 : Math.ceil((HOLD_BACK_TIMEOUTS * limits.electionTimeoutMs) / limits.tickMs),
      ...group.config,
      groupId: group.groupId,
      nodeId: this.options.nodeId,
    };
  }

  private membershipApplied(conf: ConfState, context: Buffer): void {
    const { network, peerAddresses, nodeId } = this.options;
    const members = membersOf(conf);
    for (const peer of members) {
      if (peer === nodeId || this.beatTo.has(peer)) continue;
      this.beatTo.add(peer);
      this.options.peerClocks?.expect(peer);
    }
    for (const [peer, address] of decodeAddresses(context)) {
      if (peer === nodeId) continue;
      // Whoever keeps the addresses decides whether this one is news.
      if (peerAddresses !== undefined) peerAddresses.learned(peer, address);
      else network.setPeer(peer, address);
    }
    if (peerAddresses === undefined) return;
    for (const peer of members) {
      const address = peer === nodeId ? undefined : peerAddresses.lookup(peer);
      if (address !== undefined) network.setPeer(peer, address);
    }
  }

  private truncateLogs(): void {
    this.truncateRounds += 1;
    let position = 0;
    for (const replica of this.replicas.values()) {
      // The log of a group at rest does not grow, but more of it may have become durable.
      const isTurn = ++position % RESTING_TRUNCATE_ROUNDS === this.truncateRounds % RESTING_TRUNCATE_ROUNDS;
      if (!isTurn && !this.resting.awake.has(replica)) continue;
      const upTo = replica.truncationPoint();
      if (upTo === undefined) continue;
      const term = replica.log.term(upTo);
      assert(term !== undefined, 'the log is cut inside itself');
      this.options.logStore.truncatePrefix(replica.groupId, upTo, term);
    }
  }

  private halt(error: Error): void {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    for (const cancel of this.cancels) cancel();
    this.wheel.stop();
    for (const replica of this.replicas.values()) replica.close(error);
    this.dirty.clear();
  }

  private fail(error: Error): void {
    if (this.state !== 'stopped') {
      this.halt(new StoppedError(`the node stopped: ${error.message}`, { cause: error }));
      void this.snapshots.stop();
      this.options.onFatal(error);
    }
  }
}

function payloadBytes(write: LogWrite): number {
  let bytes = 0;
  for (const { payload } of write.entries) bytes += payload.length;
  return bytes;
}
