/**
 * The network of a simulated cluster: frames and streams travel over `SimLinks` as events of the receiving machine. With
 * untouched links it keeps the promises of `PeerNetwork`; loss, duplication and reordering happen where they are switched on.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../assert.ts';
import type {
  DuplexHandler,
  DuplexStream,
  FrameHandler,
  Lane,
  PeerAdmission,
  PeerNetwork,
  Refusal,
  StreamHandler,
} from '../network.ts';
import type { SeededRandom } from '../random.ts';
import type { NodeId } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import { runDuplex, type SimDuplexEnd } from './sim-duplex.ts';
import { SimHandshake } from './sim-handshake.ts';
import { SimLinks } from './sim-links.ts';
import { runStream } from './sim-stream.ts';
import type { Simulation } from './simulation.ts';

/** A broken connection is noticed after up to this long. */
const MAX_NOTICE_MS = 2;

/** All machines of a cluster and the links between them. */
export class SimFabric {
  readonly simulation: Simulation;
  readonly links: SimLinks;
  private readonly networks = new Map<NodeId, SimNetwork>();
  private duplexCount = 0;
  private duplexRandom: SeededRandom | undefined;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.links = new SimLinks(simulation);
  }

  /** The network end of a machine. */
  attach(self: NodeId, owner: EventOwner): SimNetwork {
    const network = new SimNetwork(this, self, owner);
    this.networks.set(self, network);
    return network;
  }

  /** The number of the next two-way stream, and where their chance comes from. */
  nextDuplex(): { readonly streamId: number; readonly random: SeededRandom } {
    // Forked late: runs without such streams draw as they did before there were any.
    this.duplexRandom ??= this.simulation.random.fork(5);
    this.duplexCount += 1;
    return { streamId: this.duplexCount, random: this.duplexRandom };
  }

  network(node: NodeId): SimNetwork | undefined {
    return this.networks.get(node);
  }

  /** Cuts or heals one direction; cutting breaks the connection, so what is under way in it is lost. */
  setCut(from: NodeId, to: NodeId, isCut: boolean): void {
    const link = this.links.link(from, to);
    if (link.behaviour.isCut === isCut) return;
    this.links.set(from, to, { isCut });
    if (isCut) this.breakConnection(from, to);
  }

  /** Machines reach each other only inside their part; machines that are in no part keep all their links. */
  partition(...parts: readonly (readonly NodeId[])[]): void {
    this.heal();
    for (const part of parts)
      for (const other of parts)
        if (part !== other) for (const from of part) for (const to of other) this.setCut(from, to, true);
  }

  /** Mends every cut; rates and delays stay. */
  heal(): void {
    for (const link of this.links.all()) if (link.behaviour.isCut) link.behaviour = { ...link.behaviour, isCut: false };
  }

  /** Loses what is under way in both directions and tells both ends, each in its own time. */
  breakConnection(a: NodeId, b: NodeId): void {
    this.links.link(a, b).reset();
    this.links.link(b, a).reset();
    this.networks.get(a)?.notice(b, this.simulation.random.next() * MAX_NOTICE_MS);
    this.networks.get(b)?.notice(a, this.simulation.random.next() * MAX_NOTICE_MS);
  }

  /** The connections of a machine that went down. */
  breakAll(node: NodeId): void {
    for (const other of this.networks.keys()) if (other !== node) this.breakConnection(node, other);
  }
}

export class SimNetwork implements PeerNetwork {
  readonly self: NodeId;
  readonly owner: EventOwner;
  readonly handshake: SimHandshake;
  private readonly fabric: SimFabric;
  private readonly peers = new Map<NodeId, string>();
  private readonly frameHandlers = new Map<Lane, FrameHandler>();
  private readonly streamHandlers = new Map<string, StreamHandler>();
  private readonly duplexHandlers = new Map<string, DuplexHandler>();
  /** Open ends of two-way streams. */
  private readonly duplexEnds = new Set<SimDuplexEnd>();
  private peerLostListeners: ((peer: NodeId) => void)[] = [];
  private isStarted = false;
  /** Counts the processes that listened here: what was sent to one does not reach the next. */
  private processes = 0;

  constructor(fabric: SimFabric, self: NodeId, owner: EventOwner) {
    this.fabric = fabric;
    this.self = self;
    this.owner = owner;
    this.handshake = new SimHandshake(fabric, this);
  }

  /** The process that starts next tells data folders apart; left out: everybody is listened to. */
  introduceWith(admission: PeerAdmission): void {
    this.handshake.use(admission);
  }

  /** True while a process listens. */
  get isListening(): boolean {
    return this.isStarted;
  }

  /** True when the address of a peer is known to a process that runs. */
  reaches(peer: NodeId): boolean {
    return this.isStarted && this.peers.has(peer);
  }

  setPeer(peer: NodeId, address: string): void {
    if (peer === this.self || this.peers.get(peer) === address) return;
    this.removePeer(peer);
    this.peers.set(peer, address);
    this.handshake.dial(peer);
  }

  fence(peer: NodeId, incarnation: string): void {
    if (this.handshake.remove(peer, incarnation)) this.fabric.breakConnection(this.self, peer);
  }

  confirm(peer: NodeId, incarnation: string): void {
    if (this.handshake.confirm(peer, incarnation)) this.fabric.breakConnection(this.self, peer);
  }

