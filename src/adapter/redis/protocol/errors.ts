/**
 * The one table from errors of the layers below to what a Redis client sees. The prefixes matter: client libraries retry
 * some of them on their own. Nothing that may already have happened gets a prefix that is retried blindly.
 */
import type { FeatureStanding } from '../../../distribution/index.ts';
import { LeaderUnavailableError } from '../../../kv/index.ts';
import { type ErrorDisposition, KvorumError, type NodeId } from '../../../platform/index.ts';
import { RedisError } from './reply.ts';

const UNKNOWN_OUTCOME = 'UNKNOWN the outcome of this write is unknown: it may or may not have been applied';
const NO_LEADER = 'CLUSTERDOWN no leader of the data has answered in time; nothing was changed, try again later';

/** An earlier command of the connection was refused and goes first: nothing happened. */
export class BehindError extends KvorumError {
  readonly code = 'BEHIND';
  readonly disposition: ErrorDisposition = 'wait';
}

/** A leader has not heard yet that every node of the cluster can read what a command would write: nothing happened. */
export class FeatureInactiveError extends KvorumError {
  readonly code = 'FEATURE_INACTIVE';
  readonly disposition: ErrorDisposition = 'wait';

  constructor() {
    super('the leader has not heard yet that every node of the cluster knows the type of the value');
  }
}

/** One is enough: thousands may be behind. */
export const BEHIND = new BehindError('an earlier command of the connection was refused and goes first');

const MOVING = 'TRYAGAIN the keys are moving between groups; nothing was changed, try again later';

/** Followed by what holds writes back and when to come again. Not one of the prefixes that clients retry by themselves at once. */
const HELD_BACK = 'BACKPRESSURE';

/** Text of an error reply by stable error code; what is not listed is told with its own message. */
const TEXT_BY_CODE: Readonly<Record<string, string>> = {
  LEADER_UNAVAILABLE: NO_LEADER,
  NOT_LEADER: NO_LEADER,
  OUTCOME_UNKNOWN: UNKNOWN_OUTCOME,
  NOT_OWNER: MOVING,
  RANGE_BUSY: MOVING,
  OVERTAKEN: 'TRYAGAIN a later command of the pipeline ran first; nothing was changed by this one, try again',
  BEHIND:
    'TRYAGAIN an earlier command of the connection could not be run in time; nothing was changed, try again later',
  WRITE_BACKPRESSURE: HELD_BACK,
  KEY_VERSION_PRESSURE: HELD_BACK,
  LOCKED: 'TRYAGAIN a transaction held the keys too long; nothing was changed, try again',
  TXN_ABORTED: 'TRYAGAIN the transaction was rolled back; nothing was changed, try again',
  CONFLICT: 'TRYAGAIN lost against concurrent writers too often; nothing was changed, try again',
};

/**
 * The text of the error reply for whatever a command failed with, without the leading `-`.
 * @param isWrite false turns "unknown outcome" into "try again": a read has no outcome
 */
export function errorText(error: unknown, isWrite: boolean): string {
  if (error instanceof RedisError) return error.message;
  if (error instanceof KvorumError) {
    if (error.disposition === 'unknown') return isWrite ? UNKNOWN_OUTCOME : NO_LEADER;
    if (error instanceof LeaderUnavailableError && error.because !== undefined) return `CLUSTERDOWN ${error.because}`;
    // What passes by itself says so, whatever it is: nothing happened.
    const prefix = error.disposition === 'final' ? 'ERR' : 'TRYAGAIN';
    const text = TEXT_BY_CODE[error.code] ?? `${prefix} ${error.message}`;
    return text === HELD_BACK ? `${text} ${error.message}` : text;
  }
  return 'ERR internal error; the server log has the details';
}

/** The text of the error for a command that not every node knows. @param standing of the feature that the command needs; not active */
export function featureText(
  fullName: string,
  feature: string,
  standing: Exclude<FeatureStanding, { readonly kind: 'active' }>,
): string {
  const because =
    standing.kind === 'coming'
      ? `not every node of the cluster has said yet that it knows it${named(standing.unheard)}`
      : standing.lacking.length > 0
        ? `not every node of the cluster runs a program yet that knows it${named(standing.lacking)}`
        : `the feature ${feature} is not active yet: raftadmin features activate ${feature}`;
  return `ERR '${fullName}' cannot be used: ${because}`;
}

const named = (nodes: readonly NodeId[]): string =>
  nodes.length === 0 ? '' : ` (${nodes.map((node) => `node ${node}`).join(', ')})`;

/** True for failures that no layer declares: bugs, which must reach the log. */
export const isUnexpected = (error: unknown): boolean => !(error instanceof KvorumError);
