/** A network in memory that loses, delays, duplicates and cuts on request. */
import { type FrameHandler, type Lane, type NodeId, nodeId, type PeerNetwork } from '../../src/platform/index.ts';

export class Wire {
  readonly ends = new Map<NodeId, WireEnd>();
  /** Pairs `from>to` whose frames are refused at sending. */
  readonly down = new Set<string>();
  /** Frames under way; `deliver` hands them over. */
  queue: { from: NodeId; to: NodeId; frame: Buffer }[] = [];
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
  }

  /** Loses what is under way between two nodes and tells both. */
  cut(a: number, b: number): void {
    const isBetween = (from: number, to: number): boolean => (from === a && to === b) || (from === b && to === a);
    this.queue = this.queue.filter(({ from, to }) => !isBetween(from, to));
    this.down.add(`${a}>${b}`).add(`${b}>${a}`);
    this.ends.get(nodeId(a))?.lost(nodeId(b));
    this.ends.get(nodeId(b))?.lost(nodeId(a));
  }

  heal(): void {
    this.down.clear();
  }
}

class WireEnd implements PeerNetwork {
  readonly self: NodeId;
  handler: FrameHandler | undefined;
  private readonly wire: Wire;
  private readonly listeners: ((peer: NodeId) => void)[] = [];

  constructor(wire: Wire, self: NodeId) {
    this.wire = wire;
    this.self = self;
  }

  setPeer(): void {}
  removePeer(): void {}

  onFrame(_lane: Lane, handler: FrameHandler): void {
    this.handler = handler;
  }

  onStream(): void {}

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