  onAccepted(listener: (peer: NodeId) => void): void {
    this.handshake.onAccepted(listener);
  }

  onRefused(listener: (refusal: Refusal) => void): void {
    this.handshake.onRefused(listener);
  }

  removePeer(peer: NodeId): void {
    if (this.reaches(peer)) this.fabric.breakConnection(this.self, peer);
    this.peers.delete(peer);
  }

  onFrame(lane: Lane, handler: FrameHandler): void {
    assert(!this.frameHandlers.has(lane), `lane ${lane} has a handler already`);
    this.frameHandlers.set(lane, handler);
  }

  onStream(kind: string, handler: StreamHandler): void {
    assert(!this.streamHandlers.has(kind), `streams of kind ${kind} have a handler already`);
    this.streamHandlers.set(kind, handler);
  }

  onDuplex(kind: string, handler: DuplexHandler): void {
    assert(!this.duplexHandlers.has(kind), `two-way streams of kind ${kind} have a handler already`);
    this.duplexHandlers.set(kind, handler);
  }

  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream {
    const { simulation, links } = this.fabric;
    const receiver = this.fabric.network(to);
    return runDuplex({
      ...this.fabric.nextDuplex(),
      simulation,
      kind,
      header,
      opener: { node: this.self, owner: this.owner, ends: this.duplexEnds },
      receiver: receiver && { node: to, owner: receiver.owner, ends: receiver.duplexEnds },
      forth: links.link(this.self, to),
      back: links.link(to, this.self),
      isConnected: this.reaches(to) && this.handshake.isDone(to),
      handler: () => receiver?.duplexHandler(kind),
    });
  }

  onPeerLost(listener: (peer: NodeId) => void): void {
    this.peerLostListeners.push(listener);
  }

  async start(): Promise<void> {
    this.isStarted = true;
    this.processes += 1;
    for (const peer of this.peers.keys()) this.handshake.dial(peer);
  }

  send(to: NodeId, lane: Lane, frame: Buffer): boolean {
    if (!this.reaches(to) || !this.handshake.isDone(to)) return false;
    const link = this.fabric.links.link(this.self, to);
    if (link.queuedBytes(lane) + frame.length > link.behaviour.maxQueuedBytes) return false;
    const { simulation } = this.fabric;
    const receiver = this.fabric.network(to);
    const delays = link.arrivals(lane, frame.length);
    if (receiver === undefined || delays.length === 0) return true;
    simulation.note(crc32(frame));
    const { connection } = link;
    const { processes } = receiver;
    const label = simulation.isTraced ? `frame ${this.self}>${to} ${lane} ${frame.length}` : 'frame';
    const arrive = (): void => {
      if (link.connection !== connection || receiver.processes !== processes) return;
      receiver.receive(this.self, lane, frame);
    };
    for (const delayMs of delays) simulation.schedule(delayMs, label, arrive, receiver.owner, link.queue(lane));
    return true;
  }

  queuedBytes(to: NodeId, lane: Lane): number {
    return this.fabric.links.link(this.self, to).queuedBytes(lane);
  }

  stream(
    to: NodeId,
    kind: string,
    header: Buffer,
    frames: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    const { simulation, links } = this.fabric;
    const receiver = this.fabric.network(to);
    return runStream({
      simulation,
      from: this.self,
      to,
      kind,
      header,
      frames,
      signal,
      sender: this.owner,
      receiver: receiver?.owner,
      forth: links.link(this.self, to),
      back: links.link(to, this.self),
      isConnected: this.reaches(to) && this.handshake.isDone(to),
      handler: () => receiver?.streamHandler(kind),
    });
  }

  async stop(): Promise<void> {
    if (!this.isStarted) return;
    this.forget();
    this.fabric.breakAll(this.self);
  }

  /** The machine's process died. */
  crash(): void {
    for (const end of this.duplexEnds) end.abandon();
    this.forget();
    this.fabric.breakAll(this.self);
  }

  /** Tells the listeners and the two-way streams after a while that the connection to a peer is gone. */
  notice(peer: NodeId, afterMs: number): void {
    for (const end of this.duplexEnds)
      if (end.peerNode === peer && !end.isIntact) end.breakLater('the connection is gone');
    const isPeer = this.peers.has(peer);
    this.fabric.simulation.schedule(
      afterMs,
      `lost ${peer}`,
      () => {
        if (isPeer) for (const listener of this.peerLostListeners) listener(peer);
        this.handshake.dial(peer);
      },
      this.owner,
    );
  }

  private receive(from: NodeId, lane: Lane, frame: Buffer): void {
    if (this.isStarted) this.frameHandlers.get(lane)?.(from, frame);
  }

  private streamHandler(kind: string): StreamHandler | undefined {
    return this.isStarted ? this.streamHandlers.get(kind) : undefined;
  }

  private duplexHandler(kind: string): DuplexHandler | undefined {
    return this.isStarted ? this.duplexHandlers.get(kind) : undefined;
  }

  private forget(): void {
    this.isStarted = false;
    this.peers.clear();
    this.frameHandlers.clear();
    this.streamHandlers.clear();
    this.duplexHandlers.clear();
    this.peerLostListeners = [];
    this.handshake.forget();
  }
}
