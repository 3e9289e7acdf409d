/** What the key-value layer of a node did since its start: plain numbers, for whoever shows them. */
import { BucketCounts, KvorumError } from '../platform/index.ts';
import type { Consistency } from './reads/types.ts';

/** Messages that a request which failed has cost. */
const MESSAGE_BOUNDS: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 16];

/** How requests that were sent on to a leader ended. */
export const FORWARD_OUTCOMES = ['ok', 'refused', 'busy', 'unavailable', 'unknown', 'error'] as const;
export type ForwardOutcome = (typeof FORWARD_OUTCOMES)[number];

/** What was done with requests that other nodes sent here. */
export const RECEIVED_OUTCOMES = ['run', 'notLeader', 'tooLate', 'tooManyHops', 'duplicate'] as const;
export type ReceivedOutcome = (typeof RECEIVED_OUTCOMES)[number];

const zeros = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;

/** Counters of the leader proxy. */
export class ForwardCounters {
  readonly outcomes = zeros(FORWARD_OUTCOMES);
  readonly received = zeros(RECEIVED_OUTCOMES);
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
  if (error.code === 'BUSY') return 'busy';
  if (error.code === 'LEADER_UNAVAILABLE') return 'unavailable';
  return error.disposition === 'unknown' ? 'unknown' : 'refused';
}

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
    onePhase: zeros(TXN_OUTCOMES),
    twoPhase: zeros(TXN_OUTCOMES),
    readOnly: zeros(TXN_OUTCOMES),
  };
  /** From the plan to the answer, milliseconds, whatever it was. */
  readonly attemptMs: Readonly<Record<TxnWay, BucketCounts>> = {
    onePhase: new BucketCounts(),
    twoPhase: new BucketCounts(),
    readOnly: new BucketCounts(),
  };
  /** Fates that were asked for, because of locks that somebody met or that were too old. */
  resolverQuestions = 0;
  resolverDecided = 0;
  /** The transaction could still be committed. */
  resolverOpen = 0;
  resolverFailures = 0;
}

/** Who answered reads that named their consistency. */
export interface ReadsOfKind {
  replica: number;
  leader: number;
}

/** Counters of reads that say how old their answer may be. */
export class ReadCounters {
  readonly kinds: Readonly<Record<Consistency['kind'], ReadsOfKind>> = {
    linearizable: { replica: 0, leader: 0 },
    bounded: { replica: 0, leader: 0 },
    exact: { replica: 0, leader: 0 },
    session: { replica: 0, leader: 0 },
  };
  /** Reads that a lock sent on to the leader. */
  lockRedirects = 0;
  /** Age of what replicas have answered, milliseconds; exact reads have none. */
  readonly stalenessMs = new BucketCounts();
}
