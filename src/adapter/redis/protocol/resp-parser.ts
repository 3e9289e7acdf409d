/**
 * Reads requests from a byte stream: arrays of bulk strings (RESP2 and RESP3 clients send nothing else) and inline
 * commands. Chunks go in, whole commands come out; arguments that lie within one chunk are views of it, larger ones are
 * gathered in a buffer of their own so that no byte is copied more than about twice however the stream is cut.
 */
import { assert } from '../../../platform/index.ts';

/** The stream does not follow the protocol; the connection must be closed after the error was sent. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** Limits on what a client may send, in bytes unless the name says otherwise. */
export interface ParserLimits {
  /** Longest line: an inline command, or the digits of a length (Redis: 64 KiB). */
  readonly lineBytes: number;
  /** Longest argument (proto-max-bulk-len). */
  readonly bulkBytes: number;
  /** Most arguments of one command. */
  readonly argumentCount: number;
  /** Most bytes of one command that is still arriving (client-query-buffer-limit). */
  readonly commandBytes: number;
  /** While it answers false, only little is read at a time: whoever sends has not said who they are. Default: always true. */
  readonly isTrusted?: () => boolean;
}

/** Most arguments, and longest argument, of a client that has not authenticated (Redis: the same). */
const STRANGER_ARGUMENTS = 10;
const STRANGER_BULK_BYTES = 16_384;

const NUL = 0x00;
const CR = 0x0d;
const LF = 0x0a;
const STAR = 0x2a;
const DOLLAR = 0x24;
const ZERO = 0x30;
const MINUS = 0x2d;
/** Up to here an argument that did not arrive whole gets its full buffer at once; above, the buffer grows with what arrives. */
const EAGER_ALLOCATION_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);
const NO_ARGUMENTS: Buffer[] = [];
/** Up to here the list of arguments is made as long as it will be: one that grows has room for so many from the first on. */
const EXACT_ARGUMENTS = 16;
const INCOMPLETE = -2;
const INVALID = -3;

/** Turns received bytes into commands: `push` what arrives, call `next` until it answers undefined. One per connection. */
export class RespParser {
  private readonly limits: ParserLimits;
  /** Bytes received and not consumed start at `position`. */
  private chunk: Buffer = EMPTY;
  private position = 0;
  /** Arguments of the command that is being read, how many have come, and how many are still to come (0: between commands). */
  private args: Buffer[] = NO_ARGUMENTS;
  private argCount = 0;
  private missingArgs = 0;
  /** Bytes of `args` so far. */
  private commandBytes = 0;
  /** Bytes of the arguments of the command that was returned last; those of inline ones are not worth counting. */
  lastCommandBytes = 0;
  /** Length of the argument that comes next; -1 while its `$` line was not read. */
  private bulkLength = -1;
  /** Where an argument that spans chunks is gathered, its CR LF included; undefined when there is none. */
  private gathered: Buffer | undefined;
  private gatheredBytes = 0;
  /** Where the search for the end of an inline line goes on, so that a slow line is not searched from its start each time. */
  private searchedTo = 0;
  /** Where in `chunk` the command begins that is being read; -1: it began in an earlier one. */
  private commandAt = -1;
  /** The arguments that were returned last, if one chunk has all of that command as it was sent. */
  private lastArgs: readonly Buffer[] | undefined;
  private lastChunk: Buffer = EMPTY;
  /** Where in that chunk it begins. */
  lastAt = 0;
  /** The name of the command before, shared when the same command comes again. */
  private lastName: Buffer = EMPTY;

  constructor(limits: ParserLimits) {
    this.limits = limits;
  }

  /** Bytes that are held and not yet part of a returned command. */
  get bufferedBytes(): number {
    return this.chunk.length - this.position + this.commandBytes + this.gatheredBytes;
  }

  /**
   * What all of a command lies in as it was sent, from `lastAt` on, so that `readAgain` finds the same arguments; undefined when it came in parts, or is
   * not the one that was returned last.
   */
  chunkOf(args: readonly Buffer[]): Buffer | undefined {
    return args === this.lastArgs ? this.lastChunk : undefined;
  }

  /** Adds received bytes; `chunk` belongs to the parser from now on. */
  push(chunk: Buffer): void {
    this.commandAt = -1;
    if (this.gathered !== undefined) {
      const wanted = this.bulkLength + 2 - this.gatheredBytes;
      const taken = Math.min(wanted, chunk.length);
      this.gather(chunk, 0, taken);
      this.chunk = chunk;
      this.position = taken;
      this.searchedTo = taken;
      return;
    }
    const rest = this.chunk.length - this.position;
    this.searchedTo = Math.max(0, this.searchedTo - this.position);
    this.chunk = rest === 0 ? chunk : Buffer.concat([this.chunk.subarray(this.position), chunk]);
    this.position = 0;
  }

