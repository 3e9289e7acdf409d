/** The service `kvorum.v1.RawKV` over the cluster's keys: takes requests apart and puts answers together. */
import type grpc from '@grpc/grpc-js';
import { TooLargeError } from '../../kv/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import { type OpenStreams, RequestError, type StreamCall, timeLeft, unary } from './calls.ts';
import type { BatchOutcome, KvCluster } from './kv-cluster.ts';
import { type ConsistentReads, consistencyOf } from './kv-consistency.ts';
import { storageKey } from './kv-keys.ts';
import * as messages from './kv-messages.ts';
import { type KvResult, MAX_ANSWER_BYTES } from './kv-operations.ts';

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
  return {
    Get: unary<messages.KeyRequest>(async ({ key, consistency }, timeoutMs) => {
      const level = reads === undefined ? messages.checkConsistency(consistency) : consistencyOf(consistency);
      if (level !== undefined) return reads!.get(storageKey(key), level, cluster.deadline(timeoutMs));
      const { result, ts } = await cluster.one({ kind: 'get', key: storageKey(key) }, cluster.deadline(timeoutMs));
      return { value: foundBy(result), servedTs: messages.fromTimestamp(ts) };
    }),

    BatchGet: unary<messages.KeysRequest>(async ({ keys, consistency }, timeoutMs) => {
      const level = reads === undefined ? messages.checkConsistency(consistency) : consistencyOf(consistency);
      messages.checkBatch(keys.length);
      if (level !== undefined) return reads!.batchGet(keys.map(storageKey), level, cluster.deadline(timeoutMs));
      const operations = keys.map((key) => ({ kind: 'get', key: storageKey(key) }) as const);
      return valuesOf(await cluster.batch(operations, cluster.deadline(timeoutMs)));
    }),

    Put: unary<messages.PutRequest>(async (request, timeoutMs) => {
      const { ts } = await cluster.one(messages.putOf(request), cluster.deadline(timeoutMs));
      return { version: messages.fromTimestamp(ts), ...reads?.written(ts) };
    }),

    BatchPut: unary<messages.BatchPutRequest>(async ({ pairs }, timeoutMs) => {
      messages.checkBatch(pairs.length);
      messages.checkDistinct(pairs.map(({ key }) => key));
      return failuresOf(await cluster.batch(pairs.map(messages.putOf), cluster.deadline(timeoutMs)));
    }),

    Delete: unary<messages.KeyRequest>(async ({ key }, timeoutMs) => {
      const { result, ts } = await cluster.one({ kind: 'delete', key: storageKey(key) }, cluster.deadline(timeoutMs));
      return { existed: result.kind === 'delete' && result.existed, version: messages.fromTimestamp(ts) };
    }),

    BatchDelete: unary<messages.KeysRequest>(async ({ keys }, timeoutMs) => {
      messages.checkBatch(keys.length);
      const operations = keys.map((key) => ({ kind: 'delete', key: storageKey(key) }) as const);
      return failuresOf(await cluster.batch(operations, cluster.deadline(timeoutMs)));
    }),

    DeleteRange: unary<messages.RangeRequest>(async (request, timeoutMs) => ({
      parts: await cluster.deleteRange(messages.rangeOf(request), cluster.deadline(timeoutMs)),
    })),

    Scan: (call: StreamCall) => {
      const request = call.request as messages.ScanMessage;
      // A stream without a deadline goes on as long as somebody reads it.
      const isBounded = Number.isFinite(Number(call.getDeadline()));
      const deadlineMs = isBounded ? cluster.deadline(timeLeft(call)) : Number.POSITIVE_INFINITY;
      scans.serve(call, async function* (signal) {
        messages.checkConsistency(request.consistency);
        if (scans.size > MAX_SCANS) throw new RequestError('BUSY', 'wait', `${MAX_SCANS} scans are open on this node`);
        const pages = cluster.scan(messages.rangeOf(request), messages.scanOptionsOf(request), deadlineMs, signal);
        for await (const page of pages) yield messages.pageMessage(page);
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
        ? { isSet: true, version: messages.fromTimestamp(ts) }
        : { isSet: false, current: foundBy(results[0]!) };
    }),
  };
}

/** @throws the first failure; TooLargeError when the values do not fit into one answer */
function valuesOf(outcomes: readonly BatchOutcome[]): object {
  let oldest: HlcTimestamp | undefined;
  let bytes = 0;
  const values = outcomes.map((outcome) => {
    if (outcome.error !== undefined) throw outcome.error;
    const { result, ts } = outcome;
    if (oldest === undefined || ts < oldest) oldest = ts;
    bytes += result.kind === 'get' ? (result.value?.value.length ?? 0) : 0;
    return { value: foundBy(result) };
  });
  if (bytes > MAX_ANSWER_BYTES) throw new TooLargeError(`the values have more than ${MAX_ANSWER_BYTES} bytes`);
  return { values, servedTs: oldest === undefined ? null : messages.fromTimestamp(oldest) };
}

const failuresOf = (outcomes: readonly BatchOutcome[]): object => ({
  failures: outcomes.flatMap(({ error }, at) => (error === undefined ? [] : [messages.failureMessage(at, error)])),
});
