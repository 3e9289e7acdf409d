/**
 * Lanes on plain connections. The call of a lane introduces both sides and stays open; what the lane carries may take a TCP connection of its own to
 * the same port. A message costs a third of what it costs through HTTP/2 and gRPC there, and leaves in the turn that it was written in instead of the
 * next. The callee offers it in its answer by a ticket, to a caller that says it knows them; who has taken it is who was introduced. Where the
 * connection does not come about, as behind a proxy that passes on nothing but HTTP/2, the lane stays on its call.
 *
 *   opening := 'KVRMLANE', first half of the ticket        by the caller; as long as the first word of HTTP/2
 *   answer  := second half of the ticket                   by the callee
 *   then by the caller: length u32, message                as in the call, see `peer-protocol.ts`; length 0 asks whether the callee is there
 *   and by the callee:  a byte for each such question
 *
 * A kernel takes bytes for a peer that is gone for many minutes. So the caller asks, as the keepalive of HTTP/2 does, and gives up a connection on
 * which nothing is answered.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type Server as TlsServer } from 'node:tls';
import type { Cancel, Millis, Random, Scheduler } from '../../platform/index.ts';
import { asksForLane, type LiveCertificates, laneDialOptions, laneHandshakes } from '../../security/index.ts';
import { MalformedFrameError, StreamBrokenError } from '../errors.ts';
import type { PeerTls } from './channel.ts';
import { awaitFirstWord, FIRST_WORD_BYTES } from './first-word.ts';
import { BATCH_BYTES } from './peer-protocol.ts';
import type { LaneCall } from './send-lane.ts';

const MAGIC = Buffer.from('KVRMLANE');
const OPENING_BYTES = FIRST_WORD_BYTES;
const HALF_BYTES = OPENING_BYTES - MAGIC.length;
const TICKET_BYTES = 2 * HALF_BYTES;
const LENGTH_BYTES = 4;
/** A batch or a piece, with what is in front of it. */
const MAX_MESSAGE_BYTES = BATCH_BYTES + 64;
const QUESTION = Buffer.alloc(LENGTH_BYTES);
const YES = Buffer.alloc(1);
/** Between two questions. */
const QUESTION_MS: Millis = 2000;
/** As many without an answer end the connection. They are counted, so that a node that stood still itself blames nobody. */
const MAX_UNANSWERED = 3;
/** Nothing that is on the way takes longer; without it the lane stays on its call. */
const OPEN_MS: Millis = 1000;

/** Where a caller dials, and for whom. */
export interface DirectTarget {
  /** `host:port` */
  readonly address: string;
  /** Undefined: plain text. */
  readonly tls: PeerTls | undefined;
  /** From the answer of the callee. */
  readonly ticket: Buffer;
}

/** What a caller hears of its connection; `onOpen` or `onRefused` first. */
export interface DirectLaneListener {
  onOpen(): void;
  /** There is no connection, and nothing was sent. */
  onRefused(error: Error): void;
  /** What was sent last may not have arrived. */
  onLost(error: Error): void;
}

/** The caller's end. */
export class DirectLane implements LaneCall {
  readonly room = LENGTH_BYTES;
  private readonly socket: Socket;
  private readonly scheduler: Scheduler;
  private readonly listener: DirectLaneListener;
  private state: 'opening' | 'open' | 'closed' = 'opening';
  private cancelTimer: Cancel;
  private unanswered = 0;

  /** Dials. */
  constructor(target: DirectTarget, scheduler: Scheduler, listener: DirectLaneListener) {
    const { ticket } = target;
    this.scheduler = scheduler;
    this.listener = listener;
    this.socket = dial(target).setNoDelay(true);
    this.socket.on('error', (error) => this.ended(error));
    this.socket.on('close', () => this.ended(new StreamBrokenError('the connection was ended')));
    this.cancelTimer = scheduler.after(OPEN_MS, () => this.ended(new StreamBrokenError('nobody has answered')));
    this.socket.write(Buffer.concat([MAGIC, ticket.subarray(0, HALF_BYTES)]));
    const expected = ticket.subarray(HALF_BYTES);
    let answer = Buffer.alloc(0);
    this.socket.on('data', (bytes) => {
      this.unanswered = 0;
      if (this.state !== 'opening') return;
      answer = Buffer.concat([answer, bytes]);
      if (answer.length < HALF_BYTES) return;
      if (answer.equals(expected)) this.opened();
      else this.ended(new StreamBrokenError('somebody else has answered'));
    });
  }

  write(message: Buffer, written: () => void): void {
    message.writeUInt32BE(message.length - LENGTH_BYTES, 0);
    this.socket.write(message, (error) => {
      if (error == null) written();
    });
  }

  writeLong(head: Buffer, body: Buffer, written: () => void): void {
    head.writeUInt32BE(head.length - LENGTH_BYTES + body.length, 0);
    this.socket.cork();
    this.socket.write(head);
    this.socket.write(body, (error) => {
      if (error == null) written();
    });
    this.socket.uncork();
  }

  /** Nothing more is told. */
  close(): void {
    this.state = 'closed';
    this.cancelTimer();
    this.socket.destroy();
  }

  private opened(): void {
    this.state = 'open';
    this.cancelTimer();
    this.cancelTimer = this.scheduler.after(QUESTION_MS, () => this.ask());
    this.listener.onOpen();
  }

  private ask(): void {
    if (this.unanswered === MAX_UNANSWERED) {
      this.ended(new StreamBrokenError('the peer does not answer'));
      return;
    }
    this.unanswered++;
    this.socket.write(QUESTION);
    this.cancelTimer = this.scheduler.after(QUESTION_MS, () => this.ask());
  }

