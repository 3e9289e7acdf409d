/**
 * Writes replies as RESP2 or RESP3 bytes. Small replies are laid one after the other into a slab that is handed out in
 * segments and never written again, so a segment can go to a socket without a copy; large bulk strings are passed on as
 * they are.
 */
import { assertNever } from '../../../platform/index.ts';
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  EncodedParts,
  EncodedReply,
  ErrorReply,
  MapReply,
  NilArrayReply,
  NoReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './reply.ts';

const SLAB_BYTES = 64 * 1024;
/** From this size on a bulk string is its own segment instead of being copied. */
const PASS_THROUGH_BYTES = 16 * 1024;
/** Longest header: a marker, 20 digits, CR LF. */
const HEADER_BYTES = 24;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;

export class ReplyWriter {
  private slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** The segment being written is `slab[start, end)`. */
  private start = 0;
  private end = 0;
  private finished: Buffer[] = [];
  private finishedBytes = 0;

  /** Bytes written and not taken. */
  get pendingBytes(): number {
    return this.finishedBytes + this.end - this.start;
  }

  /** The bytes since the last call, in order; they are never touched again by the writer. */
  take(): Buffer[] {
    this.closeSegment();
    const segments = this.finished;
    this.finished = [];
    this.finishedBytes = 0;
    return segments;
  }

  /** Appends one reply in the client's protocol version. */
  write(reply: Reply, resp: 2 | 3): void {
    if (reply === null) {
      this.ascii(resp === 3 ? '_\r\n' : '$-1\r\n');
    } else if (typeof reply === 'number') {
      this.header(0x3a, reply);
    } else if (Buffer.isBuffer(reply)) {
      this.header(0x24, reply.length);
      this.bytes(reply);
      this.lineEnd();
    } else if (typeof reply === 'string') {
      this.bulkText(reply);
    } else if (reply instanceof SimpleString) {
      this.line('+', reply.text);
    } else if (reply instanceof ErrorReply) {
      this.line('-', reply.text.replace(/[\r\n]/g, ' '));
    } else if (typeof reply === 'bigint') {
      this.ascii(`:${reply}\r\n`);
    } else if (reply instanceof EncodedReply) {
      this.bytes(reply.bytes);
    } else if (isArray(reply)) {
      this.header(0x2a, reply.length);
      for (const element of reply) this.write(element, resp);
    } else {
      this.writeRare(reply, resp);
    }
  }

  /** Begins an array whose elements are written next. */
  beginArray(length: number): void {
    this.header(0x2a, length);
  }

  private writeRare(
    reply:
      | DoubleReply
      | VerbatimReply
      | BigNumberReply
      | BooleanReply
      | MapReply
      | SetReply
      | PushReply
      | NilArrayReply
      | EncodedParts
      | NoReply,
    resp: 2 | 3,
  ): void {
    if (reply instanceof MapReply) {
      const { entries } = reply;
      this.header(resp === 3 ? 0x25 : 0x2a, resp === 3 ? entries.length : entries.length * 2);
      for (const [key, value] of entries) {
        this.write(key, resp);
        this.write(value, resp);
      }
    } else if (reply instanceof SetReply) {
      this.header(resp === 3 ? 0x7e : 0x2a, reply.members.length);
      for (const member of reply.members) this.write(member, resp);
    } else if (reply instanceof PushReply) {
      this.header(resp === 3 ? 0x3e : 0x2a, reply.elements.length);
      for (const element of reply.elements) this.write(element, resp);
    } else if (reply instanceof NilArrayReply) {
      this.ascii(resp === 3 ? '_\r\n' : '*-1\r\n');
    } else if (reply instanceof DoubleReply) {
      if (resp === 3) this.line(',', reply.text);
      else this.bulkText(reply.text);
    } else if (reply instanceof BooleanReply) {
      if (resp === 3) this.ascii(reply.value ? '#t\r\n' : '#f\r\n');
      else this.ascii(reply.value ? ':1\r\n' : ':0\r\n');
    } else if (reply instanceof VerbatimReply) {
      if (resp === 3) this.bulkText(`${reply.format}:${reply.text}`, 0x3d);
      else this.bulkText(reply.text);
    } else if (reply instanceof BigNumberReply) {
      if (resp === 3) this.line('(', reply.value.toString());
      else this.bulkText(reply.value.toString());
    } else if (reply instanceof EncodedParts) {
      for (const part of reply.parts) this.bytes(part);
    } else if (!(reply instanceof NoReply)) {
      assertNever(reply);
    }
  }

