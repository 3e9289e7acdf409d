/** Finds the ends of replies of RESP2 and RESP3 in a byte stream, without building their values. */

const LF = 0x0a;
const MINUS = 0x2d;
const DOLLAR = 0x24;
const EQUALS = 0x3d;
const BANG = 0x21;
const STAR = 0x2a;
const TILDE = 0x7e;
const PERCENT = 0x25;
const ARROW = 0x3e;
const BAR = 0x7c;

/** Called with the bytes of a reply. They are a view, good until the next bytes are fed. */
export type ReplyListener = (reply: Buffer) => void;

/** Whether a reply, or what a server says first, is an error. */
export const isErrorReply = (reply: Buffer): boolean => reply[0] === MINUS || reply[0] === BANG;

/** A message that answers no command. */
export const isPush = (reply: Buffer): boolean => reply[0] === ARROW;

/** What an error says, without its marker. */
export function errorMessage(reply: Buffer): string {
  const lineEnd = reply.indexOf('\r\n');
  return reply[0] === BANG ? reply.toString('utf8', lineEnd + 2, reply.length - 2) : reply.toString('utf8', 1, lineEnd);
}

export class ReplySplitter {
  /** Bytes that are no whole reply yet lie at `from`. */
  private buffer: Buffer = Buffer.alloc(0);
  private from = 0;
  private pendingBytes = 0;
  /** What comes may be written behind them. */
  private isOwn = false;
  /** Bytes that must be there before the next element can end. */
  private wanted = 0;
  /** Bytes of the reply that has begun whose elements are known. */
  private scanned = 0;
  /** Elements still missing in the reply that has begun. */
  private missing = 1;
  private readonly onReply: ReplyListener;

  constructor(onReply: ReplyListener) {
    this.onReply = onReply;
  }

  /** Takes the next bytes of the stream. A long reply is copied twice on average, into however many pieces it is cut. */
  feed(chunk: Buffer): void {
    this.append(chunk);
    if (this.pendingBytes < this.wanted) return;
    const bytes = this.buffer.subarray(this.from, this.from + this.pendingBytes);
    let start = 0;
    let at = this.scanned;
    this.wanted = 0;
    while (at < bytes.length) {
      const end = this.elementEnd(bytes, at);
      if (end === undefined) break;
      at = end;
      if (this.missing > 0) continue;
      this.missing = 1;
      const reply = bytes.subarray(start, at);
      start = at;
      this.onReply(reply);
    }
    this.scanned = at - start;
    this.wanted = Math.max(0, this.wanted - start);
    this.from += start;
    this.pendingBytes -= start;
  }

  private append(chunk: Buffer): void {
    if (this.pendingBytes === 0) {
      [this.buffer, this.from, this.isOwn] = [chunk, 0, false];
    } else {
      const bytes = this.pendingBytes + chunk.length;
      if (!this.isOwn || this.from + bytes > this.buffer.length) {
        const larger = Buffer.allocUnsafeSlow(2 * bytes);
        this.buffer.copy(larger, 0, this.from, this.from + this.pendingBytes);
        [this.buffer, this.from, this.isOwn] = [larger, 0, true];
      }
      chunk.copy(this.buffer, this.from + this.pendingBytes);
    }
    this.pendingBytes += chunk.length;
  }

  /** Where the element at `at` ends, an aggregate with its head; undefined when that is not there yet. */
  private elementEnd(bytes: Buffer, at: number): number | undefined {
    const lineEnd = bytes.indexOf(LF, at);
    if (lineEnd < 0) return undefined;
    let end = lineEnd + 1;
    let elements = 0;
    // An attribute stands in front of an element and is none.
    let isElement = true;
    const type = bytes[at]!;
    switch (type) {
      case DOLLAR:
      case EQUALS:
      case BANG: {
        const length = Number(bytes.toString('latin1', at + 1, lineEnd - 1));
        if (length >= 0) end += length + 2;
        if (end > bytes.length) {
          this.wanted = end;
          return undefined;
        }
        break;
      }
      case STAR:
      case TILDE:
      case ARROW:
        elements = Math.max(0, Number(bytes.toString('latin1', at + 1, lineEnd - 1)));
        break;
      case PERCENT:
      case BAR:
        elements = 2 * Number(bytes.toString('latin1', at + 1, lineEnd - 1));
        isElement = type === PERCENT;
        break;
    }
    this.missing += elements - (isElement ? 1 : 0);
    return end;
  }
}
