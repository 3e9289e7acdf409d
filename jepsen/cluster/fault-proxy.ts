/**
 * A TCP proxy for one ordered pair of nodes: connections that `from` opens to `to` pass through it, and either direction
 * can be cut, delayed or made lossy while they live. Bytes are held, never dropped, because that is what a broken network
 * does to TCP: the sender's kernel keeps them until the network heals or somebody gives up.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../../src/platform/index.ts';
import type { LinkFault } from '../types.ts';

/** How long a burst is held when loss strikes: the order of TCP's minimum retransmission timeout. */
const RETRANSMIT_MS = 200;
/** Less than this is not waited for. */
const TIMER_RESOLUTION_MS = 0.5;

/** One direction of one connection. */
class Pipe {
  private readonly source: Socket;
  private readonly sink: Socket;
  private readonly random: Random;
  private fault: LinkFault;
  /** Monotonic ms before which nothing may leave, so that delayed bursts keep their order. */
  private earliestMs = 0;
  /** What waits, oldest first. */
  private readonly held: { readonly atMs: number; readonly action: () => void }[] = [];

  constructor(source: Socket, sink: Socket, random: Random, fault: LinkFault) {
    this.source = source;
    this.sink = sink;
    this.random = random;
    this.fault = fault;
    source.on('data', (bytes) => this.pass(bytes));
    source.on('end', () => this.after(() => sink.end()));
    sink.on('drain', () => this.apply());
    this.apply();
  }

  setFault(fault: LinkFault): void {
    this.fault = fault;
    this.apply();
  }

  private apply(): void {
    if (this.fault.cut) this.source.pause();
    else this.source.resume();
  }

  private holdMs(): number {
    const { delayMs = 0, jitterMs = 0, lossRate = 0 } = this.fault;
    const lost = lossRate > 0 && this.random.next() < lossRate ? RETRANSMIT_MS : 0;
    return delayMs + this.random.next() * jitterMs + lost;
  }

  /** Runs `action` when the fault lets it, and never before an action that came earlier. */
  private after(action: () => void): void {
    const nowMs = performance.now();
    this.earliestMs = Math.max(this.earliestMs, nowMs + this.holdMs());
    this.held.push({ atMs: this.earliestMs, action });
    if (this.held.length === 1) this.release();
  }

  /** One timer for the oldest only: timers of different lengths do not promise to fire in the order of their ends. */
  private release(): void {
    for (;;) {
      const oldest = this.held[0];
      if (oldest === undefined) return;
      const leftMs = oldest.atMs - performance.now();
      if (leftMs >= TIMER_RESOLUTION_MS) {
        setTimeout(() => this.release(), leftMs);
        return;
      }
      this.held.shift();
      oldest.action();
    }
  }

  private pass(bytes: Buffer): void {
    this.after(() => {
      if (this.sink.destroyed) return;
      if (!this.sink.write(bytes)) this.source.pause();
    });
  }
}

/** Listens on loopback for one node's connections to one peer. */
export class FaultProxy {
  private readonly server: Server;
  private readonly targetPort: () => number;
  private readonly random: Random;
  private readonly pipes = new Set<{ sockets: readonly Socket[]; outbound: Pipe; inbound: Pipe }>();
  private outboundFault: LinkFault = {};
  private inboundFault: LinkFault = {};

  /** @param targetPort where the peer listens now, asked on every connection */
  constructor(targetPort: () => number, random: Random) {
    this.targetPort = targetPort;
    this.random = random;
    this.server = createServer((client) => this.accept(client));
  }

  /** Settles with the port that was bound. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(0, '127.0.0.1', () => resolve((this.server.address() as { port: number }).port));
    });
  }

  private accept(client: Socket): void {
    const upstream = connect(this.targetPort(), '127.0.0.1');
    const close = (): void => {
      client.destroy();
      upstream.destroy();
      this.pipes.delete(entry);
    };
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const entry = {
      sockets: [client, upstream],
      outbound: new Pipe(client, upstream, this.random, this.outboundFault),
      inbound: new Pipe(upstream, client, this.random, this.inboundFault),
    };
    this.pipes.add(entry);
    client.on('error', close).on('close', close);
    upstream.on('error', close).on('close', close);
  }

  /** Bytes from the connecting node to its peer. */
  setOutbound(fault: LinkFault): void {
    this.outboundFault = fault;
    for (const { outbound } of this.pipes) outbound.setFault(fault);
  }

  /** Bytes from the peer back to the connecting node. */
  setInbound(fault: LinkFault): void {
    this.inboundFault = fault;
    for (const { inbound } of this.pipes) inbound.setFault(fault);
  }

  stop(): Promise<void> {
    for (const { sockets } of this.pipes) for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}
