/**
 * Bytes of the service `txn`. A question that becomes a log entry travels as that entry, without a timestamp; the others are
 * written out here. Where an entry has the deadline of its locks a question has how long they shall live, in milliseconds.
 * Big-endian, lengths first.
 *
 *   question := codec u8, kind u8, group u32, body
 *   body     := entry | lock range: readTs u64, entry | read: count u32, key*, moment u8 (0 newest, 1 at, 2 newest and absences), [at: readTs u64]
 *             | scan: start, end, limit u32, keysOnly u8, reverse u8, readTs u64 (0: the newest state) | status: txnId, primary, startTs u64
 *   answer   := codec u8, kind u8, body | of a read: codec u8 (2, 3), seenTs u64, rows as bytes,
 *              [3: collectedTs u64, of each key that is not there deletedTs u64, writtenTs u64]
 *   row      := value, expireTs u64, commitTs u64
 */
import {
  assertNever,
  ByteReader,
  ByteWriter,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  type Millis,
} from '../../platform/index.ts';
import {
  type Absences,
  type CommitReply,
  type CommitRequest,
  CorruptEntryError,
  type FinishRequest,
  type LiveValue,
  type LockFacts,
  type LockRangeRequest,
  type PrepareReply,
  type PrepareRequest,
  type PushReply,
  type ScanPage,
  type ScanRequest,
  type StatusReply,
  type TxnIdentity,
  type TxnReadReply,
  type TxnReadRequest,
  type TxnStatus,
  type Verdict,
} from '../contract/index.ts';
import {
  EntryReader,
  encodeAbort,
  encodeCommit,
  encodePrepare,
  encodePush,
  encodeResolve,
  readAbort,
  readCommit,
  readPrepare,
  readPush,
  readResolve,
} from '../entry/index.ts';

const CODEC = 1;
/** Of answers to reads, which did not say how far they see before; the second with what is known of keys that are not there. */
const READ_CODEC = 2;
const READ_CODEC_WITH_ABSENCES = 3;
/** What a read is of. Wire values. */
const Moment = { Newest: 0, At: 1, NewestWithAbsences: 2 } as const;
/** Stands for what the leader puts in, or chooses. */
const OPEN = hlcTimestamp(0n);
/** Wire values: only ever append. */
const QUESTIONS = [
  'read',
  'scan',
  'prepare',
  'commitOnePhase',
  'lockRange',
  'commit',
  'abort',
  'status',
  'push',
  'resolve',
] as const;
/** Wire values: only ever append. */
const ANSWERS = [
  'prepared',
  'changed',
  'locked',
  'tooOld',
  'wrongAuthority',
  'committed',
  'rolledBack',
  'tsTooLow',
  'notFound',
  'pending',
  'forgotten',
  'pushed',
] as const;
const LOCK_KINDS: readonly LockFacts['kind'][] = ['read', 'put', 'delete', 'range'];

/** One question to a group. */
export type TxnQuestion =
  | { readonly kind: 'read'; readonly request: TxnReadRequest }
  | { readonly kind: 'scan'; readonly request: ScanRequest; readonly readTs: HlcTimestamp | undefined }
  | { readonly kind: 'prepare' | 'commitOnePhase'; readonly request: PrepareRequest }
  | { readonly kind: 'lockRange'; readonly request: LockRangeRequest }
  | { readonly kind: 'commit'; readonly request: CommitRequest }
  | { readonly kind: 'abort'; readonly request: FinishRequest }
  | { readonly kind: 'status'; readonly txn: TxnIdentity }
  | { readonly kind: 'push'; readonly txn: TxnIdentity; readonly lockTtlMs: Millis }
  | { readonly kind: 'resolve'; readonly verdicts: readonly Verdict[] };

/** What a question about a transaction is answered with. */
export type TxnOutcome = PrepareReply | CommitReply | StatusReply | PushReply | TxnStatus;

