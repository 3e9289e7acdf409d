/**
 * One connection of a client that sends what all SDKs send: requests with a plain head and a known length, which are read without node's parser and answered
 * without its objects, at a fraction of their cost. Everything else is given to node's server with the connection, and stays there: other
 * methods and paths, bodies in chunks, long bodies, heads with anything unusual, and whoever is slow.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { atEndOfTurn, type Cancel, type Clock, type Millis, type Scheduler } from '../../../platform/index.ts';
import type { Answer } from './answer.ts';
import type { Exchanges, Underway } from './exchange.ts';
import { LEAN_LINE, type LeanHead, parseLeanHead } from './head.ts';

/** Of one request, head and body. */
const MAX_LEAN_BYTES = 64 * 1024;
/** Pieces that one request may come in. */
const MAX_PIECES = 1_024;
/** Requests of one connection that are under way; further ones wait in its socket. */
const MAX_UNDER_WAY = 64;
/** How long a request may take to arrive: what is slower is watched over by node's server. */
const PATIENCE_MS: Millis = 2_000;
/** Bodies up to here leave in one piece with their heads. */
const MAX_JOINED_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const LINE = Buffer.from(LEAN_LINE);
const NO_BYTES = Buffer.alloc(0);

export interface LeanOptions {
  readonly socket: Socket;
  readonly exchanges: Exchanges;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly maxHeaderBytes: number;
  /** What is written goes to the system as it is, and not through TLS. */
  readonly isPlain: boolean;
  /** A connection is kept for so long without a sign of life. */
  readonly silenceMs: Millis;
  /** Takes the connection over. @param unread what was read of it and is not answered */
  readonly giveAway: (unread: Buffer) => void;
}

/** A request that has come, and its place among the answers. */
interface Asked {
  readonly underway: Underway;
  answer: Answer | undefined;
}

/** See the top of the file. */
export class LeanConnection {
  private readonly options: LeanOptions;
  private readonly socket: Socket;
  /** Those that are not answered, in their order. */
  private readonly asked: Asked[] = [];
  private pieces: Buffer[] = [];
  private unreadBytes = 0;
  /** Below this many bytes there is nothing to look at. */
  private neededBytes = 1;
  private isLeaving = false;
  private isClogged = false;
  private hasEnded = false;
  /** `send` comes at the end of the turn. */
  private sendsSoon = false;
  /** The server stops: the next request, or the last one that is under way, is the last one. */
  private isStopping = false;
  /** Nothing that comes is begun any more. */
  private isEnding = false;
  private cancelWait: Cancel | undefined;
  private readonly onData = (piece: Buffer): void => this.take(piece);
  private readonly onEnd = (): void => this.ended();
  private readonly onDrain = (): void => this.unclog();
  private readonly onClose = (): void => this.closed();
  private readonly onSilence = (): void => {
    this.socket.destroy();
  };

  constructor(options: LeanOptions) {
    this.options = options;
    const { socket } = options;
    this.socket = socket;
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('drain', this.onDrain);
    socket.on('close', this.onClose);
    socket.on('error', ignore);
    socket.on('timeout', this.onSilence);
    socket.setTimeout(options.silenceMs);
    this.wait();
  }

  /** The server stops. The last answer says that nothing comes behind it; a connection at rest still takes one request. */
  endSoon(): void {
    this.isStopping = true;
    this.isEnding = this.asked.length > 0;
  }

  /** Ends it unless something is under way: then it ends behind that. */
  endAtRest(): void {
    this.isEnding = true;
    this.stopWaiting();
    if (this.asked.length === 0) this.socket.end();
  }

  private take(piece: Buffer): void {
    if (this.isEnding) return;
    this.pieces.push(piece);
    this.unreadBytes += piece.length;
    this.options.exchanges.budget.hold(piece.length);
    if (this.unreadBytes >= this.neededBytes) this.look();
    else if (this.pieces.length >= MAX_PIECES || this.options.exchanges.budget.isUsedUp) this.leave();
  }

