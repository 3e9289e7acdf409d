/** The consistency block of requests, and what answers say of time. */
import type { AnswerTime, Consistency } from '../../../kv/index.ts';
import { type ConsistencyMessage, fromTimestamp, toTimestamp } from './messages.ts';

/** Undefined: linearizable at the leader, as if nothing had been said. */
export function consistencyOf(message: ConsistencyMessage | null | undefined): Consistency | undefined {
  if (message === undefined || message === null) return undefined;
  const { maxStalenessMs, exact, sessionToken, anyReplica } = message;
  if (maxStalenessMs !== undefined) return { kind: 'bounded', maxStalenessMs: Number(maxStalenessMs) };
  if (exact !== undefined && exact !== null) return { kind: 'exact', ts: toTimestamp(exact) };
  if (sessionToken !== undefined) return { kind: 'session', token: sessionToken.toString('base64') };
  return anyReplica === true ? { kind: 'linearizable', anyReplica } : undefined;
}

/** The fields of an answer that say what moment it is of; none for an answer about nothing. */
export const timeFields = (time: AnswerTime | undefined): object =>
  time === undefined
    ? {}
    : {
        servedTs: fromTimestamp(time.servedTs),
        ...(time.stalenessMs === undefined ? {} : { stalenessMs: Math.ceil(time.stalenessMs) }),
        sessionToken: Buffer.from(time.token, 'base64'),
      };
