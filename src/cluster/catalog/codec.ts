/**
 * What nodes and the catalog's leader say to each other: one version byte, then MessagePack. Requests are small and rare
 * beside data, so the rows travel as the values that they are: buffers, 64-bit numbers and absent fields survive.
 */
import { Packr } from 'msgpackr';
import {
  CatalogError,
  type CatalogErrorCode,
  type ClusterState,
  type ItemRefusal,
  type JobRow,
  type NodeRow,
} from '../../distribution/index.ts';
import type { BalanceStatus, CatalogRequest, LoadReport } from '../contract/index.ts';
import { CatalogMessageError, LostResultError } from './errors.ts';

/** What a node says of itself every second; the leader adds when it heard it. */
export type NodeReport = Omit<NodeRow, 'revision' | 'heartbeatMs'>;

/** Which cluster state a node has: revisions of one incarnation rise. */
export interface ClusterStateVersion {
  /** 0 for none. */
  readonly incarnation: number;
  readonly revision: number;
}

/** A cluster state and the catalog's life that it is of. */
export interface VersionedClusterState {
  readonly incarnation: number;
  /** Answers are packed with the names of their fields, so this one stays. */
  readonly document: ClusterState;
}

/** A question to the catalog's leader. */
export type CatalogQuestion =
  /** `isRepeat`: an earlier one had an unknown outcome. */
  | { readonly kind: 'run'; readonly request: CatalogRequest; readonly isRepeat: boolean }
  | { readonly kind: 'jobs' }
  | { readonly kind: 'document' }
  | { readonly kind: 'heartbeat'; readonly node: NodeReport; readonly has: ClusterStateVersion }
  /** Only once the feature `ranges.balance` is active. */
  | { readonly kind: 'load'; readonly report: LoadReport }
  /** How the rules of balancing stand. */
  | { readonly kind: 'balance' };

/** What the answer to a question holds. */
export type CatalogAnswer<Question extends CatalogQuestion['kind']> = Question extends 'run'
  ? unknown
  : Question extends 'jobs'
    ? readonly JobRow[]
    : Question extends 'document'
      ? ClusterState
      : Question extends 'load'
        ? undefined
        : Question extends 'balance'
          ? BalanceStatus
          : // The cluster state, when the node has another one.
            VersionedClusterState | undefined;

const CODEC = 1;
const QUESTIONS: readonly string[] = [
  'run',
  'jobs',
  'document',
  'heartbeat',
  'load',
  'balance',
] satisfies CatalogQuestion['kind'][];
/** What may come from outside; a bootstrap and a restore may not. */
const REQUESTS: readonly string[] = [
  'split',
  'batchSplit',
  'merge',
  'createMove',
  'createMerge',
  'transitionJob',
  'setGroup',
  'putNode',
  'removeNode',
  'createGroup',
  'removeGroup',
  'setSetting',
  'activateFeature',
  'withdrawNode',
  'leaseWork',
  'releaseWork',
] satisfies CatalogRequest['kind'][];

// Buffers are copied: rows are kept for long, the frame that they came in is not theirs.
const packr = new Packr({ useRecords: false, variableMapSize: true, copyBuffers: true });

function pack(value: unknown): Buffer {
  return Buffer.concat([Buffer.of(CODEC), packr.pack(value)]);
}

/** @throws CatalogMessageError */
function unpack(bytes: Buffer): object {
  if (bytes[0] !== CODEC) throw new CatalogMessageError(`a catalog message has codec ${bytes[0]}, not ${CODEC}`);
  let value: unknown;
  try {
    value = packr.unpack(bytes.subarray(1));
  } catch (error) {
    throw new CatalogMessageError('a catalog message cannot be read', { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw new CatalogMessageError('a catalog message says nothing');
  return value;
}

export const encodeQuestion = (question: CatalogQuestion): Buffer => pack(question);

/** @throws CatalogMessageError */
export function decodeQuestion(bytes: Buffer): CatalogQuestion {
  const question = unpack(bytes) as { readonly kind?: string; readonly request?: { readonly kind?: string } | null };
  const { kind = '', request } = question;
  if (!QUESTIONS.includes(kind)) throw new CatalogMessageError(`this program knows no catalog question '${kind}'`);
  const asked = request?.kind ?? '';
  if (kind === 'run' && !REQUESTS.includes(asked)) {
    throw new CatalogMessageError(`this program knows no catalog request '${asked}'`);
  }
  return question as CatalogQuestion;
}

export const encodeAnswer = (answer: unknown): Buffer => pack({ ok: true, answer });

/**
 * A refusal as an answer of its own, so that the proxy neither repeats it nor loses its reason; undefined for errors
 * that are the proxy's to carry.
 */
export function encodeRefusal(error: Error): Buffer | undefined {
  if (error instanceof LostResultError) return pack({ ok: false, isLost: true, message: error.message });
  if (!(error instanceof CatalogError)) return undefined;
  const { code, message, items } = error;
  return pack({ ok: false, isLost: false, code, message, items });
}

/**
 * What a question was answered.
 * @throws CatalogError, LostResultError as the leader threw them; CatalogMessageError
 */
export function decodeAnswer(bytes: Buffer): unknown {
  const reply = unpack(bytes) as {
    readonly ok?: boolean;
    readonly answer?: unknown;
    readonly isLost?: boolean;
    readonly code?: CatalogErrorCode;
    readonly message?: string;
    readonly items?: readonly ItemRefusal[];
  };
  if (reply.ok === true) return reply.answer;
  if (reply.isLost === true) throw new LostResultError('operation');
  if (reply.code === undefined) throw new CatalogMessageError('a catalog answer is neither a result nor a refusal');
  throw new CatalogError(reply.code, reply.message ?? '', reply.items ?? []);
}
