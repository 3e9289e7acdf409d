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
import {
  CorruptEntryError,
  type LockFacts,
  type LockKind,
  TXN_ID_BYTES,
  type TxnIdentity,
  type TxnStatus,
} from '../contract/index.ts';
import { ABSENT, CODEC, EntryReader } from '../entry/index.ts';

/** First byte of a row's name. Disk values: never renumber. */
const Tag = { Lock: 0x01, RangeLock: 0x02, Status: 0x81 } as const;
/** Disk values: only ever append. */
const LOCK_KINDS: readonly (LockKind | 'range')[] = ['read', 'put', 'delete', 'range'];
const NO_GROUPS: readonly GroupId[] = [];
const NO_BYTES = Buffer.alloc(0);

/** Of a lock's row beside primary and value, about. */
const LOCK_BYTES = 64;

/** What locks have in common that one entry asks for, in memory of their own. */
export interface LockHolder extends TxnIdentity {
  readonly minCommitTs: HlcTimestamp;
  /** When others may end the transaction, unless it is pushed on. */
  readonly deadlineTs: HlcTimestamp;
  /** Where the primary is among them, else empty. */
  readonly participants: readonly GroupId[];
  /** Of the rows of its locks of single keys. */
  readonly rowName: Buffer;
}

/** What one lock is about; buffers in memory of their own. */
export interface LockPlace {
  readonly key: Buffer;
  readonly kind: LockFacts['kind'];
  /** Of a put, else empty. */
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
}

/**
 * A lock in force. One object for as long as it is, so that it can be waited for. Its row is made only when it is still there when a batch of the store is
 * written, which few are.
 */
export class Lock implements LockFacts, SideSource {
  readonly holder: LockHolder;
  readonly key: Buffer;
  /** `nameOf(key)`. */
  readonly keyName: string;
  readonly kind: LockFacts['kind'];
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
  readonly end: Buffer | undefined;
  deadlineTs: HlcTimestamp;

  /** @param end of a range lock, in memory of its own */
  constructor(holder: LockHolder, place: LockPlace, keyName: string, end?: Buffer) {
    this.holder = holder;
    this.key = place.key;
    this.keyName = keyName;
    this.kind = place.kind;
    this.value = place.value;
    this.expireTs = place.expireTs;
    this.end = end;
    this.deadlineTs = holder.deadlineTs;
  }

  get txnId(): Buffer {
    return this.holder.txnId;
  }

  get primary(): Buffer {
    return this.holder.primary;
  }

  get startTs(): HlcTimestamp {
    return this.holder.startTs;
  }

  get minCommitTs(): HlcTimestamp {
    return this.holder.minCommitTs;
  }

  /** At the primary, else empty. */
  get participants(): readonly GroupId[] {
    return this.key.equals(this.primary) ? this.holder.participants : NO_GROUPS;
  }

  /** Name of its row. */
  get rowName(): Buffer {
    if (this.end === undefined) return this.holder.rowName;
    return Buffer.concat([Buffer.of(Tag.RangeLock), this.txnId, this.end]);
  }

  get sizeBytes(): number {
    return LOCK_BYTES + this.primary.length + this.value.length;
  }

  /** Value of its row. */
  encode(): Buffer {
    const writer = new ByteWriter(this.sizeBytes)
      .u8(this.end === undefined ? Tag.Lock : Tag.RangeLock)
      .u8(CODEC)
      .u8(LOCK_KINDS.indexOf(this.kind))
      .u64(this.startTs)
      .u64(this.minCommitTs)
      .u64(this.deadlineTs)
      .u64(this.expireTs)
      .bytes(this.primary)
      .bytes(this.value);
    writeGroups(writer, this.participants);
    return writer.finish();
  }
}

/** A lock of a range. */
export function rangeLock(holder: LockHolder, start: Buffer, end: Buffer): Lock {
  const key = Buffer.from(start);
  return new Lock(holder, { key, kind: 'range', value: NO_BYTES, expireTs: ABSENT }, nameOf(key), Buffer.from(end));
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

/** Name of the row of a transaction's lock of a single key. */
export const lockName = (txnId: Buffer): Buffer => tagged(Tag.Lock, txnId);

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

/** @throws CorruptEntryError */
export function decodeLock({ key, name, value }: SideRow): Lock {
  const reader = new EntryReader(value);
  const kind = LOCK_KINDS[reader.u8()];
  const isRange = name[0] === Tag.RangeLock;
  if (kind === undefined || isRange !== (kind === 'range')) throw new CorruptEntryError('a lock has an unknown kind');
  const txnId = txnIdOf(name);
  const [startTs, minCommitTs, deadlineTs, expireTs] = [
    reader.timestamp(),
    reader.timestamp(),
    reader.timestamp(),
    reader.timestamp(),
  ];
  const [primary, lockedValue] = [reader.view(), reader.view()];
  const participants = readGroups(reader);
  reader.end();
  const holder = { txnId, primary, startTs, minCommitTs, deadlineTs, participants, rowName: lockName(txnId) };
  const end = isRange ? name.subarray(1 + TXN_ID_BYTES) : undefined;
  return new Lock(holder, { key, kind, value: lockedValue, expireTs }, nameOf(key), end);
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