/** A question says how long locks shall live; when that ends is the group's to say, in the entry. The place is the same. */
const durationTs = (lockTtlMs: Millis): HlcTimestamp => hlcTimestamp(BigInt(Math.ceil(lockTtlMs)));
const durationOf = (ts: HlcTimestamp): Millis => Number(ts);

const openTimes = ({ lockTtlMs }: { readonly lockTtlMs: Millis }) => ({
  ts: OPEN,
  oldestStartTs: OPEN,
  deadlineTs: durationTs(lockTtlMs),
  // The group's to say too.
  isAnchored: false,
});

const closedTimes = <Entry extends { readonly deadlineTs: HlcTimestamp }>({ deadlineTs, ...request }: Entry) => ({
  ...request,
  lockTtlMs: durationOf(deadlineTs),
});

/** Encodes a question to a group. */
export function encodeQuestion(group: GroupId, question: TxnQuestion): Buffer {
  const writer = new ByteWriter(256).u8(CODEC).u8(QUESTIONS.indexOf(question.kind)).u32(group);
  switch (question.kind) {
    case 'read': {
      const { keys, readTs, withAbsences } = question.request;
      writer.u32(keys.length);
      for (const key of keys) writer.bytes(key);
      writer.u8(readTs !== undefined ? Moment.At : withAbsences === true ? Moment.NewestWithAbsences : Moment.Newest);
      if (readTs !== undefined) writer.u64(readTs);
      break;
    }
    case 'scan': {
      const { start, end, limit, keysOnly, reverse } = question.request;
      writer.bytes(start).bytes(end).u32(limit);
      writer.u8(keysOnly === true ? 1 : 0).u8(reverse === true ? 1 : 0);
      writer.u64(question.readTs ?? OPEN);
      break;
    }
    case 'prepare':
    case 'commitOnePhase':
      writer.bytes(encodePrepare({ ...question.request, ...openTimes(question.request), ranges: [] }, false));
      break;
    case 'lockRange': {
      const { start, end, readTs, ...request } = question.request;
      const rest = { participants: [], keys: [], ...openTimes(request) };
      writer.u64(readTs).bytes(encodePrepare({ ...request, ...rest, ranges: [{ start, end }] }, false));
      break;
    }
    case 'commit':
      writer.bytes(encodeCommit({ ...question.request, ts: OPEN, isAnchored: false }));
      break;
    case 'abort':
      writer.bytes(encodeAbort({ ...question.request, ts: OPEN }));
      break;
    case 'status':
      writer.bytes(question.txn.txnId).bytes(question.txn.primary).u64(question.txn.startTs);
      break;
    case 'push':
      writer.bytes(encodePush({ ...question.txn, deadlineTs: durationTs(question.lockTtlMs), ts: OPEN }));
      break;
    case 'resolve':
      writer.bytes(encodeResolve({ verdicts: question.verdicts, ts: OPEN }));
      break;
    default:
      assertNever(question);
  }
  return writer.finish();
}

/** @throws CorruptEntryError for bytes that `encodeQuestion` cannot have written */
export function decodeQuestion(bytes: Buffer): { readonly group: GroupId; readonly question: TxnQuestion } {
  const reader = new ByteReader(bytes, 'a question about a transaction', CorruptEntryError);
  reader.version(CODEC);
  const kind = reader.oneOf(QUESTIONS);
  const group = groupId(reader.u32());
  const question = readQuestion(reader, kind);
  reader.end();
  return { group, question };
}

