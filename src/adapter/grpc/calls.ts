/** What the services have in common: the time of a call, how handlers are told from errors, streams that end in good order. */
import type grpc from '@grpc/grpc-js';
import { type ErrorDisposition, KvorumError, type Millis } from '../../platform/index.ts';
import { statusOf } from './errors.ts';

/** A caller that sets no deadline gets this. */
const DEFAULT_TIMEOUT_MS: Millis = 10_000;
/** The longest that one request may take, whatever its caller says. */
const MAX_TIMEOUT_MS: Millis = 120_000;
/** Part of the caller's time that is kept for the way back. */
const RETURN_MS: Millis = 100;

/** A refusal of the adapter itself. */
export class RequestError extends KvorumError {
  readonly code: string;
  readonly disposition: ErrorDisposition;

  constructor(code: string, disposition: ErrorDisposition, message: string) {
    super(message);
    this.code = code;
    this.disposition = disposition;
  }
}

/** The refusal of a request that cannot be what it says. */
export const invalid = (problem: string): Error => new RequestError('INVALID_ARGUMENT', 'final', problem);

/** Time that is left for a call. */
export function timeLeft(call: { getDeadline(): grpc.Deadline }): Millis {
  const deadline = call.getDeadline();
  const atMs = deadline instanceof Date ? deadline.getTime() : deadline;
  if (!Number.isFinite(atMs)) return DEFAULT_TIMEOUT_MS;
  return Math.min(MAX_TIMEOUT_MS, Math.max(1, atMs - Date.now() - RETURN_MS));
}

/** A handler of one request with one answer. */
export function unary<Request>(
  handler: (request: Request, timeoutMs: Millis) => Promise<object>,
): grpc.handleUnaryCall<Request, object> {
  return (call, answer) => {
    // A handler that throws at once is told like one that rejects.
    new Promise<object>((resolve) => resolve(handler(call.request, timeLeft(call)))).then(
      (reply) => answer(null, reply),
      (error: unknown) => answer(statusOf(error)),
    );
  };
}

export type StreamCall = grpc.ServerWritableStream<unknown, object>;

/** The streams of a service that are open. */
export class OpenStreams {
  private readonly open = new Set<AbortController>();

  get size(): number {
    return this.open.size;
  }

  /** Ends all of them. */
  close(): void {
    for (const stream of this.open) stream.abort();
  }

  /** Writes what comes, as fast as the caller reads it, until it is over or the caller is gone. */
  serve(call: StreamCall, open: (signal: AbortSignal) => Iterable<object> | AsyncIterable<object>): void {
    const abort = new AbortController();
    this.open.add(abort);
    const drained = (): Promise<void> =>
      new Promise((resolve) => {
        call.once('drain', resolve);
        abort.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    const pump = async (): Promise<void> => {
      for await (const message of open(abort.signal)) {
        if (abort.signal.aborted) return;
        if (!call.write(message)) await drained();
      }
    };
    call.on('cancelled', () => abort.abort());
    call.on('close', () => abort.abort());
    call.on('error', () => abort.abort());
    pump()
      .then(
        () => call.end(),
        (error: unknown) => call.emit('error', statusOf(error)),
      )
      .finally(() => {
        this.open.delete(abort);
        abort.abort();
      });
  }
}
