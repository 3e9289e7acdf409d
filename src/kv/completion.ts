/** How operations get their outcome. */
import { OutcomeUnknownError } from '../raftengine/index.ts';
import type { Operation } from './types.ts';
/** Hands over an outcome. A fault of the receiver is its own: it surfaces as an uncaught exception, not inside apply. */
export function complete(operation: Operation<unknown>, error: Error | undefined, reply: unknown): void {
  try {
    operation.complete(error, error === undefined ? reply : undefined);
  } catch (fault) {
    queueMicrotask(() => {
      throw fault;
    });
  }
}

/** What a writer hears whose entry may or may not be committed. */
export const unknownOutcome = (error: Error): OutcomeUnknownError =>
  error instanceof OutcomeUnknownError
    ? error
    : new OutcomeUnknownError('the write may or may not have happened', { cause: error });