function readQuestion(reader: ByteReader, kind: (typeof QUESTIONS)[number]): TxnQuestion {
  const entry = (): EntryReader => new EntryReader(reader.bytes());
  switch (kind) {
    case 'read': {
      const keys: Buffer[] = [];
      for (let left = reader.u32(); left > 0; left--) keys.push(reader.bytes());
      const moment = reader.u8();
      if (moment > Moment.NewestWithAbsences) throw reader.corrupt(`asks for a read of kind ${moment}`);
      if (moment === Moment.At) return { kind, request: { keys, readTs: reader.timestamp() } };
      return { kind, request: moment === Moment.Newest ? { keys } : { keys, withAbsences: true } };
    }
    case 'scan': {
      const range = { start: reader.bytes(), end: reader.bytes(), limit: reader.u32() };
      const request = { ...range, keysOnly: reader.flag(), reverse: reader.flag() };
      const readTs = reader.timestamp();
      return { kind, request, readTs: readTs === OPEN ? undefined : readTs };
    }
    case 'prepare':
    case 'commitOnePhase':
      return { kind, request: closedTimes(readPrepare(entry())) };
    case 'lockRange': {
      const readTs = reader.timestamp();
      const { ranges, ...request } = closedTimes(readPrepare(entry()));
      return { kind, request: { ...request, ...ranges[0]!, readTs } };
    }
    case 'commit':
      return { kind, request: readCommit(entry()) };
    case 'abort':
      return { kind, request: readAbort(entry()) };
    case 'status':
      return { kind, txn: { txnId: reader.bytes(), primary: reader.bytes(), startTs: reader.timestamp() } };
    case 'push': {
      const { deadlineTs, ...txn } = readPush(entry());
      return { kind, txn, lockTtlMs: durationOf(deadlineTs) };
    }
    case 'resolve':
      return { kind, verdicts: readResolve(entry()).verdicts };
    default:
      return assertNever(kind);
  }
}

const begin = (): ByteWriter => new ByteWriter(64).u8(CODEC);

/** Encodes what a transaction was told. */
export function encodeOutcome(outcome: TxnOutcome): Buffer {
  const writer = begin().u8(ANSWERS.indexOf(outcome.kind));
  switch (outcome.kind) {
    case 'prepared':
    case 'tsTooLow':
      writer.u64(outcome.minCommitTs);
      break;
    case 'changed':
    case 'notFound':
      writer.optional('key' in outcome ? outcome.key : undefined);
      break;
    case 'locked': {
      const { txnId, primary, startTs, key, kind, end, minCommitTs, deadlineTs } = outcome.lock;
      writer.bytes(txnId).bytes(primary).u64(startTs).bytes(key).u8(LOCK_KINDS.indexOf(kind)).optional(end);
      writer.u64(minCommitTs).u64(deadlineTs);
      break;
    }
    case 'committed':
      writer.u64(outcome.commitTs);
      break;
    case 'pending':
    case 'pushed':
      writer.u64(outcome.deadlineTs);
      break;
    case 'tooOld':
    case 'wrongAuthority':
    case 'rolledBack':
    case 'forgotten':
      break;
    default:
      assertNever(outcome);
  }
  return writer.finish();
}

function openAnswer(bytes: Buffer): ByteReader {
  const reader = new ByteReader(bytes, 'an answer about a transaction', CorruptEntryError);
  reader.version(CODEC);
  return reader;
}

/** @throws CorruptEntryError */
export function decodeOutcome(bytes: Buffer): TxnOutcome {
  const reader = openAnswer(bytes);
  const outcome = readOutcome(reader, reader.oneOf(ANSWERS));
  reader.end();
  return outcome;
}

function readOutcome(reader: ByteReader, kind: (typeof ANSWERS)[number]): TxnOutcome {
  switch (kind) {
    case 'prepared':
    case 'tsTooLow':
      return { kind, minCommitTs: reader.timestamp() };
    case 'changed':
      return { kind, key: reader.optional()! };
    case 'notFound': {
      const key = reader.optional();
      return key === undefined ? { kind } : { kind, key };
    }
    case 'locked': {
      const identity = { txnId: reader.bytes(), primary: reader.bytes(), startTs: reader.timestamp() };
      const place = { key: reader.bytes(), kind: LOCK_KINDS[reader.u8()]!, end: reader.optional() };
      const times = { minCommitTs: reader.timestamp(), deadlineTs: reader.timestamp() };
      return { kind, lock: { ...identity, ...place, ...times } };
    }
    case 'committed':
      return { kind, commitTs: reader.timestamp() };
    case 'pending':
    case 'pushed':
      return { kind, deadlineTs: reader.timestamp() };
    case 'tooOld':
    case 'wrongAuthority':
    case 'rolledBack':
    case 'forgotten':
      return { kind };
    default:
      return assertNever(kind);
  }
}

