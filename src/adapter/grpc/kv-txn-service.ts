/** The service `kvorum.v1.TransactionalKV`: one-step transactions, and those of several calls that a node holds for its callers. */
import type grpc from '@grpc/grpc-js';
import { CrossGroupError, type KvTransaction, LeaderUnavailableError, type Transactions } from '../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import { invalid, type OpenStreams, RequestError, type StreamCall, timeLeft, unary } from './calls.ts';
import type { KvCluster, ServedPage } from './kv-cluster.ts';
import { storageKey } from './kv-keys.ts';
import * as messages from './kv-messages.ts';
import { evaluateStep, expiryOf, type KvAnswer, type KvStep, keysOf, storedValue } from './kv-operations.ts';
import type { TransactionSessions } from './kv-sessions.ts';

const PAGE_ROWS = 512;

interface HandleRequest {
  readonly transaction: Buffer;
}
interface BeginRequest {
  readonly snapshot: boolean;
  readonly ageTs?: messages.TimestampMessage | null;
}

export interface TransactionalKvParts {
  readonly cluster: KvCluster;
  /** Undefined on a node that cannot have transactions of several groups. */
  readonly transactions: Transactions | undefined;
  readonly sessions: TransactionSessions;
  readonly scans: OpenStreams;
}

/** The handlers of the service by method. */
export function transactionalKvHandlers(parts: TransactionalKvParts): grpc.UntypedServiceImplementation {
  const { cluster, sessions, scans } = parts;
  return {
    Txn: unary<messages.TxnRequest>(async (request, timeoutMs) => {
      const { succeeded, results, ts } = await doStep(parts, stepOf(request), cluster.deadline(timeoutMs));
      return {
        succeeded,
        results: results.map(messages.resultMessage),
        servedTs: ts === undefined ? null : messages.fromTimestamp(ts),
      };
    }),

    Begin: unary<BeginRequest>(async ({ snapshot, ageTs }, timeoutMs) => {
      sessions.assertRoom();
      const transaction = await needed(parts.transactions).begin({
        isolation: snapshot ? 'snapshot' : 'serializable',
        deadlineMs: cluster.deadline(timeoutMs),
        ...(ageTs === undefined || ageTs === null ? {} : { ageTs: messages.toTimestamp(ageTs) }),
      });
      return {
        transaction: sessions.add(transaction),
        startTs: messages.fromTimestamp(transaction.startTs),
        idleTimeoutMs: sessions.limits.idleTimeoutMs,
      };
    }),

    Get: unary<HandleRequest & messages.KeyRequest>(async ({ transaction, key }) => {
      const found = await sessions.use(transaction, (held) => held.get(storageKey(key)));
      return { value: messages.valueMessage(found === undefined ? undefined : storedValue(found)) };
    }),

    Scan: (call: StreamCall) => {
      const request = call.request as HandleRequest & messages.ScanMessage;
      const untilMs = cluster.deadline(timeLeft(call));
      scans.serve(call, async function* (signal) {
        for await (const page of pagesOf(sessions, request)) {
          if (signal.aborted) return;
          // Less than everything must not look like everything.
          if (cluster.deadline(0) > untilMs) throw new LeaderUnavailableError('the scan did not end in time');
          yield messages.pageMessage(page);
        }
      });
    },

    Put: unary<HandleRequest & messages.PutRequest>(async ({ transaction, ...request }) => {
      const { key, value, ttlMs } = messages.putOf(request);
      await sessions.use(transaction, async (held) => held.put(key, value, expiryOf(held.startTs, ttlMs)));
      return {};
    }),

    Delete: unary<HandleRequest & messages.KeyRequest>(async ({ transaction, key }) => {
      await sessions.use(transaction, async (held) => held.delete(storageKey(key)));
      return {};
    }),

    Commit: unary<HandleRequest>(async ({ transaction }, timeoutMs) => ({
      commitTs: messages.fromTimestamp(await sessions.commit(transaction, cluster.deadline(timeoutMs))),
    })),

    Rollback: unary<HandleRequest>(async ({ transaction }) => {
      await sessions.rollback(transaction);
      return {};
    }),
  };
}

function needed(transactions: Transactions | undefined): Transactions {
  if (transactions !== undefined) return transactions;
  const message = 'this node has no transactions over several groups; use keys of one group in one step';
  throw new RequestError('FEATURE_UNSUPPORTED', 'final', message);
}

/** @throws RequestError INVALID_ARGUMENT */
function stepOf(request: messages.TxnRequest): KvStep {
  const step = {
    conditions: request.conditions.map(messages.conditionOf),
    success: request.success.map(messages.operationOf),
    failure: request.failure.map(messages.operationOf),
  };
  const parts = keysOf(step).length;
  if (parts === 0) throw invalid('a transaction has conditions or operations');
  if (parts > messages.MAX_STEP_PARTS) {
    throw invalid(`a transaction in one step has at most ${messages.MAX_STEP_PARTS} conditions and operations`);
  }
  return step;
}

/** In one group a step is one command; over several it is a transaction. */
async function doStep(
  { cluster, transactions }: TransactionalKvParts,
  step: KvStep,
  deadlineMs: Millis,
): Promise<Omit<KvAnswer, 'ts'> & { readonly ts: HlcTimestamp | undefined }> {
  try {
    return await cluster.step(step, deadlineMs);
  } catch (error) {
    // Also when the keys were in one group a moment ago: nothing has happened.
    if (!(error instanceof CrossGroupError) || transactions === undefined) throw error;
  }
  const { reply, commitTs } = await needed(transactions).run({ keys: keysOf(step), deadlineMs }, (view) =>
    evaluateStep(view, step),
  );
  return { ...reply!, ts: commitTs };
}

/** A range as a transaction sees it, page by page; between two pages other calls of the transaction may run. */
async function* pagesOf(
  sessions: TransactionSessions,
  request: HandleRequest & messages.ScanMessage,
): AsyncGenerator<ServedPage> {
  const { limit: wanted, reverse, keysOnly } = messages.scanOptionsOf(request);
  let { start, end } = messages.rangeOf(request);
  let left = wanted ?? Number.POSITIVE_INFINITY;
  while (left > 0 && Buffer.compare(start, end) < 0) {
    const limit = Math.min(PAGE_ROWS, left);
    const asked = { start, end, limit, keysOnly, reverse };
    const page = await sessions.use(request.transaction, (held: KvTransaction) => held.scan(asked));
    // Own writes come on top of what a page holds.
    const rows = page.rows.length > left ? page.rows.slice(0, left) : page.rows;
    left -= rows.length;
    const ts = page.readTs ?? NO_TIME;
    if (reverse) {
      const from = page.next ?? start;
      yield { rows, start: from, end, ts };
      end = from;
    } else {
      const to = page.next ?? end;
      yield { rows, start, end: to, ts };
      start = to;
    }
  }
}

const NO_TIME = 0n as HlcTimestamp;
