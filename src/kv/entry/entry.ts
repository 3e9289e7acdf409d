/**
 * The bytes of a Raft entry of the key-value layer. Big-endian, declared once here, pinned by a golden file.
 *
 *   entry     := opcode u8, codec u8 (1; 2 for a BATCH that carries a ceiling, and a PREPARE or ONE_PHASE of a snapshot; 3 for a PREPARE,
 *                ONE_PHASE or COMMIT with one status a part), body
 *   BATCH     := [codec 2: ceilingMs u64], commitTs u64, unitCount u32, expectCount u32, mutationCount u32, expect*, mutation*
 *   expect    := unit u32, kind u8 (0 absent, 1 version), key, [versionTs u64]
 *   mutation  := unit u32, kind u8 (1 put, 2 delete, 3 delete range, 4 put with expiry), key, [value | end], [expireTs u64]
 *   HLC_LEASE, TS_FENCE: see time-entries.ts
 *   SET_GC    := threshold u64
 *   TXN_FLOOR := floor u64
 *   PURGE     := commitTs u64, count u32, (key, versionTs u64)*
 *   SPAN, IMPORT: see span-entries.ts
 *   ONE_PHASE to TOGETHER: see txn/entries.ts
 *   key, value, end := length u32, bytes
 *
 * A unit is a set of commands with one outcome: commands of one entry that touch a common written key are merged (see
 * docs/design/data-plane/kv.md), so every key has at most one put or delete per entry and every expectation is about the state
 * before the entry. Lists are flat and tagged with the unit's number, so that both ends stream through them without
 * building objects per command.
 */
