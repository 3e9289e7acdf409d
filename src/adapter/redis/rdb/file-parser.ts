/**
 * Files that Redis saves, and sends to replicas, read as they come:
 *
 *   "REDIS" version (4 digits)  (opcode ... | expiry? type key value)*  0xff  CRC-64 of all before (8 bytes)
 *
 * A value that is small enough comes as its bytes, which RESTORE takes behind a frame; a larger one in parts, so that the memory that a file
 * takes does not follow from what is in it. Whatever is wrong with the bytes ends in an error, never in a value that nobody wrote.
 */
import { Crc64 } from './crc64.ts';
import { RdbEndError, RdbFormatError } from './errors.ts';
import { LibraryOpcode } from './functions.ts';
import { DEFAULT_FILE_LIMITS, openLargeValue, type RdbFileLimits, readElements } from './large-value.ts';
import { ModuleType, skipModuleParts, skipValue } from './layout.ts';
import type { LargeValue, RdbValue } from './objects.ts';
import { RdbReader } from './rdb-reader.ts';

/** What stands in the place of a type. */
const Opcode = {
  SlotInfo: 244,
  ...LibraryOpcode,
  ModuleAux: 247,
  Idle: 248,
  Frequency: 249,
  Aux: 250,
  Resize: 251,
  ExpiryMs: 252,
  Expiry: 253,
  Database: 254,
  End: 255,
} as const;

const MAGIC = 'REDIS';
const HEADER_BYTES = 9;
const CHECKSUM_BYTES = 8;
/** Redis 7.4 writes 12; what newer ones write is not known. */
const MAX_VERSION = 12;
const FIRST_VERSION_WITH_CHECKSUM = 5;

/** What a key has besides its value. */
export interface RdbKey {
  readonly database: number;
  readonly key: Buffer;
  /** Unix milliseconds; undefined is never. */
  readonly expiresMs: number | undefined;
}

export type RdbRecord =
  | { readonly kind: 'aux'; readonly name: string; readonly value: Buffer }
  /** How many keys a database has, and how many of them expire: a hint. */
  | { readonly kind: 'size'; readonly database: number; readonly keys: number }
  /** A library of functions, with the opcode in front, as it is in what FUNCTION DUMP answers. */
  | { readonly kind: 'function'; readonly bytes: Buffer }
  /** `bytes` are the type and the value. */
  | ({ readonly kind: 'value'; readonly bytes: Buffer } & RdbKey)
  /** Elements of a large collection, in order. */
  | ({ readonly kind: 'part'; readonly value: RdbValue; readonly isFirst: boolean; readonly isLast: boolean } & RdbKey)
  /** A value of a module: nobody else can read it. */
  | ({ readonly kind: 'module' } & RdbKey)
  /** @property isChecked the file has a checksum, and it is right */
  | { readonly kind: 'end'; readonly isChecked: boolean };

/** A large value that is being read. */
interface OpenValue extends RdbKey {
  readonly value: LargeValue;
  readonly isFirst: boolean;
}

/** A push parser: `feed` it bytes, take records with `next` until it has none, and say with `finish` that the bytes have ended. */
export class RdbFileParser {
  private readonly limits: RdbFileLimits;
  private readonly checksum = new Crc64();
  private chunks: Buffer[] = [];
  private available = 0;
  /** Bytes that must be there before another try has a chance. */
  private wanted = HEADER_BYTES;
  private isOver = false;
  private version: number | undefined;
  private database = 0;
  private open: OpenValue | undefined;
  private hasEnded = false;
  private consumed = 0;

  constructor(limits: RdbFileLimits = DEFAULT_FILE_LIMITS) {
    this.limits = limits;
  }

  /** Bytes of the file up to the end of the last record. */
  get position(): number {
    return this.consumed;
  }

  /** The end of the file was read. */
  get isDone(): boolean {
    return this.hasEnded;
  }

  /** Takes the next bytes; they must not change afterwards. */
  feed(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.available += bytes.length;
  }

  /** There are no more bytes. */
  finish(): void {
    this.isOver = true;
    this.wanted = 0;
  }

  /**
   * The next record; undefined when more bytes are needed, or all were read.
   * @throws RdbFormatError for bytes that Redis does not write, and for an end that comes too early
   */
  next(): RdbRecord | undefined {
    while (!this.hasEnded) {
      if (this.available < this.wanted) return undefined;
      const window = this.window();
      try {
        const record = this.read(window);
        if (record !== undefined) return record;
      } catch (error) {
        if (!(error instanceof RdbEndError) || this.isOver) throw error;
        // Half as much again at least, so that a large value is not looked at for each piece of it.
        this.wanted = Math.ceil(window.length * 1.5) + 1;
      }
    }
    return undefined;
  }

