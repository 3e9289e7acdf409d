/** How calls of the client fail. Codes are the cluster's own and stable; docs/design/adapters/grpc-api.md has them. */
import grpc from '@grpc/grpc-js';

/**
 * What an error says about what happened, and so what may be done:
 * - `redirect`, `wait`, `restart`: nothing happened; the client has asked again until the time was over.
 * - `unknown`: it may have happened, or may still happen.
 * - `final`: nothing happened, and asking again cannot help.
 */
export type Disposition = 'redirect' | 'wait' | 'restart' | 'unknown' | 'final';

const DISPOSITIONS: readonly string[] = ['redirect', 'wait', 'restart', 'unknown', 'final'];

/** A call that did not succeed. */
export class KvorumClientError extends Error {
  override readonly name: string = 'KvorumClientError';
  /** Such as `TOO_LARGE`. The client's own are `UNREACHABLE`, `TIMEOUT`, `CANCELLED`, `SCAN_INCOMPLETE` and `CLOSED`. */
  readonly code: string;
  readonly disposition: Disposition;

  constructor(code: string, disposition: Disposition, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.disposition = disposition;
  }

  /** True when the call may have had its effect all the same. */
  get isUnknown(): boolean {
    return this.disposition === 'unknown';
  }
}

/** A key of a batch that was not written, or of which nobody knows. */
export interface KeyFailure {
  /** Place in the batch. */
  readonly index: number;
  readonly code: string;
  readonly disposition: Disposition;
  readonly message: string;
}

/** Some keys of a batch failed; all others are written. */
export class BatchError extends KvorumClientError {
  override readonly name = 'BatchError';
  readonly failures: readonly KeyFailure[];

  constructor(failures: readonly KeyFailure[]) {
    const first = failures[0]!;
    const isUnknown = failures.some(({ disposition }) => disposition === 'unknown');
    super(
      'BATCH_FAILED',
      isUnknown ? 'unknown' : 'final',
      `${failures.length} keys failed; the first: ${first.message}`,
    );
    this.failures = failures;
  }
}

/** Trailing metadata of the cluster's own errors. */
const CODE_KEY = 'kvorum-code';
const DISPOSITION_KEY = 'kvorum-disposition';
const RETRY_KEY = 'kvorum-retry-ms';

const textOf = (error: grpc.ServiceError, key: string): string | undefined => {
  const value = error.metadata?.get(key)[0];
  return value === undefined ? undefined : String(value);
};

/** Milliseconds that the cluster asks for before another attempt; undefined when it says nothing. */
export function retryMsOf(error: grpc.ServiceError): number | undefined {
  const text = textOf(error, RETRY_KEY);
  return text === undefined ? undefined : Number(text);
}

/** The error of a call. What broke below the cluster says nothing about what happened, unless the call only reads. */
export function toClientError(error: grpc.ServiceError, isRead: boolean): KvorumClientError {
  const code = textOf(error, CODE_KEY);
  const message = error.details || error.message;
  if (code !== undefined) {
    const text = textOf(error, DISPOSITION_KEY) ?? 'unknown';
    const disposition = DISPOSITIONS.includes(text) ? (text as Disposition) : 'unknown';
    return new KvorumClientError(code, disposition, message, { cause: error });
  }
  const disposition = isRead ? 'wait' : 'unknown';
  const { status } = grpc;
  switch (error.code) {
    case status.DEADLINE_EXCEEDED:
      return new KvorumClientError('TIMEOUT', disposition, 'the cluster did not answer in time', { cause: error });
    case status.CANCELLED:
      return new KvorumClientError('CANCELLED', disposition, 'the call was cancelled', { cause: error });
    case status.UNAVAILABLE:
      return new KvorumClientError('UNREACHABLE', disposition, message, { cause: error });
    // The request never reached the cluster's code.
    case status.INVALID_ARGUMENT:
    case status.UNIMPLEMENTED:
      return new KvorumClientError('REFUSED', 'final', message, { cause: error });
    default:
      return new KvorumClientError('INTERNAL', disposition, message, { cause: error });
  }
}
