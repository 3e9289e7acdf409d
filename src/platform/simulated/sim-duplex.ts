/**
 * A two-way stream of messages between simulated machines. Each direction keeps its order and has a throughput of its own;
 * a lost message, a cut, an end that goes down or a queue that grows too long breaks the stream, and each end that still
 * lives is told so a moment later.
 */
import { crc32 } from 'node:zlib';
import type { DuplexHandler, DuplexStream } from '../network.ts';
import type { SeededRandom } from '../random.ts';
import type { NodeId } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import type { SimLink } from './sim-links.ts';
import { SimStreamBrokenError } from './sim-stream.ts';
import type { Simulation } from './simulation.ts';

/** A stream that broke is noticed after up to this long. */
const MAX_NOTICE_MS = 2;

/** What one end of a stream lives in. */
export interface DuplexSide {
  readonly node: NodeId;
  readonly owner: EventOwner;
  /** Open ends of the machine, for those who break connections. */
  readonly ends: Set<SimDuplexEnd>;
}

export interface DuplexRun {
  readonly simulation: Simulation;
  readonly random: SeededRandom;
  readonly kind: string;
  readonly header: Buffer;
  readonly opener: DuplexSide;
  /** Undefined when there is no such machine. */
  readonly receiver: DuplexSide | undefined;
  readonly forth: SimLink;
  readonly back: SimLink;
  readonly isConnected: boolean;
  /** Looked up on arrival. */
  readonly handler: () => DuplexHandler | undefined;
  /** Unlike that of any other stream of the simulation. */
  readonly streamId: number;
}

/** Opens a stream and gives the opener's end. */
export function runDuplex(run: DuplexRun): SimDuplexEnd {
  const { opener, receiver, forth, back } = run;
  const near = new SimDuplexEnd(run, opener, forth);
  if (receiver === undefined || !run.isConnected) {
    near.breakLater('the node is not connected');
    return near;
  }
  const far = new SimDuplexEnd(run, receiver, back);
  near.join(far);
  far.join(near);
  opener.ends.add(near);
  near.travel('open', run.header, () => {
    // It broke before anybody here knew of it.
    if (!far.isIntact) return;
    const handler = run.handler();
    if (handler === undefined) {
      far.travel('refuse', Buffer.alloc(0), () => near.over(new SimStreamBrokenError(`no handler for ${run.kind}`)));
      return;
    }
    receiver.ends.add(far);
    handler(opener.node, run.header, far);
  });
  return near;
}

/** See the top of the file. */
export class SimDuplexEnd implements DuplexStream {
  private readonly run: DuplexRun;
  private readonly side: DuplexSide;
  /** The direction that this end sends in. */
  private readonly link: SimLink;
  private readonly connection: number;
  private readonly lane: `duplex ${number}`;
  private peer: SimDuplexEnd | undefined;
  /** Closed here, ended there or broken: nothing is sent or told any more. */
  private isOver = false;
  /** Something was lost: nothing that was sent after it may arrive. */
  private isBroken = false;
  private messageHandler: ((message: Buffer) => void) | undefined;
  private endHandler: ((error: Error | undefined) => void) | undefined;

  constructor(run: DuplexRun, side: DuplexSide, link: SimLink) {
    this.run = run;
    this.side = side;
    this.link = link;
    this.connection = link.connection;
    this.lane = `duplex ${run.streamId}`;
  }

  /** Says which end is the other one. */
  join(peer: SimDuplexEnd): void {
    this.peer = peer;
  }

  get peerNode(): NodeId | undefined {
    return this.peer?.side.node;
  }

  /** False once the stream, or the connection under it, broke. */
  get isIntact(): boolean {
    return !this.isBroken && this.link.connection === this.connection;
  }

  get queuedBytes(): number {
    return this.isOver ? 0 : this.link.queuedBytes(this.lane);
  }

  onMessage(handler: (message: Buffer) => void): void {
    this.messageHandler = handler;
  }

  onEnd(handler: (error: Error | undefined) => void): void {
    this.endHandler = handler;
  }

  send(message: Buffer): void {
    if (this.isOver) return;
    if (this.queuedBytes > this.link.behaviour.maxQueuedBytes) {
      this.breakBoth('the other side does not keep up');
      return;
    }
    this.travel('message', message, () => this.peer?.take(message));
  }

  close(): void {
    if (this.isOver) return;
    this.travel('end', Buffer.alloc(0), () => this.peer?.over(undefined));
    this.finish();
  }

  /** Lets something arrive at the other end, in order; a loss breaks the stream. */
  travel(what: string, bytes: Buffer, arrive: () => void): void {
    const { simulation, kind } = this.run;
    const { peer, link, connection } = this;
    if (peer === undefined || !this.isIntact) return;
    const delayMs = link.arrivals(this.lane, bytes.length)[0];
    if (delayMs === undefined) {
      this.breakBoth('a message was lost');
      return;
    }
    simulation.note(crc32(bytes));
    simulation.schedule(
      delayMs,
      simulation.isTraced ? `duplex ${this.side.node}>${peer.side.node} ${kind} ${what}` : 'duplex',
      () => {
        if (link.connection === connection) arrive();
      },
      peer.side.owner,
      link,
    );
  }

  /** The stream is over for this end, which is told unless it closed itself. */
  over(error: Error | undefined): void {
    if (this.isOver) return;
    this.finish();
    this.endHandler?.(error);
  }

  /** The machine of this end died: nobody is left to be told. */
  abandon(): void {
    this.finish();
  }

  /** Sends nothing more, and tells this end after a moment that the stream broke. */
  breakLater(reason: string): void {
    if (this.isBroken) return;
    this.isBroken = true;
    const { simulation, random } = this.run;
    simulation.schedule(
      random.next() * MAX_NOTICE_MS,
      'duplex broke',
      () => this.over(new SimStreamBrokenError(`the stream broke: ${reason}`)),
      this.side.owner,
    );
  }

  private take(message: Buffer): void {
    if (!this.isOver) this.messageHandler?.(message);
  }

  private breakBoth(reason: string): void {
    this.breakLater(reason);
    this.peer?.breakLater(reason);
  }

  private finish(): void {
    this.isOver = true;
    this.side.ends.delete(this);
    // What is under way still arrives; only the bookkeeping of the direction goes.
    this.link.forget(this.lane);
  }
}
