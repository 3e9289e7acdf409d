/** What transactions of a node did since its start: plain numbers, for whoever shows them. */
import { BucketCounts, zeroCounts } from '../../platform/index.ts';

/** Whether a transaction took one entry of one group, two phases, or only had to be seen together. */
export const TXN_WAYS = ['onePhase', 'twoPhase', 'readOnly'] as const;
export type TxnWay = (typeof TXN_WAYS)[number];

/** How attempts end; `unknown`: nobody could tell the client, `failed`: nothing happened. */
export const TXN_OUTCOMES = [
  'committed',
  'changed',
  'locked',
  'moved',
  'rolledBack',
  'tooOld',
  'authority',
  'unknown',
  'failed',
] as const;
export type TxnOutcome = (typeof TXN_OUTCOMES)[number];

/** Counters of transactions: the coordinator's attempts, and what the resolver found out. */
export class TxnCounters {
  readonly attempts: Readonly<Record<TxnWay, Record<TxnOutcome, number>>> = {
    onePhase: zeroCounts(TXN_OUTCOMES),
    twoPhase: zeroCounts(TXN_OUTCOMES),
    readOnly: zeroCounts(TXN_OUTCOMES),
  };
  /** From the plan to the answer, milliseconds, whatever it was. */
  readonly attemptMs: Readonly<Record<TxnWay, BucketCounts>> = {
    onePhase: new BucketCounts(),
    twoPhase: new BucketCounts(),
    readOnly: new BucketCounts(),
  };
  /** Statuses that were asked for, because of locks that somebody met or that were too old. */
  resolverQuestions = 0;
  resolverDecided = 0;
  /** The transaction could still be committed. */
  resolverOpen = 0;
  resolverFailures = 0;
}
