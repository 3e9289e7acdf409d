/** The service `kvorum.v1.RawKV` over the cluster's keys: takes requests apart and puts answers together. */
import type grpc from '@grpc/grpc-js';
import {
  type BatchOutcome,
  type Consistency,
  type ConsistentReads,
  type KvCluster,
  type KvResult,
  MAX_ANSWER_BYTES,
  newestIn,
  newestOf,
} from '../../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../../platform/index.ts';
import { TooLargeError } from '../../../raftengine/index.ts';
import { type OpenStreams, RequestError, type StreamCall, timeLeft, unary } from '../calls.ts';
import { consistencyOf, timeFields } from './consistency.ts';
import * as messages from './messages.ts';
import { storageKey } from './storage-keys.ts';

/** Scans of a node that are open at a time; each holds a page. */
const MAX_SCANS = 1_024;

const foundBy = (result: KvResult): object | null =>
  result.kind === 'get' ? messages.valueMessage(result.value) : null;

/** The handlers of the service by method. @param scans holds the scans that are open */
export function rawKvHandlers(
  cluster: KvCluster,
  scans: OpenStreams,
  reads: ConsistentReads | undefined,
): grpc.UntypedServiceImplementation {
  const levelOf = (message: messages.ConsistencyMessage | null | undefined): Consistency | undefined =>
    reads === undefined ? messages.checkConsistency(message) : consistencyOf(message);
  return {
    Get: unary<messages.KeyRequest>(async ({ key, consistency }, timeoutMs) => {
      const level = levelOf(consistency);
      const deadlineMs = cluster.deadline(timeoutMs);
      if (level !== undefined) {
        const { value, time } = await reads!.get(storageKey(key), level, deadlineMs);
        return { value: messages.valueMessage(value), ...timeFields(time) };
      }
      const beganMs = cluster.deadline(0);
      const { result, ts } = await cluster.one({ kind: 'get', key: storageKey(key) }, deadlineMs);
      return { value: foundBy(result), ...readTime(ts, newestOf(result, ts), beganMs) };
    }),

    BatchGet: unary<messages.KeysRequest>(async ({ keys, consistency }, timeoutMs) => {
      const level = levelOf(consistency);
      messages.checkBatch(keys.length);
      const deadlineMs = cluster.deadline(timeoutMs);
      if (level !== undefined) {
        const { values, time } = await reads!.batchGet(keys.map(storageKey), level, deadlineMs);
        return { values: values.map((value) => ({ value: messages.valueMessage(value) })), ...timeFields(time) };
      }
      const beganMs = cluster.deadline(0);
      const operations = keys.map((key) => ({ kind: 'get', key: storageKey(key) }) as const);
      const outcomes = await cluster.batch(operations, deadlineMs);
      const { oldest, newest } = timesOf(outcomes);
      const values = valuesOf(outcomes);
      return oldest === undefined ? { values } : { values, ...readTime(oldest, newest!, beganMs) };
    }),

    Put: unary<messages.PutRequest>(async (request, timeoutMs) => {
      const { ts } = await cluster.one(messages.putOf(request), cluster.deadline(timeoutMs));
      return { version: messages.fromTimestamp(ts), ...written(ts) };
    }),

    BatchPut: unary<messages.BatchPutRequest>(async ({ pairs }, timeoutMs) => {
      messages.checkBatch(pairs.length);
      messages.checkDistinct(pairs.map(({ key }) => key));
      const outcomes = await cluster.batch(pairs.map(messages.putOf), cluster.deadline(timeoutMs));
      return { failures: failuresOf(outcomes), ...written(timesOf(outcomes).newest) };
    }),

    Delete: unary<messages.KeyRequest>(async ({ key }, timeoutMs) => {
      const { result, ts } = await cluster.one({ kind: 'delete', key: storageKey(key) }, cluster.deadline(timeoutMs));
      const existed = result.kind === 'delete' && result.existed;
      return { existed, version: messages.fromTimestamp(ts), ...written(ts) };
    }),

    BatchDelete: unary<messages.KeysRequest>(async ({ keys }, timeoutMs) => {
      messages.checkBatch(keys.length);
      const operations = keys.map((key) => ({ kind: 'delete', key: storageKey(key) }) as const);
      const outcomes = await cluster.batch(operations, cluster.deadline(timeoutMs));
      return { failures: failuresOf(outcomes), ...written(timesOf(outcomes).newest) };
    }),

    DeleteRange: unary<messages.RangeRequest>(async (request, timeoutMs) => {
      const { parts, ts } = await cluster.deleteRange(messages.rangeOf(request), cluster.deadline(timeoutMs));
      return { parts, ...written(ts) };
    }),

    Scan: (call: StreamCall) => {
      const request = call.request as messages.ScanMessage;
      // A stream without a deadline goes on as long as somebody reads it.
      const isBounded = Number.isFinite(Number(call.getDeadline()));
      const deadlineMs = isBounded ? cluster.deadline(timeLeft(call)) : Number.POSITIVE_INFINITY;
      scans.serve(call, async function* (signal) {
        const level = levelOf(request.consistency);
        if (scans.size > MAX_SCANS) throw new RequestError('BUSY', 'wait', `${MAX_SCANS} scans are open on this node`);
        const range = messages.rangeOf(request);
        const options = messages.scanOptionsOf(request);
        const pages =
          level === undefined
            ? cluster.scan(range, options, deadlineMs, signal)
            : reads!.scan(range, options, level, deadlineMs, signal);
        for await (const page of pages) yield messages.pageMessage(page, reads?.tokenOf(newestIn(page)));
      });
    },

    CompareAndSet: unary<messages.CompareAndSetRequest>(async (request, timeoutMs) => {
      const condition = messages.expectationOf(request);
      const { key } = condition;
      const { newValue, ttlMs } = request;
      const write =
        newValue === undefined
          ? ({ kind: 'delete', key } as const)
          : ({ kind: 'put', key, value: newValue, ttlMs: messages.checkTtl(ttlMs) } as const);
      const step = { conditions: [condition], success: [write], failure: [{ kind: 'get', key } as const] };
      const { succeeded, results, ts } = await cluster.step(step, cluster.deadline(timeoutMs));
      return succeeded
        ? { isSet: true, version: messages.fromTimestamp(ts), ...written(ts) }
        : { isSet: false, current: foundBy(results[0]!), ...written(newestOf(results[0]!, ts)) };
    }),
  };

  /** For the next read of a session. */
  function written(ts: HlcTimestamp | undefined): object {
    return reads === undefined || ts === undefined ? {} : { sessionToken: Buffer.from(reads.tokenOf(ts), 'base64') };
  }

  /** A read at the leader is as old as its question. @param newestTs of anything that it saw */
  function readTime(servedTs: HlcTimestamp, newestTs: HlcTimestamp, beganMs: Millis): object {
    const stalenessMs = Math.ceil(cluster.deadline(0) - beganMs);
    return { servedTs: messages.fromTimestamp(servedTs), stalenessMs, ...written(newestTs) };
  }
}

