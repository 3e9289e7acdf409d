/**
 * Membership as a pure function: configuration and change in, next configuration out (Raft thesis §4.3).
 *
 * A change that touches at most one voter is made in one step, because majorities before and after it overlap. Anything
 * larger goes through a joint configuration in which both majorities must agree, and which is left by a second entry.
 */
import type { NodeId } from '../../platform/index.ts';
import type { ConfChange, ConfState } from './types.ts';

/** The next configuration, or why there is none. */
export type ConfResult = { readonly conf: ConfState } | { readonly refusal: string };

/** A configuration without members: what a node has that was told nothing yet. */
export const EMPTY_CONF: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

const sorted = (nodes: Iterable<NodeId>): NodeId[] => [...nodes].sort((left, right) => left - right);

/** A configuration of these voters and learners, outside any change. */
export function simpleConf(voters: readonly NodeId[], learners: readonly NodeId[] = []): ConfState {
  return { ...EMPTY_CONF, voters: sorted(voters), learners: sorted(learners) };
}

/** Every node that the leader sends to. */
export function membersOf(conf: ConfState): NodeId[] {
  return sorted(new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners, ...conf.learnersNext]));
}

/** What `change` makes of `conf`; equal on every replica. */
export function nextConf(conf: ConfState, change: ConfChange): ConfResult {
  const isJoint = conf.votersOutgoing.length > 0;
  if (change.steps.length === 0) {
    return isJoint ? { conf: leaveJoint(conf) } : { refusal: 'there is no joint configuration to leave' };
  }
  if (isJoint) return { refusal: 'a joint configuration must be left before the next change' };

  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  const demoted = new Set<NodeId>();
  const seen = new Set<NodeId>();
  for (const step of change.steps) {
    const node = step.nodeId;
    if (seen.has(node)) return { refusal: `node ${node} appears twice in one change` };
    seen.add(node);
    const wasVoter = voters.delete(node);
    learners.delete(node);
    if (step.kind === 'addVoter') voters.add(node);
    else if (step.kind === 'addLearner') (wasVoter ? demoted : learners).add(node);
  }
  if (voters.size === 0) return { refusal: 'a group needs at least one voter' };

  if (votersTouched(conf, voters) <= 1) {
    return { conf: simpleConf([...voters], [...learners, ...demoted]) };
  }
  return {
    conf: {
      voters: sorted(voters),
      votersOutgoing: conf.voters,
      learners: sorted(learners),
      // They vote in the outgoing half until the joint configuration is left.
      learnersNext: sorted(demoted),
      autoLeave: true,
    },
  };
}

function votersTouched(conf: ConfState, next: ReadonlySet<NodeId>): number {
  let touched = 0;
  for (const voter of conf.voters) if (!next.has(voter)) touched++;
  for (const voter of next) if (!conf.voters.includes(voter)) touched++;
  return touched;
}

function leaveJoint(conf: ConfState): ConfState {
  return simpleConf(conf.voters, [...conf.learners, ...conf.learnersNext]);
}
