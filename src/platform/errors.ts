/**
 * The root of every error that a caller may branch on. Each layer declares its own subclasses in its `errors.ts`; codes
 * are stable, part of the public contract, and mapped to protocol errors in one table per adapter. Programmer errors are
 * assertions, never these.
 */

/**
 * How a caller may react:
 * - `redirect`: nothing was proposed; try another place at once, using the hint.
 * - `wait`: nothing was proposed; try again after a while.
 * - `restart`: nothing happened; a new attempt with fresh reads may succeed.
 * - `unknown`: the operation may or may not have happened, or may still happen.
 * - `final`: nothing happened and a retry cannot help.
 */
export type ErrorDisposition = 'redirect' | 'wait' | 'restart' | 'unknown' | 'final';

export abstract class KvorumError extends Error {
  /** Stable identifier such as `NOT_LEADER`. */
  abstract readonly code: string;
  abstract readonly disposition: ErrorDisposition;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What a caller may do about an error; undefined for one that no layer declares: nothing is known about what happened. */
export const dispositionOf = (error: unknown): ErrorDisposition | undefined =>
  error instanceof KvorumError ? error.disposition : undefined;

/** True when what was asked may or may not have happened. */
export const isOutcomeUnknown = (error: unknown): boolean => dispositionOf(error) === 'unknown';

/**
 * Whether an error is of a kind, made by this process or by another node: one that has crossed the wire keeps its code and may have lost its
 * class. Where every error of a kind is made in this process, `instanceof` is the simpler question.
 */
export const hasCode = <Code extends string>(error: unknown, ...codes: readonly Code[]): error is KvorumError =>
  error instanceof KvorumError && codes.some((code) => code === error.code);
