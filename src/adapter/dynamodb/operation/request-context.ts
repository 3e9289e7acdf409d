/** What an operation knows of the request that it runs for, beside the members of its body. */
import type { Millis } from '../../../platform/index.ts';

/** One call of an SDK; its attempts are separate requests with the same id. */
export interface Invocation {
  /** As the client wrote it, of at most 128 characters. */
  readonly id: string;
  /** From 1. */
  readonly attempt: number;
}

/** See the top of the file. */
export interface RequestContext {
  /** Of ARNs in answers: the configured one, or that of the request's signature. */
  readonly region: string;
  /** Twelve digits, of ARNs in answers. */
  readonly accountId: string;
  /** Where the request came to, `host:port`, as the client wrote it. */
  readonly host: string;
  /** When it came, on the wall clock. */
  readonly nowMs: Millis;
  /** Until when it is worth working on, on the monotonic clock. */
  readonly deadlineMs: Millis;
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Undefined when the client says nothing about it. */
  readonly invocation: Invocation | undefined;
}