  /**
   * The next whole command, or undefined when more bytes are needed. Empty commands are skipped, as Redis does. The array
   * and its buffers are the caller's.
   * @throws ProtocolError with Redis' text
   */
  next(): Buffer[] | undefined {
    for (;;) {
      if (this.missingArgs === 0) {
        if (this.position >= this.chunk.length) return undefined;
        if (this.chunk[this.position] !== STAR) {
          const inline = this.readInline();
          this.lastCommandBytes = 0;
          if (inline === undefined || inline.length > 0) return inline;
          continue;
        }
        const at = this.position;
        const count = this.readLength('too big mbulk count string');
        if (count === INCOMPLETE) return undefined;
        if (count === INVALID || count > this.limits.argumentCount) {
          throw new ProtocolError('invalid multibulk length');
        }
        if (count > STRANGER_ARGUMENTS && this.limits.isTrusted?.() === false) {
          throw new ProtocolError('unauthenticated multibulk length');
        }
        if (count <= 0) continue;
        this.missingArgs = count;
        this.args = count <= EXACT_ARGUMENTS ? new Array<Buffer>(count) : [];
        this.argCount = 0;
        this.commandBytes = 0;
        this.commandAt = at;
      }
      while (this.missingArgs > 0) {
        if (!this.readArgument()) return undefined;
      }
      const { args } = this;
      this.args = NO_ARGUMENTS;
      this.lastArgs = this.commandAt < 0 ? undefined : args;
      this.lastChunk = this.chunk;
      this.lastAt = this.commandAt;
      this.lastCommandBytes = this.commandBytes;
      this.commandBytes = 0;
      return args;
    }
  }

  /** Reads one argument of the current command. @returns false when more bytes are needed */
  private readArgument(): boolean {
    if (this.gathered !== undefined) {
      if (this.gatheredBytes < this.bulkLength + 2) return false;
      this.addArgument(this.gathered.subarray(0, this.bulkLength));
      this.gathered = undefined;
      this.gatheredBytes = 0;
      return true;
    }
    if (this.bulkLength < 0) {
      if (this.position >= this.chunk.length) return false;
      const lineStart = this.position;
      const length = this.readLength('too big bulk count string');
      if (length === INCOMPLETE) return false;
      const marker = this.chunk[lineStart]!;
      if (marker !== DOLLAR) throw new ProtocolError(`expected '$', got '${String.fromCharCode(marker)}'`);
      if (length < 0 || length > this.limits.bulkBytes) throw new ProtocolError('invalid bulk length');
      if (length > STRANGER_BULK_BYTES && this.limits.isTrusted?.() === false) {
        throw new ProtocolError('unauthenticated bulk length');
      }
      if (this.commandBytes + length > this.limits.commandBytes) throw new ProtocolError('too big command');
      this.bulkLength = length;
    }
    const start = this.position;
    const end = start + this.bulkLength;
    if (end + 2 > this.chunk.length) {
      const available = this.chunk.length - start;
      this.gathered = Buffer.allocUnsafe(Math.min(this.bulkLength + 2, Math.max(available, EAGER_ALLOCATION_BYTES)));
      this.gatheredBytes = 0;
      this.gather(this.chunk, start, this.chunk.length);
      this.chunk = EMPTY;
      this.position = 0;
      return false;
    }
    this.position = end + 2;
    if (this.argCount === 0) this.addArgument(this.nameView(start, end));
    else this.addArgument(this.chunk.subarray(start, end));
    return true;
  }

  private addArgument(argument: Buffer): void {
    this.args[this.argCount++] = argument;
    this.commandBytes += argument.length;
    this.missingArgs--;
    this.bulkLength = -1;
  }

  /** The command's name: the buffer of the command before when it has the same bytes, which saves a view and a look-up. */
  private nameView(start: number, end: number): Buffer {
    const { chunk, lastName } = this;
    if (end - start === lastName.length) {
      let same = true;
      for (let offset = 0; offset < lastName.length && same; offset++)
        same = chunk[start + offset] === lastName[offset];
      if (same) return lastName;
    }
    // A copy: it outlives the chunk.
    this.lastName = Buffer.from(chunk.subarray(start, Math.min(end, start + 64)));
    return this.lastName.length === end - start ? this.lastName : chunk.subarray(start, end);
  }

  /** Copies part of `source` behind what was gathered; the buffer at least doubles when it grows. */
  private gather(source: Buffer, from: number, to: number): void {
    const needed = this.gatheredBytes + to - from;
    let target = this.gathered!;
    if (needed > target.length) {
      target = Buffer.allocUnsafe(Math.min(this.bulkLength + 2, Math.max(needed, target.length * 2)));
      this.gathered!.copy(target, 0, 0, this.gatheredBytes);
      this.gathered = target;
    }
    source.copy(target, this.gatheredBytes, from, to);
    this.gatheredBytes = needed;
  }

