/** What the leader proxy of a node did since its start: plain numbers, for whoever shows them. */

import { BucketCounts, isOutcomeUnknown, KvorumError, zeroCounts } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import { LeaderUnavailableError } from '../contract/index.ts';

/** Messages that a request which failed has cost. */
const MESSAGE_BOUNDS: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 16];

/** How requests that were sent on to a leader ended. */
export const FORWARD_OUTCOMES = ['ok', 'refused', 'busy', 'unavailable', 'unknown', 'error'] as const;
export type ForwardOutcome = (typeof FORWARD_OUTCOMES)[number];

/** What was done with requests that other nodes sent here. */
export const RECEIVED_OUTCOMES = ['run', 'notLeader', 'tooLate', 'tooManyHops', 'duplicate'] as const;
export type ReceivedOutcome = (typeof RECEIVED_OUTCOMES)[number];

/** Counters of the leader proxy. */
export class ForwardCounters {
  readonly outcomes = zeroCounts(FORWARD_OUTCOMES);
  readonly received = zeroCounts(RECEIVED_OUTCOMES);
  /** Requests that went to a node, each time that they did. */
  messages = 0;
  /** Those that went to a node again. */
  repeats = 0;
  /** Of requests that ended without an answer: how often each was sent. */
  readonly messagesOfFailed = new BucketCounts(MESSAGE_BOUNDS);

  /** @param error undefined: answered; @param messages how often the request was sent */
  finished(error: Error | undefined, messages: number): void {
    const outcome = forwardOutcome(error);
    this.outcomes[outcome]++;
    if (outcome !== 'ok' && outcome !== 'refused') this.messagesOfFailed.observe(messages);
  }
}

/** An answer that refuses (another owner, a lock) is an answer: somebody was there. */
function forwardOutcome(error: Error | undefined): ForwardOutcome {
  if (error === undefined) return 'ok';
  if (!(error instanceof KvorumError)) return 'error';
  if (error instanceof BusyError) return 'busy';
  if (error instanceof LeaderUnavailableError) return 'unavailable';
  return isOutcomeUnknown(error) ? 'unknown' : 'refused';
}
