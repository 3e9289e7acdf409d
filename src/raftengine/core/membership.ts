/**
 * Who belongs to the group, and whether that may change now. A change takes effect when it is applied; the next may be
 * proposed only then, because only neighbouring memberships have majorities that overlap.
 */
import { assert, type LogIndex, type NodeId } from '../../platform/index.ts';
import { nextConf } from './conf-changer.ts';
import { decodeConfChange } from './conf-codec.ts';
import { ConfChangeRefusedError } from './errors.ts';
import { isJoint, isSoleVoter, isVoter } from './quorum.ts';
import type { RaftLog } from './raft-log.ts';
import type { Replication } from './replication.ts';
import { type ConfChange, type ConfState, type Entry, EntryKind, type RaftConfig, type SnapshotMeta } from './types.ts';

export class Membership {
  private readonly config: RaftConfig;
  private readonly log: RaftLog;
  conf: ConfState;
  /** Changes up to here are part of `conf`. */
  private confIndex: LogIndex;
  /** On a leader: no change is proposed before this index is applied. */
  pendingIndex: LogIndex = 0;

  constructor(config: RaftConfig, log: RaftLog, applied: SnapshotMeta) {
    this.config = config;
    this.log = log;
    this.conf = applied.conf;
    this.confIndex = applied.index;
  }

  /**
   * False until this node has been told who belongs to the group. Such a node elects nobody: it may be the empty
   * successor of a voter that was wiped, and the votes of that one must not be given a second time.
   */
  isKnown(): boolean {
    return this.conf.voters.length > 0;
  }

  isPending(): boolean {
    return this.pendingIndex > this.log.appliedIndex;
  }

  /** True when everything up to `index` is applied and the joint configuration is to be left by itself. */
  isLeaveDue(index: LogIndex): boolean {
    const isDue = this.conf.autoLeave && index >= this.pendingIndex;
    assert(!isDue || isJoint(this.conf), 'only a joint configuration is left');
    return isDue;
  }

  /** A voter whose membership is up to date with what it knows to be committed. */
  mayCampaign(): boolean {
    return isVoter(this.conf, this.config.nodeId) && !this.log.isRestoring() && !this.hasUnapplied();
  }

  /** True when this node is the only voter, and nothing that it has yet to apply can tell of others. */
  isAloneForSure(): boolean {
    return isSoleVoter(this.conf, this.config.nodeId) && !this.hasChangeUpTo(this.log.lastIndex());
  }

  private hasUnapplied(): boolean {
    return this.hasChangeUpTo(this.log.commitIndex);
  }

  /** True when a change of members that was not applied yet lies in the log up to `last`. */
  private hasChangeUpTo(last: LogIndex): boolean {
    let index = this.log.appliedIndex + 1;
    while (index <= last) {
      const entries = this.log.slice(index, last + 1, this.config.maxAppendBytes);
      if (entries === undefined) return true;
      for (const entry of entries) if (entry.kind === EntryKind.ConfChange) return true;
      index += entries.length;
    }
    return false;
  }

  /** @throws ConfChangeRefusedError when `change` must not be proposed now */
  assertAllowed(change: ConfChange, replication: Replication): void {
    if (this.isPending()) {
      throw new ConfChangeRefusedError('pending', `the change at index ${this.pendingIndex} is not applied yet`);
    }
    const result = nextConf(this.conf, change);
    if ('refusal' in result) throw new ConfChangeRefusedError('invalid', result.refusal);
    for (const step of change.steps) if (step.kind === 'addVoter') this.assertPromotable(step.nodeId, replication);
  }

  /** A voter that still has to catch up counts in every quorum and helps in none. */
  private assertPromotable(node: NodeId, replication: Replication): void {
    if (isVoter(this.conf, node)) return;
    const peer = replication.peer(node);
    if (peer === undefined) {
      throw new ConfChangeRefusedError('invalid', `node ${node} is no learner; add it as a learner first`);
    }
    const lag = this.log.lastIndex() - peer.matchIndex;
    if (peer.matchIndex === 0 || lag > this.config.maxPromoteLag) {
      throw new ConfChangeRefusedError('lagging', `learner ${node} is ${lag} entries behind`);
    }
    if (peer.state === 'snapshot') {
      throw new ConfChangeRefusedError('lagging', `learner ${node} is still receiving a snapshot`);
    }
    if (!peer.recentlyActive) throw new ConfChangeRefusedError('lagging', `learner ${node} does not answer`);
  }

  /** @returns true when the committed change in `entry` made another membership of it */
  apply(entry: Entry): boolean {
    assert(entry.kind === EntryKind.ConfChange, 'only a membership change can be applied as one');
    // A snapshot that was installed meanwhile covers it.
    if (entry.index <= this.confIndex) return false;
    this.confIndex = entry.index;
    const result = nextConf(this.conf, decodeConfChange(entry.payload));
    if ('refusal' in result) return false;
    this.conf = result.conf;
    return true;
  }

  /** Takes over the membership of an installed snapshot. */
  restore(meta: SnapshotMeta): void {
    this.conf = meta.conf;
    this.confIndex = meta.index;
  }
}
