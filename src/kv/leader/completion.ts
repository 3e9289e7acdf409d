/** How operations get their outcome. */
import { OutcomeUnknownError, type ProposalOutcome } from '../../raftengine/index.ts';
import type { Operation } from '../contract/index.ts';

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

/** What a writer hears whose entry was not applied, or may or may not be. */
export function failureOf(outcome: Exclude<ProposalOutcome, { readonly kind: 'applied' }>): Error {
  const { kind, error } = outcome;
  if (kind === 'notProposed' || error instanceof OutcomeUnknownError) return error;
  return new OutcomeUnknownError('the write may or may not have happened', { cause: error });
}
