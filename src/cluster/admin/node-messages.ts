/**
 * What nodes ask each other on behalf of operators, as MessagePack: rare, small, and open for more to be said. The answer says
 * whether it is one, so that a refusal is told at once instead of being tried again like a leader that was not found.
 */
import { Packr } from 'msgpackr';
import { RemoteError, type TxnStatus } from '../../kv/index.ts';
import { type ErrorDisposition, type GroupId, KvorumError, type Millis, type NodeId } from '../../platform/index.ts';
import type { GroupMembers, MembershipResult, NodeActivity, ReplicaStatus, TransferResult } from '../contract/index.ts';
import type { ToldLock } from './txn-operator.ts';

/** What the leader of a group is asked. */
export type LeaderRequest =
  | { readonly op: 'members'; readonly group: GroupId }
  | {
      readonly op: 'addLearner';
      readonly group: GroupId;
      readonly node: NodeId;
      readonly address: string;
      readonly timeoutMs: Millis;
    }
  | { readonly op: 'promote'; readonly group: GroupId; readonly node: NodeId }
  | { readonly op: 'remove'; readonly group: GroupId; readonly node: NodeId }
  | { readonly op: 'transfer'; readonly group: GroupId; readonly to: NodeId | null }
  /** Locks of transactions, at most so many. */
  | { readonly op: 'locks'; readonly group: GroupId; readonly limit: number }
  /** About how many bytes a range takes there. */
  | { readonly op: 'rangeBytes'; readonly group: GroupId; readonly start: Buffer; readonly end: Buffer | null }
  /** What the record of a transaction says; deciding nothing. */
  | { readonly op: 'fate'; readonly group: GroupId; readonly txnId: Buffer; readonly primary: Buffer };

/** What a given node is asked about itself. */
export type NodeRequest =
  | { readonly op: 'report' }
  /** What it logs; sets it first when a level is named. */
  | { readonly op: 'logLevel'; readonly level: string | null }
  /** Opens its replica of a group that it was taken into. */
  | { readonly op: 'openReplica'; readonly group: GroupId }
  /** Measures its disk, its event loop and what else may be slow. */
  | { readonly op: 'examine' }
  | { readonly op: 'logEnd'; readonly group: GroupId }
  | ({ readonly op: 'recover' } & RecoverOrder)
  /** Begins a new life of the catalog that it leads. */
  | { readonly op: 'reviveCatalog' };

/** Where a replica's log ends. */
export interface LogEnd {
  readonly lastTerm: number;
  readonly lastIndex: number;
  readonly appliedIndex: number;
}

/** Tells a node that its replica goes on alone. */
export interface RecoverOrder {
  readonly group: GroupId;
  readonly learners: readonly NodeId[];
  readonly lost: readonly NodeId[];
  /** Where its log ended when this was decided. */
  readonly expected: { readonly lastTerm: number; readonly lastIndex: number };
  readonly floorMs: Millis;
  /** Wall-clock time of the decision. */
  readonly atMs: Millis;
}

/** A node's answer about itself, and for each group that it leads how far the others are. */
export interface NodeReport {
  readonly address: string;
  readonly version: string;
  /** Of its data folder, hexadecimal; absent from older programs. */
  readonly incarnation?: string;
  readonly routesVersion: number;
  /** The time that it goes by. */
  readonly nowMs: Millis;
  /** Its wall clock less that, as compared with its peers'; absent from older programs. */
  readonly clock?: { readonly offsetMs: Millis; readonly errorMs: Millis; readonly isOff: boolean };
  readonly replicas: readonly ReplicaStatus[];
  /** Absent from older programs. */
  readonly activity?: NodeActivity;
  readonly leads: readonly {
    readonly groupId: GroupId;
    readonly term: number;
    readonly lags: readonly (readonly [NodeId, number])[];
  }[];
}

/** What came of a leader's request, by the name of the operation. */
export interface LeaderReplies {
  readonly members: GroupMembers;
  readonly addLearner: MembershipResult;
  readonly promote: MembershipResult;
  readonly remove: MembershipResult;
  readonly transfer: TransferResult;
  readonly locks: readonly ToldLock[];
  /** Null when nobody can say. */
  readonly rangeBytes: number | null;
  /** Null without a record. */
  readonly fate: TxnStatus | null;
}

// Records are an extension of the library's own; without them the bytes are plain MessagePack.
const codec = new Packr({ useRecords: false, variableMapSize: true, copyBuffers: true });

const DISPOSITIONS: readonly string[] = [
  'redirect',
  'wait',
  'restart',
  'unknown',
  'final',
] satisfies ErrorDisposition[];

/** A request as bytes. */
export function encodeRequest(request: LeaderRequest | NodeRequest): Buffer {
  // Copied out of the library's pool.
  return Buffer.from(codec.pack(request));
}

/** @throws RemoteError MALFORMED for bytes that are no request */
export function decodeRequest(bytes: Buffer): LeaderRequest | NodeRequest {
  const request = unpack(bytes) as { readonly op?: unknown } | null;
  if (typeof request === 'object' && typeof request?.op === 'string') return request as LeaderRequest | NodeRequest;
  throw malformed();
}

/** An outcome as bytes: of an error its code, how to react and its message. */
export function encodeOutcome(outcome: { readonly value: unknown } | { readonly error: unknown }): Buffer {
  if ('value' in outcome) return Buffer.from(codec.pack({ ok: outcome.value }));
  const { error } = outcome;
  const message = error instanceof Error ? error.message : String(error);
  // Of an error that nobody foresaw it is not known what happened before it.
  const { code, disposition } = error instanceof KvorumError ? error : { code: 'INTERNAL', disposition: 'unknown' };
  return Buffer.from(codec.pack({ code, disposition, message }));
}

/** What the other side answered. @throws RemoteError with the code, the disposition and the message of the other side */
export function decodeOutcome(bytes: Buffer): unknown {
  const outcome = unpack(bytes) as Record<string, unknown> | null;
  if (typeof outcome !== 'object' || outcome === null) throw malformed();
  if ('ok' in outcome) return outcome.ok;
  const { code, disposition, message } = outcome;
  if (typeof code !== 'string' || typeof message !== 'string' || !DISPOSITIONS.includes(String(disposition))) {
    throw malformed();
  }
  throw new RemoteError(code, disposition as ErrorDisposition, message);
}

const malformed = (): RemoteError =>
  new RemoteError('MALFORMED', 'unknown', 'a node of another version said something that cannot be read; upgrade it');

function unpack(bytes: Buffer): unknown {
  try {
    return codec.unpack(bytes);
  } catch {
    throw malformed();
  }
}
