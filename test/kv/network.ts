/** A network in memory that loses, delays, duplicates and cuts on request. */
import {
  type DuplexHandler,
  type DuplexStream,
  type FrameHandler,
  type Lane,
  type NodeId,
  nodeId,
  type PeerNetwork,
} from '../../src/platform/index.ts';

export class Wire {
  readonly ends = new Map<NodeId, WireEnd>();
  /** Pairs `from>to` whose frames are refused at sending. */
  readonly down = new Set<string>();
  /** Frames under way; `deliver` hands them over. */
  queue: { from: NodeId; to: NodeId; frame: Buffer }[] = [];
  /** What two-way streams have under way, in order. */
  messages: { from: NodeId; to: NodeId; arrive: () => void }[] = [];
  /** Open two-way streams. */
  readonly streams = new Set<WireStream>();
  frames = 0;

  end(id: number): WireEnd {
    const end = new WireEnd(this, nodeId(id));
    this.ends.set(end.self, end);
    return end;
  }

  deliver(): void {
    const frames = this.queue;
    this.queue = [];
    for (const { from, to, frame } of frames) this.ends.get(to)?.handler?.(from, frame);
    for (const { arrive } of this.messages.splice(0)) arrive();
  }

  /** Loses what is under way between two nodes and tells both. */
  cut(a: number, b: number): void {
    const isBetween = (from: number, to: number): boolean => (from === a && to === b) || (from === b && to === a);
    this.queue = this.queue.filter(({ from, to }) => !isBetween(from, to));
    this.messages = this.messages.filter(({ from, to }) => !isBetween(from, to));
    this.down.add(`${a}>${b}`).add(`${b}>${a}`);
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
  handler: FrameHandler | undefined;
  private readonly wire: Wire;
  private readonly duplexHandlers = new Map<string, DuplexHandler>();
  private readonly listeners: ((peer: NodeId) => void)[] = [];

  constructor(wire: Wire, self: NodeId) {
    this.wire = wire;
    this.self = self;
  }

  setPeer(): void {}
  removePeer(): void {}
  fence(): void {}
  confirm(): void {}
  onAccepted(): void {}
  onRefused(): void {}

  onFrame(_lane: Lane, handler: FrameHandler): void {
    this.handler = handler;
  }

  onStream(): void {}

  onDuplex(kind: string, handler: DuplexHandler): void {
    this.duplexHandlers.set(kind, handler);
  }

  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream {
    const near = new WireStream(this.wire, this.self, to);
    near.travel(() => {
      const handler = this.wire.ends.get(to)?.duplexHandlers.get(kind);
      if (handler === undefined || this.wire.down.has(`${this.self}>${to}`)) {
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
    for (const listener of this.listeners) listener(peer);
  }

  async start(): Promise<void> {}

  send(to: NodeId, _lane: Lane, frame: Buffer): boolean {
    if (this.wire.down.has(`${this.self}>${to}`) || !this.wire.ends.has(to)) return false;
    this.wire.frames++;
    this.wire.queue.push({ from: this.self, to, frame });
    return true;
  }

  queuedBytes(): number {
    return 0;
  }

  async stream(): Promise<Buffer> {
    throw new Error('no streams here');
  }

  async stop(): Promise<void> {}
}