/** The first and the last moment of what was done. */
function timesOf(outcomes: readonly BatchOutcome[]): {
  readonly oldest: HlcTimestamp | undefined;
  readonly newest: HlcTimestamp | undefined;
} {
  let oldest: HlcTimestamp | undefined;
  let newest: HlcTimestamp | undefined;
  for (const outcome of outcomes) {
    if (outcome.error !== undefined) continue;
    const { result, ts } = outcome;
    const seen = newestOf(result, ts);
    if (oldest === undefined || ts < oldest) oldest = ts;
    if (newest === undefined || seen > newest) newest = seen;
  }
  return { oldest, newest };
}

/** @throws the first failure; TooLargeError when the values do not fit into one answer */
function valuesOf(outcomes: readonly BatchOutcome[]): object[] {
  let bytes = 0;
  const values = outcomes.map((outcome) => {
    if (outcome.error !== undefined) throw outcome.error;
    const { result } = outcome;
    bytes += result.kind === 'get' ? (result.value?.value.length ?? 0) : 0;
    return { value: foundBy(result) };
  });
  if (bytes > MAX_ANSWER_BYTES) throw new TooLargeError(`the values have more than ${MAX_ANSWER_BYTES} bytes`);
  return values;
}

const failuresOf = (outcomes: readonly BatchOutcome[]): object[] =>
  outcomes.flatMap(({ error }, at) => (error === undefined ? [] : [messages.failureMessage(at, error)]));
