/**
 * Bytes of the log entries of transactions. See ../entry.ts for the conventions.
 *
 *   ONE_PHASE, PREPARE := ts u64, who, oldestStartTs u64, epoch u64, deadlineTs u64, groups, count u32, intent*, ranges
 *   COMMIT  := ts u64, who, commitTs u64, finish
 *   ABORT   := ts u64, who, finish
 *   PUSH    := ts u64, who, deadlineTs u64
 *   FORGET  := ts u64, olderThanTs u64, count u32, (key, txnId)*
 *   RESOLVE := ts u64, count u32, (key, txnId, isRange u8, [end], isCommitted u8, [commitTs u64])*
 *   TOGETHER := count u32, entry*        (each of the above but FORGET, as bytes with their length)
 *   who     := txnId, primary, startTs u64
 *   intent  := key, kind u8, condition u8 (0 none, 1 version, 2 with codec 2: not written since), [timestamp u64],
 *              [put: value, expireTs u64]
 *   finish  := isPrimary u8, groups, writes, reads, ranges
 *   (PREPARE, ONE_PHASE and COMMIT have codec 3 where their keys have one status between them)
 *   groups  := count u32, u32*;  writes, reads := count u32, key*;  ranges := count u32, (start, end)*
 */
import { assert, ByteWriter, type GroupId, groupId, type HlcTimestamp } from '../../platform/index.ts';
import {
  type CommitRequest,
  CorruptEntryError,
  type FinishRequest,
  type KeyIntent,
  type LockKind,
  type PrepareRequest,
  type RangeIntent,
  TXN_ID_BYTES,
  type TxnIdentity,
  type Verdict,
} from '../contract/index.ts';
import { ABSENT, ANCHOR_CODEC, CODEC, type EntryReader, Opcode, SNAPSHOT_CODEC } from './entry.ts';

/** Disk values: only ever append. */
const KINDS: readonly LockKind[] = ['read', 'put', 'delete'];
/** Disk values: what a key must be like. */
const Condition = { None: 0, Version: 1, NotAbove: 2 } as const;
const NO_BYTES = Buffer.alloc(0);

interface Stamped {
  /** The entry's own timestamp, from the group's clock. */
  readonly ts: HlcTimestamp;
}

/** A PREPARE or ONE_PHASE: what was asked for, and what the leader added. */
export interface PrepareEntry extends Omit<PrepareRequest, 'lockTtlMs'>, Stamped {
  /** When others may end the transaction, unless it is pushed on. */
  readonly deadlineTs: HlcTimestamp;
  readonly ranges: readonly RangeIntent[];
  /** Transactions that began at or before this are refused: their records may be forgotten. */
  readonly oldestStartTs: HlcTimestamp;
  /** Its keys have one status between them, see `anchorOf`. */
  readonly isAnchored: boolean;
}

export interface CommitEntry extends CommitRequest, Stamped {
  /** Its keys get one status between them, see `anchorOf`. */
  readonly isAnchored: boolean;
}
export interface AbortEntry extends FinishRequest, Stamped {}
export interface PushEntry extends TxnIdentity, Stamped {
  readonly deadlineTs: HlcTimestamp;
}
export interface ResolveEntry extends Stamped {
  readonly verdicts: readonly Verdict[];
}
export interface ForgetEntry extends Stamped {
  readonly olderThanTs: HlcTimestamp;
  readonly statuses: readonly { readonly key: Buffer; readonly txnId: Buffer }[];
}

/** Which of the keys that a part of a transaction writes has the status for all of them: the smallest; undefined of none. */
export function anchorOf(writes: Iterable<Buffer>): Buffer | undefined {
  let smallest: Buffer | undefined;
  for (const key of writes) if (smallest === undefined || Buffer.compare(key, smallest) < 0) smallest = key;
  return smallest;
}

const begin = (opcode: number, ts: HlcTimestamp, expectedBytes = 256, codec = CODEC): ByteWriter =>
  new ByteWriter(expectedBytes).u8(opcode).u8(codec).u64(ts);

function writeIdentity(writer: ByteWriter, { txnId, primary, startTs }: TxnIdentity): ByteWriter {
  assert(txnId.length === TXN_ID_BYTES, 'a transaction has an id of 16 bytes');
  return writer.bytes(txnId).bytes(primary).u64(startTs);
}

function readId(reader: EntryReader): Buffer {
  const txnId = reader.view();
  if (txnId.length !== TXN_ID_BYTES) throw new CorruptEntryError('an entry holds the id of no transaction');
  return txnId;
}

const readIdentity = (reader: EntryReader): TxnIdentity => ({
  txnId: readId(reader),
  primary: reader.view(),
  startTs: reader.timestamp(),
});