import { assert, ByteReader, type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';
import { CorruptEntryError } from '../contract/index.ts';

/** Disk and wire values: never renumber. 0x10 to 0x1f are transactions'. */
export const Opcode = {
  HlcLease: 0x02,
  TsFence: 0x04,
  OnePhase: 0x10,
  Prepare: 0x11,
  Commit: 0x13,
  Abort: 0x14,
  Push: 0x15,
  Forget: 0x16,
  Resolve: 0x17,
  Together: 0x18,
  Batch: 0x20,
  SetGc: 0x30,
  PurgeExpired: 0x31,
  TxnFloor: 0x32,
  Span: 0x40,
  Import: 0x41,
} as const;
/** Second byte of every entry. */
export const CODEC = 1;
/** Second byte of a BATCH that raises the group's ceiling too. */
export const CEILING_CODEC = 2;
/** Second byte of a PREPARE or ONE_PHASE that asks whether keys were written since a timestamp. */
export const SNAPSHOT_CODEC = 2;
/** Second byte of a PREPARE, ONE_PHASE or COMMIT whose keys have one status between them: at the smallest that is written, their anchor. */
export const ANCHOR_CODEC = 3;

export const MutationKind = { Put: 1, Delete: 2, DeleteRange: 3, PutExpiring: 4 } as const;
const ExpectKind = { Absent: 0, Version: 1 } as const;

const HEADER_BYTES = 2 + 8 + 4 + 4 + 4;
const CEILING_BYTES = 8;
const TAG_BYTES = 4 + 1;
const NO_BYTES = Buffer.alloc(0);

/** What a command read before the entry: `versionTs` 0n is "absent". */
export interface Expectation {
  readonly unit: number;
  readonly key: Buffer;
  readonly versionTs: HlcTimestamp;
}

/** One write; `value` undefined is a delete, `end` present makes it a range delete. */
export interface Mutation {
  readonly unit: number;
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  readonly expireTs: HlcTimestamp;
  readonly end: Buffer | undefined;
}

export const ABSENT: HlcTimestamp = hlcTimestamp(0n);

/** Encoded size of one expectation. */
export const expectBytes = (key: Buffer, versionTs: HlcTimestamp): number =>
  TAG_BYTES + 4 + key.length + (versionTs === ABSENT ? 0 : 8);

/** Encoded size of one put or delete. @param valueBytes undefined is a delete */
export const mutationBytes = (key: Buffer, valueBytes: number | undefined, expireTs: HlcTimestamp): number =>
  TAG_BYTES + 4 + key.length + (valueBytes === undefined ? 0 : 4 + valueBytes + (expireTs === ABSENT ? 0 : 8));

/** Encoded size of one range delete. */
export const rangeBytes = (start: Buffer, end: Buffer): number => TAG_BYTES + 8 + start.length + end.length;

/** Where the body of a BATCH begins while it is made: its header, which is not known before the end, may be shorter. */
const BODY_OFFSET = HEADER_BYTES + CEILING_BYTES;

/**
 * Writes a BATCH into one pre-sized buffer. The counts and the size are promised up front; `finish` asserts that they
 * were kept. The timestamp is asked for at the end, so that much can be written before the entry has its place among others.
 */
export class BatchEncoder {
  /** What is written so far; of the entry, once that is finished. */
  readonly buffer: Buffer;
  private readonly unitCount: number;
  private readonly expectCount: number;
  private readonly mutationCount: number;
  private offset = BODY_OFFSET;
  private expectsLeft: number;
  private mutationsLeft: number;

  /** @param bodyBytes sum of `expectBytes`, `mutationBytes` and `rangeBytes` of everything that will be added */
  constructor(unitCount: number, expectCount: number, mutationCount: number, bodyBytes: number) {
    this.buffer = Buffer.allocUnsafe(BODY_OFFSET + bodyBytes);
    this.unitCount = unitCount;
    this.expectCount = expectCount;
    this.mutationCount = mutationCount;
    this.expectsLeft = expectCount;
    this.mutationsLeft = mutationCount;
  }

  private tag(unit: number, kind: number): void {
    this.buffer.writeUInt32BE(unit, this.offset);
    this.buffer[this.offset + 4] = kind;
    this.offset += TAG_BYTES;
  }

  private bytes(bytes: Buffer, head: Buffer = NO_BYTES): void {
    const at = this.buffer.writeUInt32BE(head.length + bytes.length, this.offset);
    for (let offset = 0; offset < head.length; offset++) this.buffer[at + offset] = head[offset]!;
    this.buffer.set(bytes, at + head.length);
    this.offset = at + head.length + bytes.length;
  }

  private timestamp(ts: HlcTimestamp): void {
    this.buffer.writeBigUInt64BE(ts, this.offset);
    this.offset += 8;
  }

  /** Expectations come before mutations. */
  expect(unit: number, key: Buffer, versionTs: HlcTimestamp): void {
    this.expectsLeft--;
    const isAbsent = versionTs === ABSENT;
    this.tag(unit, isAbsent ? ExpectKind.Absent : ExpectKind.Version);
    this.bytes(key);
    if (!isAbsent) this.timestamp(versionTs);
  }

  /**
   * @param head what the value begins with, if not all of it is in `value`
   * @returns where the value lies in `buffer`: its length (u32), then its bytes
   */
  put(unit: number, key: Buffer, value: Buffer, expireTs: HlcTimestamp, head?: Buffer): number {
    this.mutationsLeft--;
    this.tag(unit, expireTs === ABSENT ? MutationKind.Put : MutationKind.PutExpiring);
    this.bytes(key);
    const at = this.offset;
    this.bytes(value, head);
    if (expireTs !== ABSENT) this.timestamp(expireTs);
    return at;
  }

  delete(unit: number, key: Buffer): void {
    this.mutationsLeft--;
    this.tag(unit, MutationKind.Delete);
    this.bytes(key);
  }

  deleteRange(unit: number, start: Buffer, end: Buffer): void {
    this.mutationsLeft--;
    this.tag(unit, MutationKind.DeleteRange);
    this.bytes(start);
    this.bytes(end);
  }

  /**
   * The finished entry.
   * @param ceilingMs what the group's ceiling rises to with this entry; 0 for none
   */
  finish(commitTs: HlcTimestamp, ceilingMs: Millis = 0): Buffer {
    const { buffer } = this;
    assert(this.offset === buffer.length, 'an entry must have the size it was announced with');
    assert(this.expectsLeft === 0 && this.mutationsLeft === 0, 'an entry must hold what its counts announce');
    const start = ceilingMs === 0 ? CEILING_BYTES : 0;
    buffer[start] = Opcode.Batch;
    buffer[start + 1] = ceilingMs === 0 ? CODEC : CEILING_CODEC;
    let offset = start + 2;
    if (ceilingMs !== 0) offset = buffer.writeBigUInt64BE(BigInt(ceilingMs), offset);
    offset = buffer.writeBigUInt64BE(commitTs, offset);
    offset = buffer.writeUInt32BE(this.unitCount, offset);
    offset = buffer.writeUInt32BE(this.expectCount, offset);
    buffer.writeUInt32BE(this.mutationCount, offset);
    return buffer.subarray(start);
  }
}

/** Sequential reader over an entry body. */
export class EntryReader extends ByteReader {
  constructor(payload: Buffer) {
    if (payload.length < 2) throw new CorruptEntryError('an entry is shorter than its header');
    const [opcode, codec] = payload as unknown as readonly [number, number];
    const isPrepare = opcode === Opcode.Prepare || opcode === Opcode.OnePhase;
    const isKnown =
      codec === CODEC ||
      (codec === CEILING_CODEC && opcode === Opcode.Batch) ||
      (codec === SNAPSHOT_CODEC && isPrepare) ||
      (codec === ANCHOR_CODEC && (isPrepare || opcode === Opcode.Commit));
    if (!isKnown) throw new CorruptEntryError(`an entry has unknown codec ${payload[1]}`);
    super(payload, 'an entry', CorruptEntryError);
    this.offset = 2;
  }

  /** Another reader at the same place. */
  fork(): EntryReader {
    const other = new EntryReader(this.buffer);
    other.offset = this.offset;
    return other;
  }

  /** Another reader at the same place of a copy: what it reads may be kept. */
  copy(): EntryReader {
    const other = new EntryReader(Buffer.from(this.buffer));
    other.offset = this.offset;
    return other;
  }

  /** Whether a PREPARE, ONE_PHASE or COMMIT asks for one status a part. */
  get isAnchored(): boolean {
    return this.buffer[1] === ANCHOR_CODEC;
  }

  /** The ceiling that a BATCH begins with; 0 when it carries none. */
  batchCeiling(): Millis {
    return this.buffer[1] === CEILING_CODEC ? this.u53() : 0;
  }

  /** Fails on a unit number outside the announced range. */
  unit(unitCount: number): number {
    const unit = this.u32();
    if (unit >= unitCount) throw new CorruptEntryError(`an entry names unit ${unit} of ${unitCount}`);
    return unit;
  }

  /** One expectation's observed version; call after `unit` and before `bytes` of its key. @returns true for a version */
  expectKind(): boolean {
    const kind = this.u8();
    if (kind > ExpectKind.Version) throw new CorruptEntryError(`an entry has unknown expectation kind ${kind}`);
    return kind === ExpectKind.Version;
  }
}

/** SET_GC: raises the GC threshold of the group. */
export const encodeSetGc = (threshold: HlcTimestamp): Buffer => encodeMark(Opcode.SetGc, threshold);

/** TXN_FLOOR: from here on no transaction that began at or below `floor` gets a lock of the group. */
export const encodeTxnFloor = (floor: HlcTimestamp): Buffer => encodeMark(Opcode.TxnFloor, floor);

function encodeMark(opcode: number, ts: HlcTimestamp): Buffer {
  const buffer = Buffer.allocUnsafe(10);
  buffer[0] = opcode;
  buffer[1] = CODEC;
  buffer.writeBigUInt64BE(ts, 2);
  return buffer;
}

/** Reads the body of a SET_GC or TXN_FLOOR. @throws CorruptEntryError */
export function readMark(reader: EntryReader): HlcTimestamp {
  const ts = reader.timestamp();
  reader.end();
  return ts;
}

/** One key that the leader saw expired, and the version it saw. */
export interface ExpiredVersion {
  readonly key: Buffer;
  readonly commitTs: HlcTimestamp;
}

/** PURGE_EXPIRED: turns versions that are expired at `commitTs` into deletes. */
export function encodePurge(commitTs: HlcTimestamp, versions: readonly ExpiredVersion[]): Buffer {
  let size = 2 + 8 + 4;
  for (const version of versions) size += 4 + version.key.length + 8;
  const buffer = Buffer.allocUnsafe(size);
  buffer[0] = Opcode.PurgeExpired;
  buffer[1] = CODEC;
  buffer.writeBigUInt64BE(commitTs, 2);
  let offset = buffer.writeUInt32BE(versions.length, 10);
  for (const version of versions) {
    offset = buffer.writeUInt32BE(version.key.length, offset);
    offset += version.key.copy(buffer, offset);
    offset = buffer.writeBigUInt64BE(version.commitTs, offset);
  }
  return buffer;
}

/** Reads the next mutation of a batch. @throws CorruptEntryError */
export function readMutation(reader: EntryReader, unitCount: number): Mutation {
  const unit = reader.unit(unitCount);
  const kind = reader.u8();
  const key = reader.view();
  switch (kind) {
    case MutationKind.Put:
      return { unit, key, value: reader.view(), expireTs: ABSENT, end: undefined };
    case MutationKind.PutExpiring: {
      const value = reader.view();
      return { unit, key, value, expireTs: reader.timestamp(), end: undefined };
    }
    case MutationKind.Delete:
      return { unit, key, value: undefined, expireTs: ABSENT, end: undefined };
    case MutationKind.DeleteRange:
      return { unit, key, value: undefined, expireTs: ABSENT, end: reader.view() };
    default:
      throw new CorruptEntryError(`an entry has unknown mutation kind ${kind}`);
  }
}

/** Reads the next expectation of a batch. @throws CorruptEntryError */
export function readExpectation(reader: EntryReader, unitCount: number): Expectation {
  const unit = reader.unit(unitCount);
  const isVersion = reader.expectKind();
  const key = reader.view();
  return { unit, key, versionTs: isVersion ? reader.timestamp() : ABSENT };
}

/** Reads the body of a PURGE_EXPIRED entry, leaving the reader at its end. */
export function readPurge(reader: EntryReader): { commitTs: HlcTimestamp; versions: ExpiredVersion[] } {
  const commitTs = reader.timestamp();
  const versions: ExpiredVersion[] = [];
  for (let left = reader.u32(); left > 0; left--) versions.push({ key: reader.view(), commitTs: reader.timestamp() });
  reader.end();
  return { commitTs, versions };
}

/** Encodes a batch given as objects, for tools and tests. */
export function encodeBatch(
  commitTs: HlcTimestamp,
  unitCount: number,
  expects: readonly Expectation[],
  mutations: readonly Mutation[],
  ceilingMs: Millis = 0,
): Buffer {
  let bytes = 0;
  for (const expect of expects) bytes += expectBytes(expect.key, expect.versionTs);
  for (const mutation of mutations) {
    bytes +=
      mutation.end === undefined
        ? mutationBytes(mutation.key, mutation.value?.length, mutation.expireTs)
        : rangeBytes(mutation.key, mutation.end);
  }
  const encoder = new BatchEncoder(unitCount, expects.length, mutations.length, bytes);
  for (const expect of expects) encoder.expect(expect.unit, expect.key, expect.versionTs);
  for (const { unit, key, value, expireTs, end } of mutations) {
    if (end !== undefined) encoder.deleteRange(unit, key, end);
    else if (value === undefined) encoder.delete(unit, key);
    else encoder.put(unit, key, value, expireTs);
  }
  return encoder.finish(commitTs, ceilingMs);
}
