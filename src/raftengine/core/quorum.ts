/**
 * Majorities, simple and joint (Raft thesis §4.3). A joint configuration decides only what both of its halves decide, so
 * every joint answer is the weaker of the two. Learners are in neither half and can therefore never count.
 */
import type { NodeId } from '../../platform/index.ts';
import type { ConfState } from './types.ts';

/** Smallest number of voters that is more than half of `voterCount`. */
export function majority(voterCount: number): number {
  return (voterCount >> 1) + 1;
}

/** Sorted values of the quorum being computed; reused because this runs on every acknowledgement. */
const descending: number[] = [];

function majorityValue(voters: readonly NodeId[], valueAt: (voter: NodeId) => number): number {
  const count = voters.length;
  for (let position = 0; position < count; position++) {
    const value = valueAt(voters[position]!);
    let slot = position;
    while (slot > 0 && descending[slot - 1]! < value) {
      descending[slot] = descending[slot - 1]!;
      slot--;
    }
    descending[slot] = value;
  }
  return descending[majority(count) - 1]!;
}

/**
 * The largest value that a quorum has reached: with match indexes the commit candidate, with send times the lease start,
 * with round numbers the newest confirmed round. `-Infinity` when there are no voters at all.
 */
export function quorumValue(conf: ConfState, valueAt: (voter: NodeId) => number): number {
  if (conf.voters.length === 0) return Number.NEGATIVE_INFINITY;
  const incoming = majorityValue(conf.voters, valueAt);
  return conf.votersOutgoing.length === 0 ? incoming : Math.min(incoming, majorityValue(conf.votersOutgoing, valueAt));
}

export type VoteOutcome = 'won' | 'lost' | 'pending';

function majorityVote(voters: readonly NodeId[], ballots: ReadonlyMap<NodeId, boolean>): VoteOutcome {
  let granted = 0;
  let unanswered = 0;
  for (const voter of voters) {
    const ballot = ballots.get(voter);
    if (ballot === undefined) unanswered++;
    else if (ballot) granted++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return 'won';
  return granted + unanswered < needed ? 'lost' : 'pending';
}

/** What the ballots so far decide; ballots of nodes that are not voters are ignored. */
export function voteOutcome(conf: ConfState, ballots: ReadonlyMap<NodeId, boolean>): VoteOutcome {
  if (conf.voters.length === 0) return 'lost';
  const incoming = majorityVote(conf.voters, ballots);
  if (conf.votersOutgoing.length === 0 || incoming === 'lost') return incoming;
  const outgoing = majorityVote(conf.votersOutgoing, ballots);
  if (outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

/** True when `node` has a vote in either half. */
export function isVoter(conf: ConfState, node: NodeId): boolean {
  return conf.voters.includes(node) || conf.votersOutgoing.includes(node);
}

/** True when `node` alone is the whole quorum. */
export function isSoleVoter(conf: ConfState, node: NodeId): boolean {
  return (
    conf.voters.length === 1 &&
    conf.voters[0] === node &&
    (conf.votersOutgoing.length === 0 || (conf.votersOutgoing.length === 1 && conf.votersOutgoing[0] === node))
  );
}

/** True while decisions need a majority of the outgoing voters too. */
export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0;
}
