/**
 * Requests whose keys belong to several groups: the same command handlers over the same kind of view, but as a transaction of
 * this node's coordinator instead of an operation on one group's leader. Replies are the same.
 *
 * Such a request waits for everything that its connection has asked before, and holds what follows: it has no pipeline to be in
 * order with.
 */
import type { Millis } from '../../../platform/index.ts';
import type { Reply } from '../protocol/index.ts';
import type { CrossGroupRunner } from '../state/index.ts';
import { setDeadline } from './group-pipeline.ts';
import type { GroupRequest, RequestOwner } from './group-request.ts';
import { TransactionRequest } from './transaction-requests.ts';

/** Nobody else waits for a request that runs alone: its outcome is the promise's. */
export const alone = (): RequestOwner => ({ firstRefused: Number.POSITIVE_INFINITY, settled: () => undefined });

/**
 * Runs a request as one transaction over all groups of its keys.
 * @throws what the command throws, ConflictError, OutcomeUnknownError and what else a transaction fails with
 */
export async function runAcross(
  runner: CrossGroupRunner,
  request: GroupRequest,
  commandTimeoutMs: Millis,
): Promise<Reply> {
  setDeadline(request, commandTimeoutMs);
  request.assignTo(alone());
  request.repeatDraws();
  const { reply } = await runner.run(
    {
      keys: request.storageKeys(),
      isReadOnly: !request.isWrite,
      withAbsences: request instanceof TransactionRequest && request.watched.length > 0,
      deadlineMs: request.journey.deadlineMs,
      isPersistent: true,
    },
    (view) => request.evaluate(view),
  );
  request.emitEffects();
  return reply ?? null;
}