  /** Begins every request that is there. */
  private look(): void {
    const bytes = this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces);
    let at = 0;
    let needed = 1;
    let isLean = true;
    while (at < bytes.length && this.asked.length < MAX_UNDER_WAY && !this.isClogged && !this.isEnding) {
      const found = this.requestAt(bytes, at);
      isLean = found !== undefined;
      if (found === undefined) break;
      if (found.head === undefined) {
        needed = found.needed;
        break;
      }
      const end = at + found.needed;
      this.begin(found.head, bytes.subarray(end - found.head.bodyBytes, end));
      at = end;
    }
    this.options.exchanges.budget.release(at);
    this.unreadBytes = bytes.length - at;
    this.neededBytes = needed;
    this.pieces = this.unreadBytes === 0 ? [] : [at === 0 ? bytes : bytes.subarray(at)];
    if (!isLean) this.leave();
    else if (this.asked.length >= MAX_UNDER_WAY || this.isClogged) this.socket.pause();
    else if (this.unreadBytes > 0) this.wait();
    else this.stopWaiting();
  }

  /** @returns undefined for what is not for here; without a head how many bytes are needed for the next look */
  private requestAt(bytes: Buffer, at: number): { head: LeanHead | undefined; needed: number } | undefined {
    const there = bytes.length - at;
    const headEnd = bytes.indexOf(HEAD_END, at);
    if (headEnd < 0) {
      const compared = Math.min(LINE.length, there);
      const isOther = bytes.compare(LINE, 0, compared, at, at + compared) !== 0;
      return isOther || there > this.options.maxHeaderBytes ? undefined : { head: undefined, needed: there + 1 };
    }
    const head =
      headEnd - at > this.options.maxHeaderBytes ? undefined : parseLeanHead(bytes.toString('latin1', at, headEnd));
    if (head === undefined) return undefined;
    const needed = headEnd + HEAD_END.length - at + head.bodyBytes;
    if (needed > MAX_LEAN_BYTES) return undefined;
    return { head: there < needed ? undefined : head, needed };
  }

  private begin(head: LeanHead, body: Buffer): void {
    const { exchanges } = this.options;
    const asked: Asked = { underway: exchanges.begin(), answer: undefined };
    this.asked.push(asked);
    this.isEnding = this.isStopping;
    void exchanges.answer(asked.underway, head, body).then((answer) => {
      asked.answer = answer;
      if (this.sendsSoon) return;
      this.sendsSoon = true;
      atEndOfTurn(this.options.scheduler, () => this.send());
    });
  }

  /** Sends what is answered, up to the first request that is not; with the answers to others, when all that has come is read. */
  private send(): void {
    this.sendsSoon = false;
    if (this.socket.destroyed) return;
    while (this.asked[0]?.answer !== undefined) {
      const { underway, answer } = this.asked.shift()!;
      this.write(answer!, () => underway.end(true));
    }
    if (this.asked.length > 0) return;
    if (this.hasEnded || this.isEnding) this.socket.end();
    else if (this.isLeaving) this.goAway();
    else this.goOn();
  }

  private write({ status, headers, body }: Answer, sent: () => void): void {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    head += `Date: ${dateOf(this.options.clock.nowMs())}\r\n`;
    const isLast = this.isEnding && this.asked.length === 0;
    head += isLast
      ? 'Connection: close\r\n\r\n'
      : `Connection: keep-alive\r\nKeep-Alive: timeout=${this.options.silenceMs / 1_000}\r\n\r\n`;
    const isJoined = body.length <= MAX_JOINED_BYTES;
    const bytes = Buffer.allocUnsafe(head.length + (isJoined ? body.length : 0));
    bytes.write(head, 0, 'latin1');
    if (isJoined) bytes.set(body, head.length);
    else this.socket.write(bytes);
    const { socket } = this;
    const last = isJoined ? bytes : body;
    if (this.options.isPlain) {
      // The system has nearly always room, and then there is nothing to be told of later.
      this.isClogged = !socket.write(last);
      if (socket.writableLength === 0) sent();
      else socket.write(NO_BYTES, sent);
    } else this.isClogged = !socket.write(last, sent);
  }

  private unclog(): void {
    this.isClogged = false;
    this.goOn();
  }

  /** Reads on after requests had to wait. */
  private goOn(): void {
    if (this.isLeaving || this.hasEnded || this.isClogged || !this.socket.isPaused()) return;
    this.socket.resume();
    if (this.unreadBytes >= this.neededBytes) this.look();
  }

  private wait(): void {
    this.cancelWait ??= this.options.scheduler.after(PATIENCE_MS, () => this.leave());
  }

  private stopWaiting(): void {
    this.cancelWait?.();
    this.cancelWait = undefined;
  }

  /** Takes no more requests; when those that are under way are answered, somebody else has the connection. */
  private leave(): void {
    if (this.isLeaving || this.hasEnded || this.isEnding) return;
    this.isLeaving = true;
    this.socket.pause();
    if (this.asked.length === 0) this.goAway();
  }

  private goAway(): void {
    this.detach();
    this.socket.setTimeout(0);
    const unread = this.pieces.length === 0 ? NO_BYTES : Buffer.concat(this.pieces);
    this.forget();
    this.options.giveAway(unread);
  }

  /** The client sends nothing more. It may be gone, or may listen: whoever can is to give up, what is answered all the same is sent. */
  private ended(): void {
    this.hasEnded = true;
    this.stopWaiting();
    for (const { underway } of this.asked) underway.scope?.abandon();
    if (this.asked.length === 0) this.socket.end();
  }

  private closed(): void {
    this.detach();
    this.forget();
    for (const { underway } of this.asked.splice(0)) underway.end(false);
  }

  private forget(): void {
    this.options.exchanges.budget.release(this.unreadBytes);
    this.pieces = [];
    this.unreadBytes = 0;
  }

  private detach(): void {
    const { socket } = this;
    this.stopWaiting();
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    socket.off('drain', this.onDrain);
    socket.off('close', this.onClose);
    socket.off('error', ignore);
    socket.off('timeout', this.onSilence);
  }
}

/** A connection that breaks is no concern of whoever writes to it: it closes. */
const ignore = (): void => {};

let date = { second: -1, text: '' };

/** As HTTP writes it; of one second it is one text. */
function dateOf(nowMs: Millis): string {
  const second = Math.floor(nowMs / 1_000);
  if (date.second !== second) date = { second, text: new Date(nowMs).toUTCString() };
  return date.text;
}
