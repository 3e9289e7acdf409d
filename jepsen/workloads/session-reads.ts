/** Additions, and reads by replicas of whatever age, on connections that are sessions. */
import { monotonicSessions } from '../checkers/staleness.ts';
import type { Workload } from '../types.ts';
import { replicaReads } from './bounded-reads.ts';

/** No age is asked for: only order. */
const ANY_AGE_MS = 60_000;

/** Each process is a session: it sees its own additions, and nothing goes back. */
export const sessionReads = (): Workload =>
  replicaReads(
    'session-reads',
    'additions, and reads from any replica; no connection sees a key go back or misses its own additions',
    ANY_AGE_MS,
    monotonicSessions,
    ({ random }) => random.next() < 0.3,
  );
