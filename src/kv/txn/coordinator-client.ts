/**
 * `TxnClient` from any node: straight to the leader where this node has it, over the leader proxy otherwise; and the leader's
 * end of the service `txn`.
 */

import { assertNever, type Clock, type GroupId, type Millis } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import {
  type CommitReply,
  type KvService,
  type PrepareReply,
  type PushReply,
  type StatusReply,
  TXN_SERVICE,
  type TxnClient,
  type TxnGroup,
  type TxnStatus,
} from '../contract/index.ts';
import { forwarded } from '../forward/index.ts';
import {
  decodeCount,
  decodeOutcome,
  decodePage,
  decodeQuestion,
  decodeRead,
  encodeCount,
  encodeOutcome,
  encodePage,
  encodeQuestion,
  encodeRead,
  type TxnOutcome,
  type TxnQuestion,
} from './coordinator-wire.ts';

/** How long one question looks for a leader and waits for its answer. A lock is waited for 1 s. */
export const TXN_TIMEOUT_MS: Millis = 3_000;

/** The group's leader where this node has it. */
type LocalGroups = (group: GroupId) => TxnGroup | undefined;

export interface TxnClientOptions {
  readonly kv: Pick<KvService, 'forward' | 'servesLocally'>;
  /** The group's executor here; undefined when it has no replica here. */
  readonly local: LocalGroups;
  readonly clock: Clock;
  readonly timeoutMs?: Millis;
}

/** Builds the client. It asks each question once; who asks decides about again. */
export function createTxnClient({ kv, local, clock, timeoutMs = TXN_TIMEOUT_MS }: TxnClientOptions): TxnClient {
  const forward = async <T>(group: GroupId, question: TxnQuestion, decode: (bytes: Buffer) => T): Promise<T> => {
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    return decode(await forwarded(kv, group, TXN_SERVICE, encodeQuestion(group, question), deadlineMs));
  };
  /** Asks here while this node leads; when it has just stopped to, nothing has happened and the proxy finds the next one. */
  const ask = async <T>(
    group: GroupId,
    here: (txns: TxnGroup) => Promise<T>,
    question: TxnQuestion,
    decode: (bytes: Buffer) => T,
  ): Promise<T> => {
    const txns = kv.servesLocally(group) ? local(group) : undefined;
    if (txns === undefined) return forward(group, question, decode);
    try {
      return await here(txns);
    } catch (error) {
      if (!(error instanceof NotLeaderError)) throw error;
    }
    return forward(group, question, decode);
  };
  const outcome = <T extends TxnOutcome>(bytes: Buffer): T => decodeOutcome(bytes) as T;
  return {
    read: (group, request) => ask(group, (txns) => txns.read(request), { kind: 'read', request }, decodeRead),
    scan: (group, request, readTs) =>
      ask(group, (txns) => txns.scan(request, readTs), { kind: 'scan', request, readTs }, decodePage),
    prepare: (group, request) =>
      ask(group, (txns) => txns.prepare(request), { kind: 'prepare', request }, outcome<PrepareReply>),
    commitOnePhase: (group, request) =>
      ask(group, (txns) => txns.commitOnePhase(request), { kind: 'commitOnePhase', request }, outcome<PrepareReply>),
    lockRange: (group, request) =>
      ask(group, (txns) => txns.lockRange(request), { kind: 'lockRange', request }, outcome<PrepareReply>),
    commit: (group, request) =>
      ask(group, (txns) => txns.commit(request), { kind: 'commit', request }, outcome<CommitReply>),
    abort: (group, request) =>
      ask(group, (txns) => txns.abort(request), { kind: 'abort', request }, outcome<TxnStatus>),
    status: (group, txn) => ask(group, (txns) => txns.status(txn), { kind: 'status', txn }, outcome<StatusReply>),
    push: (group, txn, lockTtlMs) =>
      ask(group, (txns) => txns.push(txn, lockTtlMs), { kind: 'push', txn, lockTtlMs }, outcome<PushReply>),
    resolve: (group, verdicts) =>
      ask(group, (txns) => txns.resolve(verdicts), { kind: 'resolve', verdicts }, decodeCount),
  };
}

/** Starts to answer for this node's groups. @param local the group's executor here, undefined when it has no replica */
export function serveTxns(kv: Pick<KvService, 'onForward'>, local: LocalGroups): void {
  kv.onForward(TXN_SERVICE, (payload, answer) => {
    const { group, question } = decodeQuestion(payload);
    const txns = local(group);
    if (txns === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    run(txns, question).then(
      (reply) => answer(undefined, reply),
      (error: Error) => answer(error, undefined),
    );
  });
}

async function run(txns: TxnGroup, question: TxnQuestion): Promise<Buffer> {
  switch (question.kind) {
    case 'read':
      return encodeRead(await txns.read(question.request));
    case 'scan':
      return encodePage(await txns.scan(question.request, question.readTs));
    case 'prepare':
      return encodeOutcome(await txns.prepare(question.request));
    case 'commitOnePhase':
      return encodeOutcome(await txns.commitOnePhase(question.request));
    case 'lockRange':
      return encodeOutcome(await txns.lockRange(question.request));
    case 'commit':
      return encodeOutcome(await txns.commit(question.request));
    case 'abort':
      return encodeOutcome(await txns.abort(question.request));
    case 'status':
      return encodeOutcome(await txns.status(question.txn));
    case 'push':
      return encodeOutcome(await txns.push(question.txn, question.lockTtlMs));
    case 'resolve':
      return encodeCount(await txns.resolve(question.verdicts));
    default:
      return assertNever(question);
  }
}