function writeList<T>(writer: ByteWriter, list: readonly T[], write: (item: T) => void): void {
  writer.u32(list.length);
  for (const item of list) write(item);
}

function readList<T>(reader: EntryReader, read: () => T): T[] {
  const list: T[] = [];
  for (let left = reader.u32(); left > 0; left--) list.push(read());
  return list;
}

const writeGroups = (writer: ByteWriter, groups: readonly GroupId[]): void =>
  writeList(writer, groups, (group) => writer.u32(group));
const writeKeys = (writer: ByteWriter, keys: readonly Buffer[]): void =>
  writeList(writer, keys, (key) => writer.bytes(key));
const writeRanges = (writer: ByteWriter, ranges: readonly RangeIntent[]): void =>
  writeList(writer, ranges, ({ start, end }) => writer.bytes(start).bytes(end));

const readGroups = (reader: EntryReader): GroupId[] => readList(reader, () => groupId(reader.u32()));
const readKeys = (reader: EntryReader): Buffer[] => readList(reader, () => reader.view());
const readRanges = (reader: EntryReader): RangeIntent[] =>
  readList(reader, () => ({ start: reader.view(), end: reader.view() }));

/** PREPARE, or ONE_PHASE when `isOnePhase`. */
export function encodePrepare(entry: PrepareEntry, isOnePhase: boolean): Buffer {
  let bytes = 128;
  for (const { key, value } of entry.keys) bytes += key.length + value.length + 32;
  // A build that does not know the condition stops at the entry, instead of taking the timestamp for a version.
  const isOfSnapshot = entry.keys.some(({ notAboveTs }) => notAboveTs !== undefined);
  const codec = entry.isAnchored ? ANCHOR_CODEC : isOfSnapshot ? SNAPSHOT_CODEC : CODEC;
  const writer = begin(isOnePhase ? Opcode.OnePhase : Opcode.Prepare, entry.ts, bytes, codec);
  writeIdentity(writer, entry).u64(entry.oldestStartTs).u53(entry.authorityEpoch).u64(entry.deadlineTs);
  writeGroups(writer, entry.participants);
  writeList(writer, entry.keys, ({ key, kind, expected, notAboveTs, value, expireTs }) => {
    assert(expected === undefined || notAboveTs === undefined, 'a key has one condition');
    writer.bytes(key).u8(KINDS.indexOf(kind));
    if (expected !== undefined) writer.u8(Condition.Version).u64(expected);
    else if (notAboveTs !== undefined) writer.u8(Condition.NotAbove).u64(notAboveTs);
    else writer.u8(Condition.None);
    if (kind === 'put') writer.bytes(value).u64(expireTs);
  });
  writeRanges(writer, entry.ranges);
  return writer.finish();
}

/** Reads the body of a PREPARE or ONE_PHASE. @throws CorruptEntryError */
export function readPrepare(reader: EntryReader): PrepareEntry {
  const entry: PrepareEntry = {
    ts: reader.timestamp(),
    ...readIdentity(reader),
    oldestStartTs: reader.timestamp(),
    authorityEpoch: reader.u53(),
    deadlineTs: reader.timestamp(),
    participants: readGroups(reader),
    keys: readList(reader, () => readIntent(reader)),
    ranges: readRanges(reader),
    isAnchored: reader.isAnchored,
  };
  reader.end();
  return entry;
}

function readIntent(reader: EntryReader): KeyIntent {
  const key = reader.view();
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw new CorruptEntryError('an entry wants a lock of an unknown kind');
  const condition = readCondition(reader);
  if (kind !== 'put') return { key, kind, ...condition, value: NO_BYTES, expireTs: ABSENT };
  return { key, kind, ...condition, value: reader.view(), expireTs: reader.timestamp() };
}

function readCondition(reader: EntryReader): Pick<KeyIntent, 'expected' | 'notAboveTs'> {
  const condition = reader.u8();
  switch (condition) {
    case Condition.None:
      return { expected: undefined };
    case Condition.Version:
      return { expected: reader.timestamp() };
    case Condition.NotAbove:
      return { expected: undefined, notAboveTs: reader.timestamp() };
    default:
      throw new CorruptEntryError('an entry has an unknown condition for a lock');
  }
}

function writeFinish(writer: ByteWriter, { isPrimary, participants, writes, reads, ranges }: FinishRequest): Buffer {
  writer.u8(isPrimary ? 1 : 0);
  writeGroups(writer, participants);
  writeKeys(writer, writes);
  writeKeys(writer, reads);
  writeRanges(writer, ranges);
  return writer.finish();
}

