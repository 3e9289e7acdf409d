/** What scripts print: messages, entries, what a `Ready` asks for, and the state of a node, a line each. */
import { decodeConfChange } from '../../../src/raftengine/core/conf-codec.ts';
import {
  type ConfState,
  type Entry,
  EntryKind,
  type Message,
  type Ready,
  type SnapshotMeta,
} from '../../../src/raftengine/core/types.ts';
import type { CoreNode } from './cluster.ts';

const list = (nodes: readonly number[]): string => `(${nodes.join(',')})`;

/** `(1,2,3) learners (4)`; a joint configuration is `(1,2) and (1,3)`. */
export function shownConf(conf: ConfState): string {
  const parts = [list(conf.voters)];
  if (conf.votersOutgoing.length > 0) parts.push(`and ${list(conf.votersOutgoing)}`);
  if (conf.learners.length > 0) parts.push(`learners ${list(conf.learners)}`);
  if (conf.learnersNext.length > 0) parts.push(`learners next ${list(conf.learnersNext)}`);
  return parts.join(' ');
}

function shownChange(payload: Buffer): string {
  const { steps } = decodeConfChange(payload);
  if (steps.length === 0) return 'leave the joint configuration';
  return steps
    .map(({ kind, nodeId }) => `${{ addVoter: 'voter', addLearner: 'learner', remove: 'remove' }[kind]} ${nodeId}`)
    .join(', ');
}

/** `term/index "payload"`; an empty payload is nothing, a membership change is in brackets. */
export function shownEntry({ term, index, kind, payload }: Entry): string {
  if (kind === EntryKind.ConfChange) return `${term}/${index} [${shownChange(payload)}]`;
  return payload.length === 0 ? `${term}/${index}` : `${term}/${index} "${payload.toString()}"`;
}

const shownEntries = (entries: readonly Entry[]): string => entries.map(shownEntry).join(', ');
const shownSnapshot = ({ term, index, conf }: SnapshotMeta): string => `${term}/${index} ${shownConf(conf)}`;

/** `1>2 term 3: what it says`. */
export function shownMessage(message: Message): string {
  return `${message.from}>${message.to} term ${message.term}: ${shownContent(message)}`;
}

function shownContent(message: Message): string {
  switch (message.kind) {
    case 'append': {
      const place = `append after ${message.prevTerm}/${message.prevIndex}`;
      return `${place} [${shownEntries(message.entries)}] commit ${message.commitIndex}`;
    }
    case 'appendResponse':
      if (!message.reject) return `append accepted up to ${message.index}`;
      return `append refused after ${message.index}, try ${message.hintTerm}/${message.hintIndex}`;
    case 'heartbeat':
      return `heartbeat commit ${message.commitIndex}${message.readRound > 0 ? ` round ${message.readRound}` : ''}`;
    case 'heartbeatResponse':
      return `heartbeat answered${message.readRound > 0 ? ` round ${message.readRound}` : ''}`;
    case 'vote':
    case 'preVote': {
      const asked = message.kind === 'vote' ? 'vote' : 'pre-vote';
      return `${asked} for log ${message.lastTerm}/${message.lastIndex}${message.transfer ? ' by order of the leader' : ''}`;
    }
    case 'voteResponse':
    case 'preVoteResponse': {
      const asked = message.kind === 'voteResponse' ? 'vote' : 'pre-vote';
      if (!message.reject) return `${asked} granted`;
      return `${asked} refused, committed ${message.commitTerm}/${message.commitIndex}`;
    }
    case 'timeoutNow':
      return 'campaign now';
    case 'snapshot':
      return `snapshot ${shownSnapshot(message.snapshot)}`;
  }
}

/** What a `Ready` asks for, but for its messages. */
export function shownReady(id: number, ready: Ready): string[] {
  const lines: string[] = [];
  if (ready.hardState !== undefined) {
    const { term, vote, commitIndex } = ready.hardState;
    lines.push(`${id} stores term ${term} vote ${vote === 0 ? 'none' : vote} commit ${commitIndex}`);
  }
  if (ready.snapshot !== undefined) lines.push(`${id} installs ${shownSnapshot(ready.snapshot)}`);
  if (ready.entries.length > 0) lines.push(`${id} stores ${shownEntries(ready.entries)}`);
  if (ready.committedEntries.length > 0) lines.push(`${id} applies ${shownEntries(ready.committedEntries)}`);
  for (const { requestId, index } of ready.readStates)
    lines.push(`${id} may serve read ${requestId} from index ${index} on`);
  for (const requestId of ready.abortedReads) lines.push(`${id} gives up read ${requestId}`);
  return lines;
}

const ROLES = {
  follower: 'follower',
  preCandidate: 'pre-candidate',
  candidate: 'candidate',
  leader: 'leader',
} as const;

/** Role, term and leader, of which every change is told. */
export function shownRole({ core }: CoreNode): string {
  const leader = core.role === 'leader' || core.leader === 0 ? '' : ` of ${core.leader}`;
  return `${ROLES[core.role]}${leader} in term ${core.term}`;
}

/** @param nowMs now, which the end of a lease is told from */
export function shownStatus(node: CoreNode, nowMs: number): string[] {
  const { core, id } = node;
  const status = core.status();
  const vote = status.vote === 0 ? 'none' : status.vote;
  const cursors = `commit ${status.commitIndex} applied ${status.appliedIndex} last ${status.lastIndex}`;
  const lines = [`${id} ${shownRole(node)}, vote ${vote}, ${cursors}, members ${shownConf(status.conf)}`];
  if (core.role !== 'leader') return lines;
  const lease = core.holdsLease(nowMs) ? `held for ${Math.round(core.leaseUntilMs() - nowMs)} ms` : 'none';
  const transfer = status.transferTarget === 0 ? '' : `, hands over to ${status.transferTarget}`;
  lines.push(`  lease ${lease}${transfer}`);
  for (const { nodeId, state, matchIndex, nextIndex, isLearner, recentlyActive } of status.progress) {
    const marks = `${isLearner ? ' learner' : ''}${recentlyActive ? '' : ' silent'}`;
    lines.push(`  ${nodeId} ${state} match ${matchIndex} next ${nextIndex}${marks}`);
  }
  return lines;
}

/** Every entry that the node stores, with its cursors. */
export function shownLog({ id, log, core }: CoreNode): string[] {
  const first = log.firstIndex();
  const begins = first === 1 ? '' : ` behind ${log.term(first - 1)}/${first - 1}`;
  const entries = log.entries(first, log.lastIndex() + 1, Number.POSITIVE_INFINITY) ?? [];
  return [`${id} log${begins}: ${shownEntries(entries) || 'empty'}; commit ${core.commitIndex}`];
}
