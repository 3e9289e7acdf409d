/**
 * A network in memory that does nothing by itself: what is sent waits until `deliver`, and is lost, cut or repeated on
 * request. All ends of a wire know each other. It keeps the promises of `PeerNetwork`, data folders apart.
 */
import {
  assert,
  type DuplexHandler,
  type DuplexStream,
  type FrameHandler,
  type Lane,
  type NodeId,
  nodeId,
  type PeerNetwork,
  type StreamHandler,
} from '../../src/platform/index.ts';
import { receiveOverWire, sendOverWire } from './wire-streams.ts';

/** Bytes of a lane or of a two-way stream that may wait. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** The order in which lanes are delivered: `control` waits for nobody. */
const LANES: readonly Lane[] = ['control', 'forward', 'bulk'];

interface QueuedFrame {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly frame: Buffer;
  /** Default: `forward`. */
  readonly lane?: Lane;
}

/** What joins the ends. */
export class Wire {
  readonly ends = new Map<NodeId, WireEnd>();
  /** Pairs `from>to` whose frames are refused at sending. */
  readonly down = new Set<string>();
  /** Pairs `from>to` of which nothing is delivered. */
  readonly held = new Set<string>();
  /** Frames under way; `deliver` hands them over. */
  queue: QueuedFrame[] = [];
  /** What two-way streams have under way, in order. */
  messages: { from: NodeId; to: NodeId; arrive: () => void }[] = [];
  /** Open two-way streams. */
  readonly streams = new Set<WireStream>();
  /** Frames that were sent. */
  frames = 0;

  /** The network of a node; a new one takes the place of one that stopped. */
  end(id: number): WireEnd {
    const end = new WireEnd(this, nodeId(id));
    this.ends.set(end.self, end);
    return end;
  }

  deliver(): void {
    const isHeld = ({ from, to }: { from: NodeId; to: NodeId }): boolean => this.held.has(`${from}>${to}`);
    const frames = this.queue;
    const { messages } = this;
    this.queue = frames.filter(isHeld);
    this.messages = messages.filter(isHeld);
    for (const lane of LANES) {
      for (const each of frames) {
        if (!isHeld(each) && (each.lane ?? 'forward') === lane)
          this.ends.get(each.to)?.take(each.from, lane, each.frame);
      }
    }
    for (const each of messages) if (!isHeld(each)) each.arrive();
  }

  /** Loses what is under way between two nodes, ends their streams, tells both, and takes nothing more until `heal`. */
  cut(a: number, b: number): void {
    this.down.add(`${a}>${b}`).add(`${b}>${a}`);
    this.breakBetween(a, b);
  }

  /** Loses what is under way between two nodes, ends their streams and tells both. */
  breakBetween(a: number, b: number): void {
    const isBetween = (from: number, to: number): boolean => (from === a && to === b) || (from === b && to === a);
    this.queue = this.queue.filter(({ from, to }) => !isBetween(from, to));
    this.messages = this.messages.filter(({ from, to }) => !isBetween(from, to));
    for (const stream of [...this.streams]) if (isBetween(stream.self, stream.to)) stream.over(new Error('cut'));
    this.ends.get(nodeId(a))?.lost(nodeId(b));
    this.ends.get(nodeId(b))?.lost(nodeId(a));
  }

  heal(): void {
    this.down.clear();
  }
}

/** One end of a two-way stream. */
class WireStream implements DuplexStream {
  readonly self: NodeId;
  readonly to: NodeId;
  peer: WireStream | undefined;
  queuedBytes = 0;
  private readonly wire: Wire;
  private isOver = false;
  private messageHandler: ((message: Buffer) => void) | undefined;
  private endHandler: ((error: Error | undefined) => void) | undefined;

  constructor(wire: Wire, self: NodeId, to: NodeId) {
    this.wire = wire;
    this.self = self;
    this.to = to;
    wire.streams.add(this);
  }

  onMessage(handler: (message: Buffer) => void): void {
    this.messageHandler = handler;
  }

  onEnd(handler: (error: Error | undefined) => void): void {
    this.endHandler = handler;
  }

  send(message: Buffer): void {
    if (this.isOver) return;
    if (this.queuedBytes > MAX_QUEUED_BYTES) {
      // Told later: the handlers never run inside a call of the stream's owner.
      queueMicrotask(() => this.over(new Error('the other side does not keep up')));
      return;
    }
    this.queuedBytes += message.length;
    this.travel(() => {
      this.queuedBytes -= message.length;
      if (this.peer?.isOver === false) this.peer.messageHandler?.(message);
    });
  }

