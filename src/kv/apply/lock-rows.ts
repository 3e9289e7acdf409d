/**
 * Bytes of the side rows that transactions leave at keys. Big-endian, lengths first. A key may carry locks of several
 * readers and statuses of many transactions, so the id is part of the name.
 *
 *   name  := 01 txnId             lock of the key          (held in memory)
 *            02 txnId end         lock of a range that begins at the key  (held in memory)
 *            81 txnId             status of a transaction at the key: its record at the primary, a marker elsewhere
 *   lock  := tag u8, codec u8, kind u8, startTs u64, minCommitTs u64, deadlineTs u64, expireTs u64, primary, value, groups
 *   status  := tag u8, codec u8, kind u8 (0 rolled back, 1 committed), commitTs u64, startTs u64, isPrimary u8, groups
 *   groups := count u32, u32*
 */
import { ByteWriter, type GroupId, groupId, type HlcTimestamp } from '../../platform/index.ts';
import type { SideRow, SideSource } from '../../store/index.ts';
import { CorruptEntryError, type LockFacts, type LockKind, TXN_ID_BYTES, type TxnStatus } from '../contract/index.ts';
import { ABSENT, CODEC, EntryReader } from '../entry/index.ts';

/** First byte of a row's name. Disk values: never renumber. */
const Tag = { Lock: 0x01, RangeLock: 0x02, Status: 0x81 } as const;
/** Disk values: only ever append. */
const LOCK_KINDS: readonly (LockKind | 'range')[] = ['read', 'put', 'delete', 'range'];

/** Of a lock's row beside primary and value, about. */
const LOCK_BYTES = 64;

/** A lock in force. One object for as long as it is, so that it can be waited for. */
export interface Lock extends LockFacts {
  deadlineTs: HlcTimestamp;
  /** Of a put, else empty. */
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
  /** At the primary, else empty. */
  readonly participants: readonly GroupId[];
}

/** How a transaction ended, as written down at one of its keys. */
export interface TxnStatusRow {
  readonly status: TxnStatus;
  readonly startTs: HlcTimestamp;
  /** True for the record, which decides for all keys. */
  readonly isPrimary: boolean;
  readonly participants: readonly GroupId[];
}

/** A string that stands for a key in maps. */
export const nameOf = (key: Buffer): string => key.toString('latin1');

/** Name of a lock's row. */
export const lockName = ({ txnId, end }: Pick<LockFacts, 'txnId' | 'end'>): Buffer =>
  end === undefined ? tagged(Tag.Lock, txnId) : Buffer.concat([Buffer.of(Tag.RangeLock), txnId, end]);

/** Name of the row of a transaction's status. */
export const statusName = (txnId: Buffer): Buffer => tagged(Tag.Status, txnId);

function tagged(tag: number, txnId: Buffer): Buffer {
  const name = Buffer.allocUnsafe(1 + txnId.length);
  name[0] = tag;
  txnId.copy(name, 1);
  return name;
}

export const isLockName = (name: Buffer): boolean => name[0] === Tag.Lock || name[0] === Tag.RangeLock;
export const isStatusName = (name: Buffer): boolean => name[0] === Tag.Status;

/** The transaction that a row is about. */
export const txnIdOf = (name: Buffer): Buffer => name.subarray(1, 1 + TXN_ID_BYTES);

const writeGroups = (writer: ByteWriter, groups: readonly GroupId[]): void => {
  writer.u32(groups.length);
  for (const group of groups) writer.u32(group);
};

function readGroups(reader: EntryReader): GroupId[] {
  const groups: GroupId[] = [];
  for (let left = reader.u32(); left > 0; left--) groups.push(groupId(reader.u32()));
  return groups;
}

/** Value of a lock's row. */
export function encodeLock(lock: Lock): Buffer {
  const writer = new ByteWriter(LOCK_BYTES + lock.primary.length + lock.value.length)
    .u8(lock.end === undefined ? Tag.Lock : Tag.RangeLock)
    .u8(CODEC)
    .u8(LOCK_KINDS.indexOf(lock.kind))
    .u64(lock.startTs)
    .u64(lock.minCommitTs)
    .u64(lock.deadlineTs)
    .u64(lock.expireTs)
    .bytes(lock.primary)
    .bytes(lock.value);
  writeGroups(writer, lock.participants);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeLock({ key, name, value }: SideRow): Lock {
  const reader = new EntryReader(value);
  const kind = LOCK_KINDS[reader.u8()];
  const isRange = name[0] === Tag.RangeLock;
  if (kind === undefined || isRange !== (kind === 'range')) throw new CorruptEntryError('a lock has an unknown kind');
  const lock: Lock = {
    txnId: txnIdOf(name),
    key,
    end: isRange ? name.subarray(1 + TXN_ID_BYTES) : undefined,
    kind,
    startTs: reader.timestamp(),
    minCommitTs: reader.timestamp(),
    deadlineTs: reader.timestamp(),
    expireTs: reader.timestamp(),
    primary: reader.view(),
    value: reader.view(),
    participants: readGroups(reader),
  };
  reader.end();
  return lock;
}

/** The row of a lock for the store: made only when the lock is still there when a batch is written, which few are. */
export class LockRow implements SideSource {
  private readonly lock: Lock;

  /** @param lock in memory of its own */
  constructor(lock: Lock) {
    this.lock = lock;
  }

  get sizeBytes(): number {
    return LOCK_BYTES + this.lock.primary.length + this.lock.value.length;
  }

  encode(): Buffer {
    return encodeLock(this.lock);
  }
}

/** Value of a status's row. */
export function encodeStatus({ status, startTs, isPrimary, participants }: TxnStatusRow): Buffer {
  const isCommitted = status.kind === 'committed';
  const writer = new ByteWriter(32)
    .u8(Tag.Status)
    .u8(CODEC)
    .u8(isCommitted ? 1 : 0)
    .u64(isCommitted ? status.commitTs : ABSENT)
    .u64(startTs)
    .u8(isPrimary ? 1 : 0);
  writeGroups(writer, participants);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeStatus(value: Buffer): TxnStatusRow {
  const reader = new EntryReader(value);
  const kind = reader.u8();
  const commitTs = reader.timestamp();
  const startTs = reader.timestamp();
  const isPrimary = reader.u8() === 1;
  const participants = readGroups(reader);
  reader.end();
  if (kind > 1) throw new CorruptEntryError('the status of a transaction has an unknown kind');
  return {
    status: kind === 1 ? { kind: 'committed', commitTs } : { kind: 'rolledBack' },
    startTs,
    isPrimary,
    participants,
  };
}
