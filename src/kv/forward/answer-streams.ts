/**
 * Large answers on their way to the node that asked: each in a stream of its own, piece by piece as the other side takes them, so that
 * what is small passes them by on the `forward` lane, and nobody puts the whole of one together before it leaves. Part of the
 * feature `forward.streams`.
 *
 *   header := 1 u8, epoch u32, id u32, bytes u32      of the request, and of the answer; then the answer, in frames of any size
 */
import type { NodeId, PeerNetwork } from '../../platform/index.ts';
import { OutcomeUnknownError } from '../../raftengine/index.ts';
import { type AnswerBytes, CorruptEntryError } from '../contract/index.ts';

const KIND = 'answer';
const VERSION = 1;
const HEADER_BYTES = 13;
/** A piece is copied where it arrives, which takes a small part of a millisecond. */
const PIECE_BYTES = 256 * 1024;
/** Longest answer that is believed, as that of a frame. */
const MAX_ANSWER_BYTES = 1280 * 1024 * 1024;
/** Answers to one node that are under way together; more wait for them. Each has a connection, and all share one link. */
const MAX_TOGETHER = 4;
const NO_BYTES = Buffer.alloc(0);

/** Which request is answered: the epoch of who asked, and the id that he gave it. */
export interface AnsweredRequest {
  readonly epoch: number;
  readonly id: number;
}

/** Somebody who waits for a large answer. */
export interface AwaitedAnswer {
  /** A part of it has come. @returns false when nobody waits any more */
  arriving(): boolean;
  arrived(answer: Buffer): void;
}

export interface AnswerStreamsOptions {
  readonly network: PeerNetwork;
  /** Answers that wait or are under way to one node; what comes beyond is refused. */
  readonly maxBytes: number;
  /** The answer will not arrive. */
  readonly onFailed: (peer: NodeId, request: AnsweredRequest) => void;
  /** Who waits for the answer of a node; undefined: nobody. */
  readonly awaited: (from: NodeId, request: AnsweredRequest) => AwaitedAnswer | undefined;
}

interface Outgoing extends AnsweredRequest {
  readonly parts: readonly Buffer[];
  readonly bytes: number;
}

interface Box {
  waiting: Outgoing[];
  underWay: number;
  /** Of all that wait or are under way. */
  bytes: number;
}

/** See the top of the file. */
export class AnswerStreams {
  private readonly options: AnswerStreamsOptions;
  private readonly boxes = new Map<NodeId, Box>();
  /** Answers that left in streams since the start. */
  sent = 0;

  /** Before the network is started. */
  constructor(options: AnswerStreamsOptions) {
    this.options = options;
    options.network.onStream(KIND, (from, header, frames) => this.receive(from, header, frames));
  }

  send(peer: NodeId, { epoch, id }: AnsweredRequest, answer: AnswerBytes): void {
    let box = this.boxes.get(peer);
    if (box === undefined) {
      box = { waiting: [], underWay: 0, bytes: 0 };
      this.boxes.set(peer, box);
    }
    const bytes = answerLength(answer);
    if (bytes > MAX_ANSWER_BYTES || (box.bytes > 0 && box.bytes + bytes > this.options.maxBytes)) {
      this.options.onFailed(peer, { epoch, id });
      return;
    }
    box.bytes += bytes;
    box.waiting.push({ epoch, id, parts: Buffer.isBuffer(answer) ? [answer] : answer, bytes });
    this.next(peer, box);
  }

  private next(peer: NodeId, box: Box): void {
    const { network, onFailed } = this.options;
    while (box.underWay < MAX_TOGETHER && box.waiting.length > 0) {
      const answer = box.waiting.shift()!;
      box.underWay++;
      this.sent++;
      network
        .stream(peer, KIND, encodeHeader(answer), piecesOf(answer.parts))
        .catch(() => onFailed(peer, answer))
        .finally(() => {
          box.underWay--;
          box.bytes -= answer.bytes;
          this.next(peer, box);
        });
    }
  }

  /** @throws CorruptEntryError; OutcomeUnknownError when nobody waits, so that no more is sent */
  private async receive(from: NodeId, header: Buffer, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    const { epoch, id, bytes } = decodeHeader(header);
    const awaited = this.options.awaited(from, { epoch, id });
    if (awaited === undefined) throw new OutcomeUnknownError('nobody waits for this answer');
    const answer = Buffer.allocUnsafeSlow(bytes);
    let filled = 0;
    for await (const piece of frames) {
      if (filled + piece.length > bytes) throw new CorruptEntryError('an answer is longer than it said');
      if (!awaited.arriving()) throw new OutcomeUnknownError('nobody waits for this answer any more');
      piece.copy(answer, filled);
      filled += piece.length;
    }
    if (filled !== bytes) throw new CorruptEntryError('an answer is shorter than it said');
    awaited.arrived(answer);
    return NO_BYTES;
  }
}

/** Bytes of an answer. */
export const answerLength = (answer: AnswerBytes): number =>
  Buffer.isBuffer(answer) ? answer.length : answer.reduce((sum, part) => sum + part.length, 0);

/** What opens the stream of an answer. */
export function encodeHeader({ epoch, id, bytes }: AnsweredRequest & { readonly bytes: number }): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header[0] = VERSION;
  header.writeUInt32BE(epoch, 1);
  header.writeUInt32BE(id, 5);
  header.writeUInt32BE(bytes, 9);
  return header;
}

/** @throws CorruptEntryError */
export function decodeHeader(header: Buffer): AnsweredRequest & { readonly bytes: number } {
  const bytes = header.length === HEADER_BYTES && header[0] === VERSION ? header.readUInt32BE(9) : Number.NaN;
  if (!(bytes <= MAX_ANSWER_BYTES)) throw new CorruptEntryError('the header of an answer is damaged');
  return { epoch: header.readUInt32BE(1), id: header.readUInt32BE(5), bytes };
}

async function* piecesOf(parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const part of parts)
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
}