  private ended(error: Error): void {
    const { state } = this;
    if (state === 'closed') return;
    this.close();
    if (state === 'open') this.listener.onLost(error);
    else this.listener.onRefused(error);
  }
}

function dial({ address, tls }: DirectTarget): Socket {
  const at = address.lastIndexOf(':');
  const place = { host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(at + 1)) };
  if (tls === undefined) return connect(place);
  return connectTls({ ...laneDialOptions(tls.certificates.current, tls.nodeNames), ...place });
}

/** The callee's end: an offer, then the connection that has taken it. When that breaks the caller hears of it, and ends the call. */
export class InboundLane {
  readonly ticket: Buffer;
  private readonly take: (message: Buffer) => void;
  private readonly reader = new MessageReader();
  private socket: Socket | undefined;
  private isClosed = false;

  constructor(ticket: Buffer, take: (message: Buffer) => void) {
    this.ticket = ticket;
    this.take = take;
  }

  /** The connection is there. @param first what came behind its opening */
  attach(socket: Socket, first: Buffer): void {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes) => this.received(socket, bytes));
    socket.write(this.ticket.subarray(HALF_BYTES));
    if (first.length > 0) this.received(socket, first);
    socket.resume();
  }

  /** Takes nothing any more. @param end how the connection is ended, when there is one: the other side is to hear by the call why */
  close(end: (socket: Socket) => void): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.socket !== undefined) end(this.socket);
  }

  private received(socket: Socket, bytes: Buffer): void {
    if (this.isClosed) return;
    try {
      const questions = this.reader.receive(bytes, (message) => {
        if (!this.isClosed) this.take(message);
      });
      for (let left = questions; left > 0; left--) socket.write(YES);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.close(() => socket.destroy());
    }
  }
}

/** What was offered to callers, and not taken yet. */
export class DirectLanes {
  private readonly random: Random;
  private readonly scheduler: Scheduler;
  /** Undefined: plain text. */
  private readonly handshakes: TlsServer | undefined;
  /** By what the caller shows. */
  private readonly offers = new Map<string, InboundLane>();

  /** @param live undefined: plain text */
  constructor(random: Random, scheduler: Scheduler, live: LiveCertificates | undefined) {
    this.random = random;
    this.scheduler = scheduler;
    this.handshakes = live && laneHandshakes(live, (socket) => this.greet(socket.setNoDelay(true)));
  }

  /** Offers a connection, which can be taken once. */
  offer(take: (message: Buffer) => void): InboundLane {
    const lane = new InboundLane(this.random.bytes(TICKET_BYTES), take);
    this.offers.set(shownHalf(lane.ticket), lane);
    return lane;
  }

  /** The call of an offer has ended. */
  withdraw({ ticket }: InboundLane): void {
    this.offers.delete(shownHalf(ticket));
  }

  /** Takes a connection if it is a direct one. @param heard its first word @returns false when it is not, and nothing was done */
  takes(socket: Socket, heard: Buffer): boolean {
    if (this.handshakes === undefined) return isOpening(heard) && this.accept(socket, heard);
    if (!asksForLane(heard)) return false;
    socket.unshift(heard);
    return this.handshakes.emit('connection', socket);
  }

  /** A handshake is over. */
  private greet(socket: Socket): void {
    awaitFirstWord(socket, this.scheduler, (heard) => {
      if (isOpening(heard)) this.accept(socket, heard);
      else socket.on('error', () => {}).destroy();
    });
  }

  /** Gives a connection to whom it is for, or ends it. */
  private accept(socket: Socket, heard: Buffer): true {
    const shown = heard.toString('hex', MAGIC.length, OPENING_BYTES);
    const lane = this.offers.get(shown);
    this.offers.delete(shown);
    if (lane === undefined) socket.on('error', () => {}).destroy();
    else lane.attach(socket, heard.subarray(OPENING_BYTES));
    return true;
  }
}

const isOpening = (heard: Buffer): boolean => heard.subarray(0, MAGIC.length).equals(MAGIC);
const shownHalf = (ticket: Buffer): string => ticket.toString('hex', 0, HALF_BYTES);

/** Puts messages together from what a connection brings. */
export class MessageReader {
  /** The message that is coming, and how much of it has come. */
  private partial: Buffer | undefined;
  private filled = 0;
  /** The length in front of the next one, as far as it has come. */
  private readonly length = Buffer.alloc(LENGTH_BYTES);
  private lengthFilled = 0;

  /**
   * Hands every message that the bytes complete to `take`; those that came whole are views.
   * @returns how many questions there were
   * @throws MalformedFrameError for a message that is too long
   */
  receive(bytes: Buffer, take: (message: Buffer) => void): number {
    let questions = 0;
    for (let at = 0; at < bytes.length; ) {
      const { partial } = this;
      if (partial !== undefined) {
        const copied = bytes.copy(partial, this.filled, at);
        this.filled += copied;
        at += copied;
        if (this.filled < partial.length) break;
        this.partial = undefined;
        take(partial);
        continue;
      }
      const copied = bytes.copy(this.length, this.lengthFilled, at, at + LENGTH_BYTES - this.lengthFilled);
      this.lengthFilled += copied;
      at += copied;
      if (this.lengthFilled < LENGTH_BYTES) break;
      this.lengthFilled = 0;
      const length = this.length.readUInt32BE(0);
      if (length > MAX_MESSAGE_BYTES) throw new MalformedFrameError(`a message of ${length} bytes`);
      if (length === 0) questions++;
      else if (at + length <= bytes.length) {
        take(bytes.subarray(at, at + length));
        at += length;
      } else {
        this.partial = Buffer.allocUnsafeSlow(length);
        this.filled = 0;
      }
    }
    return questions;
  }
}