  private window(): Buffer {
    if (this.chunks.length !== 1) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0]!;
  }

  /** The first bytes of the window are done with. */
  private consume(count: number): void {
    const window = this.window();
    this.checksum.add(window.subarray(0, count));
    this.chunks = [window.subarray(count)];
    this.available -= count;
    this.consumed += count;
    if (!this.isOver) this.wanted = 1;
  }

  /** @returns undefined when what was read is nobody's business @throws RdbEndError when more bytes are needed */
  private read(window: Buffer): RdbRecord | undefined {
    if (this.version === undefined) {
      this.readHeader(window);
      return undefined;
    }
    if (this.open !== undefined) return this.readPart(window, this.open);
    const reader = new RdbReader(window, this.limits.maxValueBytes);
    const record = this.readRecord(reader, window);
    // The end and large values look after themselves.
    if (record?.kind !== 'end' && this.open === undefined) this.consume(reader.position);
    return record;
  }

  private readHeader(window: Buffer): void {
    if (window.length < HEADER_BYTES) throw new RdbEndError();
    const digits = window.toString('latin1', MAGIC.length, HEADER_BYTES);
    if (window.toString('latin1', 0, MAGIC.length) !== MAGIC || !/^[0-9]{4}$/.test(digits))
      throw new RdbFormatError('this is no file of Redis: it does not begin with REDIS and a version');
    const version = Number(digits);
    if (version < 1 || version > MAX_VERSION)
      throw new RdbFormatError(`the file has version ${version}; versions 1 to ${MAX_VERSION} are read here`);
    this.version = version;
    this.consume(HEADER_BYTES);
  }

  /** Opcodes in front of a key belong to it: they are read again with it when bytes are missing. */
  private readRecord(reader: RdbReader, window: Buffer): RdbRecord | undefined {
    let expiresMs: number | undefined;
    for (;;) {
      const type = reader.u8();
      switch (type) {
        case Opcode.ExpiryMs:
          expiresMs = Number(reader.int64());
          break;
        case Opcode.Expiry:
          expiresMs = reader.int32() * 1000;
          break;
        case Opcode.Idle:
          reader.bigLength();
          break;
        case Opcode.Frequency:
          reader.skip(1);
          break;
        case Opcode.Database:
          this.database = reader.length();
          return undefined;
        case Opcode.Resize: {
          const keys = reader.length();
          reader.bigLength();
          return { kind: 'size', database: this.database, keys };
        }
        case Opcode.SlotInfo:
          for (let numbers = 3; numbers > 0; numbers--) reader.bigLength();
          return undefined;
        case Opcode.Aux:
          return { kind: 'aux', name: reader.string().toString(), value: reader.string() };
        case Opcode.ModuleAux:
          for (let numbers = 3; numbers > 0; numbers--) reader.bigLength();
          skipModuleParts(reader);
          return undefined;
        case Opcode.Function: {
          const from = reader.position - 1;
          reader.skipString();
          return { kind: 'function', bytes: Buffer.from(window.subarray(from, reader.position)) };
        }
        case Opcode.FunctionOfCandidate:
          throw new RdbFormatError('functions of release candidates of Redis 7.0 are not read here');
        case Opcode.End:
          return this.readEnd(reader);
        default:
          return this.readKey(reader, window, type, expiresMs);
      }
    }
  }

  private readKey(
    reader: RdbReader,
    window: Buffer,
    type: number,
    expiresMs: number | undefined,
  ): RdbRecord | undefined {
    const { wholeBytes, maxValueBytes } = this.limits;
    if (type === ModuleType.First)
      throw new RdbFormatError('values of modules of release candidates are not read here');
    // The window is the parser's, and goes on.
    const key: RdbKey = { database: this.database, key: Buffer.from(reader.string()), expiresMs };
    const from = reader.position;
    let end: number | undefined;
    try {
      skipValue(reader, type);
      end = reader.position;
    } catch (error) {
      if (!(error instanceof RdbEndError)) throw error;
    }
    const seen = (end ?? window.length) - from;
    if (seen > wholeBytes) {
      if (this.openLarge(window, from, type, key)) return undefined;
      if (seen > maxValueBytes)
        throw new RdbFormatError(`a value of type ${type} has more than ${maxValueBytes} bytes`);
    }
    if (end === undefined) throw new RdbEndError();
    if (type === ModuleType.Second) return { kind: 'module', ...key };
    const bytes = Buffer.allocUnsafe(1 + end - from);
    bytes[0] = type;
    window.copy(bytes, 1, from, end);
    return { kind: 'value', ...key, bytes };
  }

  /** @returns whether the value comes in parts from here on */
  private openLarge(window: Buffer, from: number, type: number, key: RdbKey): boolean {
    const reader = new RdbReader(window.subarray(from), this.limits.maxValueBytes);
    const value = openLargeValue(type, reader, this.limits.maxValueBytes);
    if (value === undefined) return false;
    this.open = { ...key, value, isFirst: true };
    this.consume(from + reader.position);
    return true;
  }

  /** @returns undefined when what was read is no part yet */
  private readPart(window: Buffer, open: OpenValue): RdbRecord | undefined {
    const { value, isFirst, database, key, expiresMs } = open;
    const reader = new RdbReader(window, this.limits.maxValueBytes);
    const end = readElements(value, reader, this.limits.partElements);
    if (end === 0) {
      if (window.length > this.limits.maxValueBytes) throw new RdbFormatError('an element is too large');
      throw new RdbEndError();
    }
    const isLast = value.isDone;
    const part = value.take();
    this.consume(end);
    if (part === undefined) return undefined;
    this.open = isLast ? undefined : { ...open, isFirst: false };
    return { kind: 'part', database, key, expiresMs, value: part, isFirst, isLast };
  }

  private readEnd(reader: RdbReader): RdbRecord {
    const end = reader.position;
    let stored: Buffer | undefined;
    if (this.version! >= FIRST_VERSION_WITH_CHECKSUM) stored = Buffer.from(reader.take(CHECKSUM_BYTES));
    this.consume(end);
    // A file that was saved with rdbchecksum off has zeros there.
    const isChecked = stored?.some((byte) => byte !== 0) === true;
    if (isChecked && !this.checksum.sum().equals(stored!))
      throw new RdbFormatError('the checksum is wrong: the file is damaged');
    if (stored !== undefined) this.consume(CHECKSUM_BYTES);
    this.hasEnded = true;
    return { kind: 'end', isChecked };
  }
}
