/**
 * Whether a change of membership is safe, decided from one leader's status alone. The Raft core refuses what would break
 * its rules; these refuse, before anything is proposed, what its rules allow and an operator would regret.
 */
import { counted, type NodeId } from '../../platform/index.ts';
import type { ConfChangeStep, ConfState, GroupStatus, PeerProgress } from '../../raftengine/index.ts';
import { AdminError, type Suffrage } from '../contract/index.ts';

/** The step to propose; undefined when the membership is so already. */
export type Decision = ConfChangeStep | undefined;

/** What a node is in a membership. */
export function suffrageOf(conf: ConfState, node: NodeId): Suffrage {
  if (conf.voters.includes(node)) return 'voter';
  if (conf.votersOutgoing.includes(node)) return 'outgoing';
  return conf.learners.includes(node) || conf.learnersNext.includes(node) ? 'learner' : 'none';
}

const entries = (count: number): string => counted(count, 'entry', count.toLocaleString('en-US'));

const progressOf = (status: GroupStatus, node: NodeId): PeerProgress | undefined =>
  status.progress.find((peer) => peer.nodeId === node);

/** Entries that a peer still lacks. */
export const lagOf = (status: GroupStatus, peer: PeerProgress): number =>
  Math.max(0, status.lastIndex - peer.matchIndex);

/**
 * A learner is added again without harm, which spreads its address once more; a voter must not become one by mistake.
 * @throws AdminError NOT_A_LEARNER
 */
export function decideAddLearner(status: GroupStatus, node: NodeId): ConfChangeStep {
  const suffrage = suffrageOf(status.conf, node);
  if (suffrage === 'voter' || suffrage === 'outgoing') {
    throw new AdminError(
      'NOT_A_LEARNER',
      `node ${node} is a voter of group ${status.groupId} already; to take its vote away, remove it first`,
    );
  }
  return { kind: 'addLearner', nodeId: node };
}

/**
 * A voter that still catches up counts in every quorum and helps in none.
 * @param isHeardFrom it answered the leader lately
 * @throws AdminError NOT_A_MEMBER, LEARNER_BEHIND with how far
 */
export function decidePromote(
  status: GroupStatus,
  node: NodeId,
  isHeardFrom: boolean,
  maxPromoteLag: number,
): Decision {
  const { groupId } = status;
  const suffrage = suffrageOf(status.conf, node);
  if (suffrage === 'voter') return undefined;
  const peer = progressOf(status, node);
  if (suffrage !== 'learner' || peer === undefined) {
    throw new AdminError('NOT_A_MEMBER', `node ${node} is no learner of group ${groupId}; add it as a learner first`);
  }
  const behind = (how: string): AdminError =>
    new AdminError('LEARNER_BEHIND', `learner ${node} of group ${groupId} ${how}`);
  const lag = lagOf(status, peer);
  if (!isHeardFrom) throw behind(`does not answer its leader (${entries(lag)} behind); start it or check its address`);
  if (peer.state === 'snapshot') {
    throw behind(`is still receiving a snapshot (${entries(lag)} behind); promote it when it has caught up`);
  }
  if (peer.matchIndex === 0) throw behind(`has confirmed nothing yet (${entries(lag)} behind); try again in a moment`);
  if (lag > maxPromoteLag) {
    throw behind(`is ${entries(lag)} behind; promote it when it is at most ${entries(maxPromoteLag)} behind`);
  }
  return { kind: 'addVoter', nodeId: node };
}

/**
 * @param active voters that answered the leader lately, the leader included
 * @throws AdminError LAST_VOTER; QUORUM_AT_RISK when too few of the voters that stay answer
 */
export function decideRemove(status: GroupStatus, node: NodeId, active: ReadonlySet<NodeId>): Decision {
  const { groupId, conf } = status;
  const suffrage = suffrageOf(conf, node);
  if (suffrage === 'none') return undefined;
  if (suffrage !== 'voter') return { kind: 'remove', nodeId: node };
  const rest = conf.voters.filter((voter) => voter !== node);
  if (rest.length === 0) {
    throw new AdminError(
      'LAST_VOTER',
      `node ${node} is the last voter of group ${groupId}, whose data would be lost; promote another one first`,
    );
  }
  const answering = rest.filter((voter) => active.has(voter));
  const needed = (rest.length >> 1) + 1;
  if (answering.length < needed) {
    const silent = rest.filter((voter) => !active.has(voter));
    throw new AdminError(
      'QUORUM_AT_RISK',
      `without node ${node}, group ${groupId} would need ${needed} of the voters ${rest.join(', ')}, ` +
        `and ${silent.join(', ')} ${silent.length === 1 ? 'does' : 'do'} not answer; bring back or remove those first`,
    );
  }
  return { kind: 'remove', nodeId: node };
}

/**
 * Whom to hand leadership to.
 * @param to undefined: whoever has most among those that answer
 * @param active voters that answered the leader lately
 * @returns undefined when `to` leads already
 * @throws AdminError NOT_A_VOTER, NO_SUCCESSOR
 */
export function decideTransfer(
  status: GroupStatus,
  to: NodeId | undefined,
  active: ReadonlySet<NodeId>,
): NodeId | undefined {
  const { groupId, conf } = status;
  if (to === status.nodeId) return undefined;
  if (to !== undefined && !conf.voters.includes(to)) {
    throw new AdminError(
      'NOT_A_VOTER',
      `node ${to} is no voter of group ${groupId}; its voters are ${conf.voters.join(', ')}`,
    );
  }
  const candidates = status.progress
    .filter((peer) => conf.voters.includes(peer.nodeId) && active.has(peer.nodeId) && peer.state !== 'snapshot')
    .sort((left, right) => right.matchIndex - left.matchIndex);
  const successor = to === undefined ? candidates[0] : candidates.find((peer) => peer.nodeId === to);
  if (successor !== undefined) return successor.nodeId;
  throw new AdminError(
    'NO_SUCCESSOR',
    to === undefined
      ? `no other voter of group ${groupId} answers node ${status.nodeId}; bring one back first`
      : `node ${to} does not answer the leader of group ${groupId}, or is still receiving a snapshot; wait until it has caught up`,
  );
}
