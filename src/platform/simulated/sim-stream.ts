/**
 * One bulk stream between simulated machines: the header, then one frame at a time, each taken from the sender only when
 * the receiver has asked for it, then the receiver's answer. It breaks when either direction is cut, a frame is lost or an
 * end goes down; both ends see that as an error.
 */
import { crc32 } from 'node:zlib';
import { type ErrorDisposition, KvorumError } from '../errors.ts';
import type { StreamHandler } from '../network.ts';
import type { Millis, NodeId } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import type { SimLink } from './sim-links.ts';
import type { Simulation } from './simulation.ts';

/** The connection under a stream broke, or was refused. */
export class SimStreamBrokenError extends KvorumError {
  readonly code = 'SIM_STREAM_BROKEN';
  readonly disposition: ErrorDisposition = 'wait';
}

export interface StreamRun {
  readonly simulation: Simulation;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly kind: string;
  readonly header: Buffer;
  readonly frames: AsyncIterable<Buffer>;
  readonly signal: AbortSignal | undefined;
  readonly sender: EventOwner;
  readonly receiver: EventOwner | undefined;
  readonly forth: SimLink;
  readonly back: SimLink;
  readonly isConnected: boolean;
  /** Looked up on arrival. */
  readonly handler: () => StreamHandler | undefined;
}

/** An end that waits notices after this long at the latest that the other is gone. */
const WATCH_MS: Millis = 5;

/** @returns the receiver's answer; rejects with SimStreamBrokenError or with the receiver's own error */
export function runStream(run: StreamRun): Promise<Buffer> {
  if (!run.isConnected || run.receiver === undefined)
    return Promise.reject(new SimStreamBrokenError(`node ${run.to} is not connected`));
  return new SimStream(run, run.receiver).answer;
}

interface Pull {
  readonly resolve: (result: IteratorResult<Buffer>) => void;
  readonly reject: (error: Error) => void;
}

class SimStream {
  readonly answer: Promise<Buffer>;
  private readonly run: StreamRun;
  private readonly receiver: EventOwner;
  private readonly iterator: AsyncIterator<Buffer>;
  private readonly lives: readonly [sender: number, receiver: number];
  private readonly connections: readonly [forth: number, back: number];
  /** The sender has its outcome. */
  private isAnswered = false;
  /** The receiver's handler has ended. */
  private isHandled = false;
  private resolve: (answer: Buffer) => void = () => {};
  private reject: (error: Error) => void = () => {};
  private isBroken = false;
  /** The receiver waits for a frame. */
  private pendingPull: Pull | undefined;

  constructor(run: StreamRun, receiver: EventOwner) {
    this.run = run;
    this.receiver = receiver;
    this.iterator = run.frames[Symbol.asyncIterator]();
    this.lives = [run.sender.life, receiver.life];
    this.connections = [run.forth.connection, run.back.connection];
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    const abort = (): void => {
      this.isBroken = true;
      this.finish(new SimStreamBrokenError('the stream was aborted'));
    };
    run.signal?.addEventListener('abort', abort, { once: true });
    if (run.signal?.aborted === true) abort();
    this.toReceiver('open', run.header, () => this.open());
    this.watch(run.sender);
    this.watch(receiver);
  }

  private open(): void {
    const handler = this.run.handler();
    if (handler === undefined) {
      this.toSender('refuse', 0, () => this.finish(new SimStreamBrokenError(`no handler for ${this.run.kind}`)));
      return;
    }
    handler(this.run.from, this.run.header, { [Symbol.asyncIterator]: () => this.receiverEnd() }).then(
      (answer) => {
        this.isHandled = true;
        this.toSender('answer', answer.length, () => this.finish(undefined, answer));
      },
      (error: Error) => {
        this.isHandled = true;
        const failure = new SimStreamBrokenError(`the receiver failed: ${error.message}`, { cause: error });
        this.toSender('error', 0, () => this.finish(failure));
      },
    );
  }

  /** What the receiver iterates over: every step is a round trip. */
  private receiverEnd(): AsyncIterator<Buffer> {
    return {
      next: () =>
        new Promise((resolve, reject) => {
          if (this.isBroken) {
            reject(new SimStreamBrokenError('the stream broke'));
            return;
          }
          this.pendingPull = { resolve, reject };
          this.toSender('pull', 0, () => this.sendNext());
        }),
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }

  private sendNext(): void {
    this.iterator.next().then(
      (result) => {
        const bytes = result.done === true ? Buffer.alloc(0) : result.value;
        this.toReceiver(result.done === true ? 'end' : 'frame', bytes, () => {
          this.takePull()?.resolve(
            result.done === true ? { done: true, value: undefined } : { done: false, value: bytes },
          );
        });
      },
      (error: unknown) => {
        this.isBroken = true;
        this.finish(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  private toReceiver(what: string, bytes: Buffer, arrive: () => void): void {
    this.run.simulation.note(crc32(bytes));
    this.travel(this.run.forth, this.receiver, what, bytes.length, arrive);
  }

  private toSender(what: string, bytes: number, arrive: () => void): void {
    this.travel(this.run.back, this.run.sender, what, bytes, arrive);
  }

  private travel(link: SimLink, owner: EventOwner, what: string, bytes: number, arrive: () => void): void {
    if (this.checkBroken()) return;
    const delayMs = link.arrivals('stream', bytes)[0];
    if (delayMs === undefined) {
      this.isBroken = true;
      return;
    }
    const { simulation, from, to, kind } = this.run;
    simulation.schedule(
      delayMs,
      simulation.isTraced ? `stream ${from}>${to} ${kind} ${what}` : 'stream',
      () => {
        if (!this.checkBroken() && !this.isAnswered) arrive();
      },
      owner,
      link,
    );
  }

  /** Looks from time to time whether the stream still stands, so that an end which only waits learns that it broke. */
  private watch(end: EventOwner): void {
    const look = (): void => {
      if (end === this.receiver ? this.isHandled : this.isAnswered) return;
      if (!this.checkBroken()) this.run.simulation.schedule(WATCH_MS, 'stream watch', look, end);
      else if (end === this.receiver) this.takePull()?.reject(new SimStreamBrokenError('the stream broke'));
      else this.finish(new SimStreamBrokenError(`the stream to node ${this.run.to} broke`));
    };
    this.run.simulation.schedule(WATCH_MS, 'stream watch', look, end);
  }

  private takePull(): Pull | undefined {
    const pull = this.pendingPull;
    this.pendingPull = undefined;
    return pull;
  }

  private checkBroken(): boolean {
    if (this.isBroken) return true;
    const { sender, forth, back } = this.run;
    const intact =
      sender.life === this.lives[0] &&
      this.receiver.life === this.lives[1] &&
      forth.connection === this.connections[0] &&
      back.connection === this.connections[1];
    if (!intact) this.isBroken = true;
    return this.isBroken;
  }

  private finish(error: Error | undefined, answer: Buffer = Buffer.alloc(0)): void {
    if (this.isAnswered) return;
    this.isAnswered = true;
    // Lets the source of the frames give back what it holds, also when it was not read to its end.
    this.iterator.return?.().catch(() => {});
    if (error === undefined) this.resolve(answer);
    else this.reject(error);
  }
}
