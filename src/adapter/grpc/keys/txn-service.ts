/** The service `kvorum.v1.TransactionalKV`: one-step transactions, and those of several calls that a node holds for its callers. */
import type grpc from '@grpc/grpc-js';
import {
  type ConsistentReads,
  expiryOf,
  type KvCluster,
  type KvResult,
  type KvStep,
  type KvTransaction,
  keysOf,
  LeaderUnavailableError,
  newestOf,
  type ServedPage,
  SnapshotTransaction,
  stepAnywhere,
  storedValue,
  type Transactions,
  timeOf,
} from '../../../kv/index.ts';
import { type HlcTimestamp, type Millis, NEVER } from '../../../platform/index.ts';
import { invalid, type OpenStreams, RequestError, type StreamCall, timeLeft, unary } from '../calls.ts';
import { consistencyOf, timeFields } from './consistency.ts';
import * as messages from './messages.ts';
import type { TransactionSessions } from './sessions.ts';
import { storageKey } from './storage-keys.ts';

const PAGE_ROWS = 512;

interface HandleRequest {
  readonly transaction: Buffer;
}
interface BeginRequest {
  readonly snapshot: boolean;
  readonly ageTs?: messages.TimestampMessage | null;
  readonly readOnly?: messages.ConsistencyMessage | null;
}

export interface TransactionalKvParts {
  readonly cluster: KvCluster;
  /** Undefined on a node that cannot have transactions of several groups. */
  readonly transactions: Transactions | undefined;
  readonly sessions: TransactionSessions;
  readonly scans: OpenStreams;
  /** Undefined on a node without reads from replicas. */
  readonly reads: ConsistentReads | undefined;
}

/** The handlers of the service by method. */
export function transactionalKvHandlers(parts: TransactionalKvParts): grpc.UntypedServiceImplementation {
  const { cluster, sessions, scans } = parts;
  return {
    Txn: unary<messages.TxnRequest>(async (request, timeoutMs) => {
      const { succeeded, results, ts, seenTs } = await stepAnywhere(
        cluster,
        parts.transactions,
        stepOf(request),
        cluster.deadline(timeoutMs),
      );
      return {
        succeeded,
        results: results.map(messages.resultMessage),
        servedTs: ts === undefined ? null : messages.fromTimestamp(ts),
        ...tokenFor(newestOfAll(results, seenTs)),
      };
    }),

    Begin: unary<BeginRequest>(async ({ snapshot, ageTs, readOnly }, timeoutMs) => {
      sessions.assertRoom();
      if (readOnly !== undefined && readOnly !== null) {
        const isAgain = ageTs !== undefined && ageTs !== null;
        return beginToRead(parts, readOnly, isAgain, cluster.deadline(timeoutMs));
      }
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
      return sessions.use(transaction, async (held) => {
        const found = await held.get(storageKey(key));
        const value = messages.valueMessage(found === undefined ? undefined : storedValue(found));
        if (held instanceof SnapshotTransaction) return { value, ...timeFields(timeOf(held.snapshot)) };
        return { value, ...tokenFor(held.seenTs) };
      });
    }),

    Scan: (call: StreamCall) => {
      const request = call.request as HandleRequest & messages.ScanMessage;
      const untilMs = cluster.deadline(timeLeft(call));
      scans.serve(call, async function* (signal) {
        for await (const page of pagesOf(sessions, request)) {
          const token = page.seenTs === NEVER ? undefined : parts.reads?.tokenOf(page.seenTs);
          if (signal.aborted) return;
          // Less than everything must not look like everything.
          if (cluster.deadline(0) > untilMs) throw new LeaderUnavailableError('the scan did not end in time');
          yield messages.pageMessage(page, token);
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

    Commit: unary<HandleRequest>(async ({ transaction }, timeoutMs) => {
      const ts = await sessions.commit(transaction, cluster.deadline(timeoutMs));
      return { commitTs: messages.fromTimestamp(ts), ...tokenFor(ts) };
    }),

    Rollback: unary<HandleRequest>(async ({ transaction }) => {
      await sessions.rollback(transaction);
      return {};
    }),
  };

  function tokenFor(ts: HlcTimestamp | undefined): object {
    const { reads } = parts;
    return reads === undefined || ts === undefined || ts === NEVER
      ? {}
      : { sessionToken: Buffer.from(reads.tokenOf(ts), 'base64') };
  }
}

/** Begins a transaction that only reads, as of one timestamp. */
async function beginToRead(
  { reads, sessions }: TransactionalKvParts,
  readOnly: messages.ConsistencyMessage,
  isAgain: boolean,
  deadlineMs: Millis,
): Promise<object> {
  const level = reads === undefined ? messages.checkConsistency(readOnly) : consistencyOf(readOnly);
  if (reads === undefined) {
    throw new RequestError('FEATURE_UNSUPPORTED', 'final', 'this node has no transactions that only read');
  }
  const held = await reads.begin(level ?? { kind: 'linearizable' }, isAgain, deadlineMs);
  const { servedTs, ...time } = timeFields(timeOf(held.snapshot)) as { readonly servedTs: object };
  return {
    transaction: sessions.add(held),
    startTs: servedTs,
    idleTimeoutMs: sessions.limits.idleTimeoutMs,
    ...time,
  };
}

/** What a session that has seen these results must not fall behind. */
function newestOfAll(results: readonly KvResult[], ts: HlcTimestamp): HlcTimestamp {
  return results.reduce((newest, result) => newestOf(result, newest), ts);
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

/** A range as a transaction sees it, page by page; between two pages other calls of the transaction may run. */
async function* pagesOf(
  sessions: TransactionSessions,
  request: HandleRequest & messages.ScanMessage,
): AsyncGenerator<ServedPage & { readonly seenTs: HlcTimestamp }> {
  const { limit: wanted, reverse, keysOnly } = messages.scanOptionsOf(request);
  let { start, end } = messages.rangeOf(request);
  let left = wanted ?? Number.POSITIVE_INFINITY;
  while (left > 0 && Buffer.compare(start, end) < 0) {
    const limit = Math.min(PAGE_ROWS, left);
    const asked = { start, end, limit, keysOnly, reverse };
    let stalenessMs: Millis | undefined;
    let seenTs = NEVER;
    const page = await sessions.use(request.transaction, async (held: KvTransaction) => {
      const found = await held.scan(asked);
      if (held instanceof SnapshotTransaction) stalenessMs = held.snapshot.stalenessMs;
      seenTs = held.seenTs;
      return found;
    });
    // Own writes come on top of what a page holds.
    const rows = page.rows.length > left ? page.rows.slice(0, left) : page.rows;
    left -= rows.length;
    const time = { ts: page.readTs ?? NEVER, stalenessMs, seenTs };
    if (reverse) {
      const from = page.next ?? start;
      yield { rows, start: from, end, ...time };
      end = from;
    } else {
      const to = page.next ?? end;
      yield { rows, start, end: to, ...time };
      start = to;
    }
  }
}