  /**
   * Reads `<marker><integer>CR LF` at the position and steps over it.
   * @returns the integer, INCOMPLETE when the line did not arrive whole, INVALID when it is no integer
   */
  private readLength(tooLong: string): number {
    const { chunk } = this;
    const end = chunk.length;
    let at = this.position + 1;
    // The common case: one to nine digits without a sign or leading zero.
    let value = 0;
    const digitsFrom = at;
    while (at < end) {
      const digit = chunk[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    const digits = at - digitsFrom;
    if (at + 1 < end && chunk[at] === CR && digits > 0 && digits < 10 && (chunk[digitsFrom] !== ZERO || digits === 1)) {
      this.position = at + 2;
      return value;
    }
    return this.readUnusualLength(tooLong);
  }

  /** The slow way of `readLength`: signs, nonsense and lines that did not arrive whole. */
  private readUnusualLength(tooLong: string): number {
    const lineEnd = this.indexInLine(CR, this.position);
    const lineBytes = (lineEnd < 0 ? this.chunk.length : lineEnd) - this.position;
    if (lineBytes > this.limits.lineBytes) throw new ProtocolError(tooLong);
    if (lineEnd < 0) return INCOMPLETE;
    if (lineEnd + 1 >= this.chunk.length) return INCOMPLETE;
    const text = this.chunk.toString('latin1', this.position + 1, lineEnd);
    this.position = lineEnd + 2;
    if (!/^(0|-?[1-9][0-9]{0,17})$/.test(text)) return INVALID;
    return text.charCodeAt(0) === MINUS ? -1 : Number(text);
  }

  /**
   * Where the end of a line stands, from `from` on; -1 when it did not arrive, and for ever behind a zero byte: Redis looks for it
   * as in a C string, so such a line ends at the limit of its length only.
   */
  private indexInLine(end: number, from: number): number {
    const at = this.chunk.indexOf(end, from);
    if (at < 0) return -1;
    const zero = this.chunk.subarray(from, at).indexOf(NUL);
    return zero < 0 ? at : -1;
  }

  /** Reads an inline command; an empty array for an empty line, undefined when the line did not arrive whole. */
  private readInline(): Buffer[] | undefined {
    const newline = this.indexInLine(LF, Math.max(this.position, this.searchedTo));
    const lineBytes = (newline < 0 ? this.chunk.length : newline) - this.position;
    if (lineBytes > this.limits.lineBytes) throw new ProtocolError('too big inline request');
    if (newline < 0) {
      const zero = this.chunk.indexOf(NUL, Math.max(this.position, this.searchedTo));
      this.searchedTo = zero < 0 ? this.chunk.length : zero;
      return undefined;
    }
    const lineEnd = newline > this.position && this.chunk[newline - 1] === CR ? newline - 1 : newline;
    const line = this.chunk.subarray(this.position, lineEnd);
    this.position = newline + 1;
    this.searchedTo = this.position;
    const args = splitInline(line);
    if (args === undefined) throw new ProtocolError('unbalanced quotes in request');
    return args;
  }
}

/** The arguments of a command that lies whole in a chunk, as `RespParser.next` has read them. @param at where it begins */
export function readAgain(chunk: Buffer, at: number): Buffer[] {
  const most = Number.POSITIVE_INFINITY;
  const parser = new RespParser({ lineBytes: most, bulkBytes: most, argumentCount: most, commandBytes: most });
  parser.push(chunk.subarray(at));
  const args = parser.next();
  assert(args !== undefined, 'what was read once is read again');
  return args;
}

const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;
const ESCAPES: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, b: 0x08, a: 0x07 };

/** isspace of the C locale. */
const isSpace = (byte: number | undefined): boolean =>
  byte === SPACE || (byte !== undefined && byte >= 9 && byte <= 13);

/**
 * Splits an inline command into arguments the way a shell would: double quotes with escapes (`\xHH`, `\n`, `\r`, `\t`,
 * `\b`, `\a`, any other character stands for itself), single quotes with `\'` only. The line has no zero byte.
 * @returns undefined when quotes are not closed, or a closing quote is followed by something other than a space
 */
export function splitInline(line: Buffer): Buffer[] | undefined {
  const args: Buffer[] = [];
  let at = 0;
  for (;;) {
    while (isSpace(line[at])) at++;
    if (at >= line.length) return args;
    const bytes: number[] = [];
    let quote = 0;
    for (;;) {
      const byte = at < line.length ? line[at] : undefined;
      if (quote !== 0) {
        if (byte === undefined) return undefined;
        if (byte === BACKSLASH && quote === DOUBLE_QUOTE && at + 1 < line.length) {
          const hex = line.toString('latin1', at + 2, at + 4);
          if (line[at + 1] === 0x78 && /^[0-9a-fA-F]{2}$/.test(hex)) {
            bytes.push(Number.parseInt(hex, 16));
            at += 4;
          } else {
            bytes.push(ESCAPES[String.fromCharCode(line[at + 1]!)] ?? line[at + 1]!);
            at += 2;
          }
        } else if (byte === BACKSLASH && quote === SINGLE_QUOTE && line[at + 1] === SINGLE_QUOTE) {
          bytes.push(SINGLE_QUOTE);
          at += 2;
        } else if (byte === quote) {
          at++;
          if (at < line.length && !isSpace(line[at])) return undefined;
          break;
        } else {
          bytes.push(byte);
          at++;
        }
      } else if (byte === undefined || isSpace(byte)) {
        break;
      } else if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) {
        quote = byte;
        at++;
      } else {
        bytes.push(byte);
        at++;
      }
    }
    args.push(Buffer.from(bytes));
  }
}
