/**
 * Calls with their attempts. Again is asked only what certainly did nothing: the cluster says so with each of its errors, and
 * reads never do anything. A write that was sent and not answered is `unknown`, and only the caller can know what to do.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type grpc from '@grpc/grpc-js';
import { loadPackage } from '../proto.ts';
import type { Endpoint, Endpoints } from './endpoints.ts';
import { type KvorumClientError, retryMsOf, toClientError } from './errors.ts';
import type { CallOptions } from './types.ts';

/** A read that one node does not answer within this is asked of another. */
const READ_ATTEMPT_MS = 3_000;
const MAX_BACKOFF_MS = 250;
/** A scan that brings nothing for so long has failed. */
const SCAN_PATIENCE_MS = 10_000;

export type ServiceName = 'RawKV' | 'TransactionalKV';

/** One call. */
export interface Call {
  readonly service: ServiceName;
  readonly method: string;
  readonly request: object;
  /** It changes nothing: it may be asked any number of times. */
  readonly isRead: boolean;
  /** All attempts go to this node, and none follows one that it has answered. */
  readonly pinned?: Endpoint;
}

const methodOf = (service: ServiceName, method: string): grpc.MethodDefinition<object, object> =>
  (loadPackage()[`kvorum.v1.${service}`] as grpc.ServiceDefinition)[method]!;

/** Waits between two attempts, with jitter. */
export async function pause(attempt: number, askedForMs = 0): Promise<void> {
  const longest = Math.min(MAX_BACKOFF_MS, 10 * 2 ** Math.min(attempt, 8));
  await delay(askedForMs + Math.random() * longest);
}

export class Calls {
  readonly endpoints: Endpoints;
  private readonly timeoutMs: number;

  constructor(endpoints: Endpoints, timeoutMs: number) {
    this.endpoints = endpoints;
    this.timeoutMs = timeoutMs;
  }

  /** When a call ends at the latest, unix milliseconds. */
  deadlineOf({ timeoutMs }: CallOptions): number {
    return Date.now() + (timeoutMs ?? this.timeoutMs);
  }

  /** @throws KvorumClientError */
  async unary<Reply>(call: Call, options: CallOptions, deadlineMs = this.deadlineOf(options)): Promise<Reply> {
    for (let attempt = 0; ; attempt++) {
      const endpoint = call.pinned ?? (await this.endpoints.connected(deadlineMs, options.signal));
      const mayMove = call.isRead && call.pinned === undefined;
      const untilMs = mayMove ? Math.min(deadlineMs, Date.now() + READ_ATTEMPT_MS) : deadlineMs;
      try {
        return (await this.once(endpoint, call, untilMs, options.signal)) as Reply;
      } catch (failure) {
        const serviceError = failure as grpc.ServiceError;
        const error = toClientError(serviceError, call.isRead);
        // Another node may reach what this one cannot.
        if (call.pinned === undefined && error.disposition !== 'final') this.endpoints.leave(endpoint);
        const isOver = Date.now() >= deadlineMs || options.signal?.aborted === true;
        if (isOver || call.pinned !== undefined || !nothingHappened(error)) throw error;
        await pause(attempt, retryMsOf(serviceError));
      }
    }
  }

  private once(
    endpoint: Endpoint,
    { service, method, request }: Call,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<object> {
    const { path, requestSerialize, responseDeserialize } = methodOf(service, method);
    return new Promise((resolve, reject) => {
      const call = endpoint.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: deadlineMs },
        (error, reply) => {
          signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(reply!);
          else reject(error);
        },
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
    });
  }

  /**
   * Messages of a stream that only reads. When it breaks it is opened again, at another node unless it is pinned.
   * @param request is asked for at each opening, so that the stream goes on where it was
   * @throws KvorumClientError
   */
  async *stream<Message>(
    call: Omit<Call, 'request' | 'isRead'>,
    request: () => object,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Message> {
    let lastMs = Date.now();
    for (let attempt = 0; ; attempt++) {
      const endpoint = call.pinned ?? (await this.endpoints.connected(lastMs + SCAN_PATIENCE_MS, signal));
      const { path, requestSerialize, responseDeserialize } = methodOf(call.service, call.method);
      const stream = endpoint.client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request(),
        {},
      );
      const cancel = (): void => stream.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
      try {
        for await (const message of stream) {
          attempt = 0;
          yield message as Message;
          lastMs = Date.now();
        }
        return;
      } catch (failure) {
        if (!isServiceError(failure)) throw failure;
        const error = toClientError(failure, true);
        if (call.pinned === undefined) this.endpoints.leave(endpoint);
        const isOver = Date.now() - lastMs >= SCAN_PATIENCE_MS || signal?.aborted === true;
        if (isOver || call.pinned !== undefined || error.disposition === 'final') throw error;
        await pause(attempt, retryMsOf(failure));
      } finally {
        signal?.removeEventListener('abort', cancel);
        // Whoever leaves the loop wants no more of it.
        stream.on('error', () => undefined);
        stream.cancel();
      }
    }
  }
}

const isServiceError = (error: unknown): error is grpc.ServiceError =>
  error instanceof Error && typeof (error as { code?: unknown }).code === 'number' && 'details' in error;

const nothingHappened = ({ disposition }: KvorumClientError): boolean =>
  disposition === 'redirect' || disposition === 'wait' || disposition === 'restart';
