/** What nodes say to each other about backups: JSON, since it is small beside what it is about. */
import { type BackupGroup, isBackupId, type StoredChanges, type UploadProgress } from '../../backup/index.ts';
import { type ErrorDisposition, type GroupId, KvorumError, type NodeId } from '../../platform/index.ts';

/** What a node is asked. */
export type BackupQuestion =
  /** Whether it sees the place, and has its key. */
  | { readonly kind: 'check'; readonly place: string; readonly placeId: string }
  /** To close a group that it leads at a moment and store a copy. */
  | {
      readonly kind: 'upload';
      readonly place: string;
      readonly placeId: string;
      readonly group: number;
      /** A timestamp, decimal. */
      readonly at: string;
    }
  /** To close a group that it leads at a moment and store what was committed since another one. */
  | {
      readonly kind: 'changes';
      readonly place: string;
      readonly placeId: string;
      readonly group: number;
      readonly chain: string;
      readonly seq: number;
      readonly attempt: string;
      /** Timestamps, decimal. */
      readonly from: string;
      readonly to: string;
    };

/** What a group has stored of its changes; keys in hexadecimal, null for the end of the key space. */
export interface ToldChanges extends Omit<StoredChanges, 'spans'> {
  readonly spans: readonly (readonly [start: string, end: string | null])[];
}

/** What it answers; the last two end the stream. */
export type BackupAnswer =
  | ({ readonly kind: 'progress' } & UploadProgress)
  | { readonly kind: 'done'; readonly group?: BackupGroup; readonly changes?: ToldChanges }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly disposition: ErrorDisposition;
      readonly message: string;
    };

/** Somebody said something that cannot be read: a node of another version, or damage. */
export class BackupMessageError extends KvorumError {
  readonly code = 'BACKUP_MESSAGE';
  readonly disposition: ErrorDisposition = 'final';
}

/** What went wrong on another node, in its words. */
export class ElsewhereError extends KvorumError {
  readonly code: string;
  readonly disposition: ErrorDisposition;

  constructor(node: NodeId, { code, disposition, message }: Extract<BackupAnswer, { kind: 'failed' }>) {
    super(`node ${node}: ${message}`);
    this.code = code;
    this.disposition = disposition;
  }
}

export const encodeBackupMessage = (message: BackupQuestion | BackupAnswer): Buffer =>
  Buffer.from(JSON.stringify(message));

/** Changes as they are told. */
export const tellChanges = ({ part, spans, ceilingMs }: StoredChanges): ToldChanges => ({
  part,
  spans: spans.map(({ start, end }) => [start.toString('hex'), end?.toString('hex') ?? null]),
  ceilingMs,
});

/** What was told. */
export const toldChanges = ({ part, spans, ceilingMs }: ToldChanges, group: GroupId): StoredChanges => ({
  part: part && { ...part, group },
  spans: spans.map(([start, end]) => ({
    start: Buffer.from(start, 'hex'),
    end: end === null ? undefined : Buffer.from(end, 'hex'),
  })),
  ceilingMs,
});

const isTimestamp = (value: unknown): value is string => typeof value === 'string' && /^\d{1,20}$/.test(value);
const isAttempt = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{8}$/.test(value);
const isId = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;

function decode(bytes: Buffer): { readonly kind?: unknown } {
  try {
    const value = JSON.parse(bytes.toString()) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new BackupMessageError('a node said something about backups that cannot be read');
}

/** @throws BackupMessageError */
export function decodeBackupQuestion(bytes: Buffer): BackupQuestion {
  const question = decode(bytes) as Readonly<Record<string, unknown>>;
  const { kind, place, placeId, group, at, chain, seq, attempt, from, to } = question;
  if (typeof place === 'string' && typeof placeId === 'string') {
    if (kind === 'check') return { kind, place, placeId };
    if (kind === 'upload' && isId(group) && isTimestamp(at)) return { kind, place, placeId, group, at };
    const isStep = typeof chain === 'string' && isBackupId(chain) && isId(seq) && isAttempt(attempt);
    if (kind === 'changes' && isId(group) && isStep && isTimestamp(from) && isTimestamp(to)) {
      return { kind, place, placeId, group, chain, seq, attempt, from, to };
    }
  }
  throw new BackupMessageError('a node of another version asked something about backups that is not known here');
}

/** @throws BackupMessageError */
export function decodeBackupAnswer(bytes: Buffer): BackupAnswer {
  const answer = decode(bytes);
  if (answer.kind === 'progress' || answer.kind === 'done' || answer.kind === 'failed') return answer as BackupAnswer;
  throw new BackupMessageError('a node of another version answered something about backups that is not known here');
}