const readFinish = (reader: EntryReader): Omit<FinishRequest, keyof TxnIdentity> => ({
  isPrimary: reader.u8() === 1,
  participants: readGroups(reader),
  writes: readKeys(reader),
  reads: readKeys(reader),
  ranges: readRanges(reader),
});

/** COMMIT. */
export function encodeCommit(entry: CommitEntry): Buffer {
  let bytes = 128;
  for (const { length } of entry.writes) bytes += 4 + length;
  const writer = begin(Opcode.Commit, entry.ts, bytes, entry.isAnchored ? ANCHOR_CODEC : CODEC);
  return writeFinish(writeIdentity(writer, entry).u64(entry.commitTs), entry);
}

/** Reads the body of a COMMIT. @throws CorruptEntryError */
export function readCommit(reader: EntryReader): CommitEntry {
  const head = { ts: reader.timestamp(), ...readIdentity(reader), commitTs: reader.timestamp() };
  const entry: CommitEntry = { ...head, ...readFinish(reader), isAnchored: reader.isAnchored };
  reader.end();
  return entry;
}

/** ABORT. */
export const encodeAbort = (entry: AbortEntry): Buffer =>
  writeFinish(writeIdentity(begin(Opcode.Abort, entry.ts), entry), entry);

/** Reads the body of an ABORT. @throws CorruptEntryError */
export function readAbort(reader: EntryReader): AbortEntry {
  const entry: AbortEntry = { ts: reader.timestamp(), ...readIdentity(reader), ...readFinish(reader) };
  reader.end();
  return entry;
}

/** PUSH. */
export const encodePush = (entry: PushEntry): Buffer =>
  writeIdentity(begin(Opcode.Push, entry.ts), entry).u64(entry.deadlineTs).finish();

/** Reads the body of a PUSH. @throws CorruptEntryError */
export function readPush(reader: EntryReader): PushEntry {
  const entry: PushEntry = { ts: reader.timestamp(), ...readIdentity(reader), deadlineTs: reader.timestamp() };
  reader.end();
  return entry;
}

/** RESOLVE. */
export function encodeResolve({ ts, verdicts }: ResolveEntry): Buffer {
  const writer = begin(Opcode.Resolve, ts);
  writeList(writer, verdicts, ({ key, txnId, end, status }) => {
    writer
      .bytes(key)
      .bytes(txnId)
      .u8(end === undefined ? 0 : 1);
    if (end !== undefined) writer.bytes(end);
    writer.u8(status.kind === 'committed' ? 1 : 0);
    if (status.kind === 'committed') writer.u64(status.commitTs);
  });
  return writer.finish();
}

/** Reads the body of a RESOLVE. @throws CorruptEntryError */
export function readResolve(reader: EntryReader): ResolveEntry {
  const ts = reader.timestamp();
  const verdicts = readList(reader, (): Verdict => {
    const key = reader.view();
    const txnId = readId(reader);
    const end = reader.u8() === 0 ? undefined : reader.view();
    const isCommitted = reader.u8() === 1;
    return {
      key,
      txnId,
      end,
      status: isCommitted ? { kind: 'committed', commitTs: reader.timestamp() } : { kind: 'rolledBack' },
    };
  });
  reader.end();
  return { ts, verdicts };
}

/** TOGETHER: several entries of transactions, no two of which touch one key, as one. */
export function encodeTogether(entries: readonly Buffer[]): Buffer {
  let size = 6;
  for (const entry of entries) size += 4 + entry.length;
  const buffer = Buffer.allocUnsafe(size);
  buffer[0] = Opcode.Together;
  buffer[1] = CODEC;
  let offset = buffer.writeUInt32BE(entries.length, 2);
  for (const entry of entries) {
    offset = buffer.writeUInt32BE(entry.length, offset);
    buffer.set(entry, offset);
    offset += entry.length;
  }
  return buffer;
}

/** Reads the body of a TOGETHER. @throws CorruptEntryError */
export function readTogether(reader: EntryReader): Buffer[] {
  const entries = readList(reader, () => reader.view());
  reader.end();
  return entries;
}

/** FORGET: removes statuses that nobody can ask for any more. */
export function encodeForget({ ts, olderThanTs, statuses }: ForgetEntry): Buffer {
  const writer = begin(Opcode.Forget, ts).u64(olderThanTs);
  writeList(writer, statuses, ({ key, txnId }) => writer.bytes(key).bytes(txnId));
  return writer.finish();
}

/** Reads the body of a FORGET. @throws CorruptEntryError */
export function readForget(reader: EntryReader): ForgetEntry {
  const entry = {
    ts: reader.timestamp(),
    olderThanTs: reader.timestamp(),
    statuses: readList(reader, () => ({ key: reader.view(), txnId: readId(reader) })),
  };
  reader.end();
  return entry;
}