  close(): void {
    if (this.isOver) return;
    this.travel(() => this.peer?.over(undefined));
    this.finish();
  }

  /** Lets something happen at the other end at the next `deliver`. */
  travel(arrive: () => void): void {
    this.wire.messages.push({ from: this.self, to: this.to, arrive });
  }

  over(error: Error | undefined): void {
    if (this.isOver) return;
    this.finish();
    this.endHandler?.(error);
  }

  private finish(): void {
    this.isOver = true;
    this.wire.streams.delete(this);
  }
}

class WireEnd implements PeerNetwork {
  readonly self: NodeId;
  private readonly wire: Wire;
  private readonly frameHandlers = new Map<Lane, FrameHandler>();
  private readonly duplexHandlers = new Map<string, DuplexHandler>();
  private readonly listeners: ((peer: NodeId) => void)[] = [];
  /** Addresses of the peers that have one; the others are known without. */
  private readonly addresses = new Map<NodeId, string>();
  private readonly removed = new Set<NodeId>();
  private isStopped = false;

  constructor(wire: Wire, self: NodeId) {
    this.wire = wire;
    this.self = self;
  }

  setPeer(peer: NodeId, address: string): void {
    const before = this.addresses.get(peer);
    if (before === address && !this.removed.has(peer)) return;
    if (before !== undefined) this.removePeer(peer);
    this.addresses.set(peer, address);
    this.removed.delete(peer);
  }

  removePeer(peer: NodeId): void {
    if (this.removed.has(peer)) return;
    this.wire.breakBetween(this.self, peer);
    this.removed.add(peer);
  }

  fence(): void {}
  confirm(): void {}
  onAccepted(): void {}
  onRefused(): void {}

  onFrame(lane: Lane, handler: FrameHandler): void {
    assert(!this.frameHandlers.has(lane), `lane ${lane} has a handler already`);
    this.frameHandlers.set(lane, handler);
  }

  onStream(kind: string, handler: StreamHandler): void {
    this.onDuplex(`bulk ${kind}`, (from, header, stream) => receiveOverWire(from, header, stream, handler));
  }

  onDuplex(kind: string, handler: DuplexHandler): void {
    assert(!this.duplexHandlers.has(kind), `two-way streams of kind ${kind} have a handler already`);
    this.duplexHandlers.set(kind, handler);
  }

  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream {
    const near = new WireStream(this.wire, this.self, to);
    if (!this.reaches(to)) {
      queueMicrotask(() => near.over(new Error(`node ${to} is not connected`)));
      return near;
    }
    near.travel(() => {
      const handler = this.wire.ends.get(to)?.duplexHandlers.get(kind);
      if (handler === undefined) {
        near.over(new Error(`node ${to} does not take streams of kind ${kind}`));
        return;
      }
      near.peer = new WireStream(this.wire, to, this.self);
      near.peer.peer = near;
      handler(this.self, header, near.peer);
    });
    return near;
  }

  onPeerLost(listener: (peer: NodeId) => void): void {
    this.listeners.push(listener);
  }

  lost(peer: NodeId): void {
    if (this.isStopped || this.removed.has(peer)) return;
    for (const listener of this.listeners) listener(peer);
  }

  async start(): Promise<void> {}

  private reaches(to: NodeId): boolean {
    if (this.isStopped || this.removed.has(to) || to === this.self) return false;
    return !this.wire.down.has(`${this.self}>${to}`) && this.wire.ends.get(to)?.isStopped === false;
  }

  send(to: NodeId, lane: Lane, frame: Buffer): boolean {
    if (!this.reaches(to) || this.queuedBytes(to, lane) + frame.length > MAX_QUEUED_BYTES) return false;
    this.wire.frames++;
    this.wire.queue.push({ from: this.self, to, lane, frame });
    return true;
  }

  take(from: NodeId, lane: Lane, frame: Buffer): void {
    if (!this.isStopped) this.frameHandlers.get(lane)?.(from, frame);
  }

  queuedBytes(to: NodeId, lane: Lane): number {
    const waiting = this.wire.queue.filter((one) => one.from === this.self && one.to === to && one.lane === lane);
    return waiting.reduce((sum, { frame }) => sum + frame.length, 0);
  }

  stream(
    to: NodeId,
    kind: string,
    header: Buffer,
    frames: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    return sendOverWire(this.duplex(to, `bulk ${kind}`, header), frames, signal);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    for (const stream of [...this.wire.streams])
      if (stream.self === this.self) stream.over(new Error('the node stops'));
    for (const other of this.wire.ends.keys()) if (other !== this.self) this.wire.breakBetween(this.self, other);
  }
}