const writeRow = (writer: ByteWriter, { value, expireTs, commitTs }: LiveValue): ByteWriter =>
  writer.bytes(value).u64(expireTs).u64(commitTs);

const readRow = (reader: ByteReader): LiveValue => ({
  value: reader.bytes(),
  expireTs: reader.timestamp(),
  commitTs: reader.timestamp(),
});

type Rows = readonly (LiveValue | undefined)[];

/** Encodes the values of keys. */
export function encodeRows(rows: Rows): Buffer {
  const writer = begin().u32(rows.length);
  for (const row of rows) {
    writer.u8(row === undefined ? 0 : 1);
    if (row !== undefined) writeRow(writer, row);
  }
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeRows(bytes: Buffer): Rows {
  const reader = openAnswer(bytes);
  const rows: (LiveValue | undefined)[] = [];
  for (let left = reader.u32(); left > 0; left--) rows.push(reader.flag() ? readRow(reader) : undefined);
  reader.end();
  return rows;
}

/** Encodes what a transaction was shown of keys. */
export function encodeRead({ rows, absences, seenTs }: TxnReadReply): Buffer {
  const writer = new ByteWriter(64).u8(absences === undefined ? READ_CODEC : READ_CODEC_WITH_ABSENCES);
  writer.u64(seenTs).bytes(encodeRows(rows));
  if (absences === undefined) return writer.finish();
  writer.u64(absences.collectedTs);
  for (const absence of absences.keys) {
    if (absence !== undefined) writer.u64(absence.deletedTs).u64(absence.writtenTs);
  }
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeRead(bytes: Buffer): TxnReadReply {
  const reader = new ByteReader(bytes, 'an answer to a read of a transaction', CorruptEntryError);
  const codec = reader.versionUpTo(READ_CODEC_WITH_ABSENCES);
  if (codec < READ_CODEC) throw reader.corrupt(`has codec ${codec}`);
  const reply = { seenTs: reader.timestamp(), rows: decodeRows(reader.bytes()) };
  const absences = codec === READ_CODEC ? undefined : readAbsences(reader, reply.rows);
  reader.end();
  return absences === undefined ? reply : { ...reply, absences };
}

const readAbsences = (reader: ByteReader, rows: Rows): Absences => ({
  collectedTs: reader.timestamp(),
  keys: rows.map((row) =>
    row === undefined ? { deletedTs: reader.timestamp(), writtenTs: reader.timestamp() } : undefined,
  ),
});

/** Encodes a page of a scan. */
export function encodePage({ rows, next, readTs }: ScanPage): Buffer {
  const writer = begin()
    .optional(next)
    .u64(readTs ?? OPEN)
    .u32(rows.length);
  for (const row of rows) writeRow(writer.bytes(row.key), row);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodePage(bytes: Buffer): ScanPage {
  const reader = openAnswer(bytes);
  const next = reader.optional();
  const readTs = reader.timestamp();
  const rows: ScanPage['rows'][number][] = [];
  for (let left = reader.u32(); left > 0; left--) rows.push({ key: reader.bytes(), ...readRow(reader) });
  reader.end();
  return readTs === OPEN ? { rows, next } : { rows, next, readTs };
}

/** Encodes how many locks have ended. */
export const encodeCount = (count: number): Buffer => begin().u32(count).finish();

/** @throws CorruptEntryError */
export const decodeCount = (bytes: Buffer): number => openAnswer(bytes).u32();
