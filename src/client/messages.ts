/** Messages of the proto file as the client sends and gets them. */
import type { SessionToken } from './session-token.ts';
import type {
  Bytes,
  Comparison,
  Condition,
  Expected,
  KeyRange,
  Operation,
  ReadConsistency,
  ReadTime,
  StoredRow,
  StoredValue,
} from './types.ts';

export interface TimestampMessage {
  readonly ms: number;
  readonly counter: number;
}

export interface ValueMessage {
  readonly value: Buffer;
  readonly version: TimestampMessage;
  readonly expiresAtMs: number;
}

export interface RowMessage extends ValueMessage {
  readonly key: Buffer;
}

/** What an answer says of time. */
export interface TimeMessage {
  readonly servedTs?: TimestampMessage | null;
  readonly stalenessMs?: number;
  readonly sessionToken?: Buffer;
}

export interface PageMessage extends TimeMessage {
  readonly rows: readonly RowMessage[];
  readonly servedStart: Buffer;
  readonly servedEnd?: Buffer;
}

const COMPARISONS: readonly Comparison[] = ['equal', 'notEqual', 'less', 'greater'];

/** Bytes of a key or value; a view where they are bytes already. */
export const toBuffer = (bytes: Bytes): Buffer =>
  typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const toVersion = ({ ms, counter }: TimestampMessage): bigint => (BigInt(ms) << 16n) | BigInt(counter);

export const fromVersion = (version: bigint): TimestampMessage => ({
  ms: Number(version >> 16n),
  counter: Number(version & 0xffffn),
});

/** What an answer says of time; a batch of nothing is of no moment. */
export const timeOf = ({ servedTs, stalenessMs }: TimeMessage): ReadTime => ({
  servedTs: servedTs === null || servedTs === undefined ? 0n : toVersion(servedTs),
  stalenessMs,
});

/** The consistency of a read as a part of its message. A session's own where nothing else is asked for. */
export function consistencyField(consistency: ReadConsistency | undefined, session: SessionToken | undefined): object {
  if (consistency === undefined) return session === undefined ? {} : { consistency: { sessionToken: session.current } };
  if (consistency === 'linearizable') return { consistency: { linearizable: true } };
  if (consistency === 'anyReplica') return { consistency: { anyReplica: true } };
  return 'at' in consistency
    ? { consistency: { exact: fromVersion(consistency.at) } }
    : { consistency: { maxStalenessMs: consistency.maxStalenessMs } };
}

/** @param message null for none */
export const toStored = (message: ValueMessage | null): StoredValue | undefined =>
  message === null
    ? undefined
    : {
        value: message.value,
        version: toVersion(message.version),
        expiresAtMs: message.expiresAtMs === 0 ? undefined : message.expiresAtMs,
      };

export const toRow = (message: RowMessage): StoredRow => ({ key: message.key, ...toStored(message)! });

/** The bounds of a range; `end` undefined is behind the last key. */
export function boundsOf({ start, end, prefix }: KeyRange): {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
} {
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) throw new TypeError('a range has either a prefix or bounds');
    const first = toBuffer(prefix);
    return { start: first, end: behindPrefix(first) };
  }
  return {
    start: start === undefined ? Buffer.alloc(0) : toBuffer(start),
    end: end === undefined ? undefined : toBuffer(end),
  };
}

/** The first key behind all that begin with `prefix`; undefined when there is none. */
function behindPrefix(prefix: Buffer): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]!++;
  return end;
}

/** What must be so, as a part of a message. */
export function expectedMessage(expected: Expected): object {
  if ('absent' in expected) return { absent: true };
  return 'value' in expected ? { value: toBuffer(expected.value) } : { version: fromVersion(expected.version) };
}

/** A condition as a part of a message. */
export function conditionMessage(condition: Condition): object {
  const common = { key: toBuffer(condition.key), comparison: COMPARISONS.indexOf(condition.comparison ?? 'equal') };
  if ('exists' in condition) return { ...common, exists: condition.exists };
  if ('value' in condition) return { ...common, value: toBuffer(condition.value) };
  return { ...common, version: fromVersion(condition.version) };
}

/** An operation as a part of a message. */
export function operationMessage(operation: Operation): object {
  if ('get' in operation) return { get: { key: toBuffer(operation.get) } };
  if ('delete' in operation) return { delete: { key: toBuffer(operation.delete) } };
  const { put: key, value, ttlMs } = operation;
  return { put: { key: toBuffer(key), value: toBuffer(value), ttlMs: ttlMs ?? 0 } };
}