  private line(marker: string, text: string): void {
    this.reserve(text.length * 3 + 3);
    this.slab[this.end++] = marker.charCodeAt(0);
    this.text(text);
    this.lineEnd();
  }

  private bulkText(text: string, marker = 0x24): void {
    this.header(marker, Buffer.byteLength(text));
    this.reserve(text.length * 3 + 2);
    this.text(text);
    this.lineEnd();
  }

  /** Writes UTF-8 text for which room was reserved; short ASCII, the common case, without leaving JavaScript. */
  private text(text: string): void {
    if (text.length > 48) {
      this.end += this.slab.write(text, this.end);
      return;
    }
    const from = this.end;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.end = from + this.slab.write(text, from);
        return;
      }
      this.slab[from + index] = code;
    }
    this.end = from + text.length;
  }

  private ascii(text: string): void {
    this.reserve(text.length);
    for (let index = 0; index < text.length; index++) this.slab[this.end++] = text.charCodeAt(index);
  }

  /** `<marker><integer>CR LF` */
  private header(marker: number, value: number): void {
    this.reserve(HEADER_BYTES);
    const { slab } = this;
    slab[this.end++] = marker;
    if (value >= 0 && value < 10) {
      slab[this.end++] = ZERO + value;
    } else {
      const digits = String(value);
      for (let index = 0; index < digits.length; index++) slab[this.end++] = digits.charCodeAt(index);
    }
    slab[this.end++] = CR;
    slab[this.end++] = LF;
  }

  private bytes(bytes: Buffer): void {
    if (bytes.length >= PASS_THROUGH_BYTES) {
      this.closeSegment();
      this.finished.push(bytes);
      this.finishedBytes += bytes.length;
      return;
    }
    this.reserve(bytes.length);
    this.slab.set(bytes, this.end);
    this.end += bytes.length;
  }

  private lineEnd(): void {
    this.reserve(2);
    this.slab[this.end++] = CR;
    this.slab[this.end++] = LF;
  }

  /** Makes room for `count` bytes in one piece. */
  private reserve(count: number): void {
    if (this.end + count <= this.slab.length) return;
    this.closeSegment();
    this.slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, count));
    this.start = 0;
    this.end = 0;
  }

  private closeSegment(): void {
    if (this.end === this.start) return;
    this.finished.push(this.slab.subarray(this.start, this.end));
    this.finishedBytes += this.end - this.start;
    this.start = this.end;
  }
}

/** `Array.isArray` does not narrow a readonly array out of a union. */
const isArray = (reply: Reply): reply is readonly Reply[] => Array.isArray(reply);

/** Of all replies that are encoded by themselves: a slab for each would cost more than what is in it. */
let shared = new ReplyWriter();

/**
 * One reply as bytes, which nobody writes again, in parts that follow each other. Those of several small replies are in one memory: whoever keeps
 * one for long keeps that.
 */
export function encodeReplyParts(reply: Reply, resp: 2 | 3): Buffer[] {
  try {
    shared.write(reply, resp);
  } catch (error) {
    // What was written of it must not come before the next reply.
    shared = new ReplyWriter();
    throw error;
  }
  return shared.take();
}

/** The same in one piece. */
export function encodeReply(reply: Reply, resp: 2 | 3): Buffer {
  const parts = encodeReplyParts(reply, resp);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
