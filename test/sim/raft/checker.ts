/**
 * What must be true of the whole cluster after every step (Raft thesis figure 3.2, and lease safety). Logs are compared by
 * the hash of everything up to an index, so that one comparison speaks for a whole prefix.
 */
import { type ConfState, type Entry, Role } from '../../../src/raftengine/core/types.ts';
import type { SimNode } from './sim-node.ts';

export class InvariantViolation extends Error {
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

export function extendHash(previous: number, entry: Entry): number {
  let hash = previous ^ Math.imul(entry.index, 0x9e3779b1) ^ Math.imul(entry.term + 1, 0x85ebca6b) ^ entry.kind;
  for (let offset = 0; offset < entry.payload.length && offset < 16; offset++) {
    hash = Math.imul(hash ^ entry.payload[offset]!, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

function isHolder(node: SimNode, index: number, term: number): boolean {
  return index < node.stable.firstIndex() || node.stable.term(index) === term;
}

const nameOf = (node: SimNode): string => `${node.id} (start ${node.starts})`;

const TERM_STRIDE = 10_000_000;

export class Checker {
  private readonly leaderOfTerm = new Map<number, string>();
  /** Hash of the log up to the entry of (term, index), wherever that entry was seen. */
  private readonly prefixHashes = new Map<number, number>();
  /** The one committed log: hash up to each index, and the entry's term. */
  readonly committedHashes: number[] = [0];
  /** Term of the node that was first seen to know each index committed. */
  private readonly committedIn: number[] = [0];
  private readonly committedConfs: (ConfState | undefined)[] = [undefined];
  newestElectedTerm = 0;
  /** Highest index whose write was acknowledged to a client. */
  ackedIndex = 0;

  get committedIndex(): number {
    return this.committedHashes.length - 1;
  }

  /** `node` stored `entries` in its log. */
  onEntries(node: SimNode, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const hash = extendHash(node.hashes[entry.index - 1]!, entry);
      node.hashes[entry.index] = hash;
      const key = entry.term * TERM_STRIDE + entry.index;
      const known = this.prefixHashes.get(key);
      if (known === undefined) this.prefixHashes.set(key, hash);
      else if (known !== hash) {
        throw new InvariantViolation(
          'log matching',
          `node ${node.id} differs at or before ${entry.term}:${entry.index}`,
        );
      }
    }
  }

  /** `node` lost what was not stable: the hashes of its log are those of the entries that are left. */
  rehash(node: SimNode): void {
    node.hashes.length = node.stable.lastIndex() + 1;
    // From the entry before the first one, which a snapshot that was not installed any more may have taken the place of.
    for (let index = Math.max(1, node.stable.firstIndex() - 1); index <= node.stable.lastIndex(); index++) {
      node.hashes[index] = this.prefixHashes.get(node.stable.term(index)! * TERM_STRIDE + index)!;
    }
  }

  /** After a step of `node`, everything that it wanted done being done. */
  onStep(node: SimNode, all: readonly SimNode[]): void {
    const { core } = node;
    if (core.role === Role.Leader && node.ledTerm !== core.term) this.onElected(node);
    if (core.commitIndex < node.checkedCommit) {
      throw new InvariantViolation(
        'commit monotonicity',
        `node ${node.id}: ${node.checkedCommit} to ${core.commitIndex}`,
      );
    }
    while (node.checkedCommit < core.commitIndex) {
      node.checkedCommit++;
      this.onCommitted(node, node.checkedCommit, all);
    }
    node.checkedConf = core.conf;
  }

  /** `node` crashed before it could store that it led this term, so nobody ever heard of it. */
  forgetLeader(node: SimNode): void {
    if (node.ledTerm === 0 || this.leaderOfTerm.get(node.ledTerm) !== nameOf(node)) return;
    this.leaderOfTerm.delete(node.ledTerm);
    for (const key of this.prefixHashes.keys())
      if (Math.floor(key / TERM_STRIDE) === node.ledTerm) this.prefixHashes.delete(key);
  }

  private onElected(node: SimNode): void {
    const { term } = node.core;
    node.ledTerm = term;
    const leader = this.leaderOfTerm.get(term);
    const name = nameOf(node);
    if (leader !== undefined && leader !== name) {
      throw new InvariantViolation('election safety', `term ${term} is led by ${leader} and ${name}`);
    }
    this.leaderOfTerm.set(term, name);
    this.newestElectedTerm = Math.max(this.newestElectedTerm, term);
    // A candidate of the past may collect its last vote late; it owes only what was committed before its term.
    let index = this.committedIndex;
    while (index > 0 && this.committedIn[index]! >= term) index--;
    if (node.core.lastIndex < index || node.hashes[index] !== this.committedHashes[index]) {
      throw new InvariantViolation('leader completeness', `node ${node.id} leads term ${term} without entry ${index}`);
    }
  }

  private onCommitted(node: SimNode, index: number, all: readonly SimNode[]): void {
    // Below an installed snapshot a node has no entries; the snapshot itself was checked.
    const hash = node.hashes[index];
    if (index <= this.committedIndex) {
      if (hash !== undefined && hash !== this.committedHashes[index]) {
        throw new InvariantViolation('state machine safety', `node ${node.id} committed another entry at ${index}`);
      }
      return;
    }
    const term = node.view.term(index);
    if (hash === undefined || term === undefined) {
      throw new InvariantViolation('state machine safety', `node ${node.id} committed ${index} without having it`);
    }
    if (node.core.role === Role.Leader) this.checkStableOnQuorum(node, index, term, all);
    this.committedHashes.push(hash);
    this.committedIn.push(node.core.term);
    for (const other of all) {
      if (!other.isUp || other.core.role !== Role.Leader || other.core.term <= node.core.term) continue;
      if (other.ledTerm === other.core.term && other.hashes[index] !== hash) {
        throw new InvariantViolation(
          'leader completeness',
          `node ${other.id} leads without ${index} of node ${node.id}`,
        );
      }
    }
  }

  private checkStableOnQuorum(leader: SimNode, index: number, term: number, all: readonly SimNode[]): void {
    // A membership change may have been applied in this very step, after the entry was counted.
    for (const conf of [leader.checkedConf, leader.core.conf]) {
      const halves = [conf.voters, conf.votersOutgoing].filter((voters) => voters.length > 0);
      const isDurable = (voters: readonly number[]): boolean =>
        voters.filter((voter) => isHolder(all[voter - 1]!, index, term)).length * 2 > voters.length;
      if (halves.every(isDurable)) return;
    }
    const { voters } = leader.core.conf;
    throw new InvariantViolation('durability', `node ${leader.id} committed ${index} without a quorum of ${voters}`);
  }

  onApplied(node: SimNode, entry: Entry, conf: ConfState): void {
    const hash = extendHash(node.appliedHash, entry);
    node.appliedHash = hash;
    if (hash !== this.committedHashes[entry.index]) {
      throw new InvariantViolation('state machine safety', `node ${node.id} applied another entry at ${entry.index}`);
    }
    const known = this.committedConfs[entry.index];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(conf)) {
      throw new InvariantViolation('membership', `node ${node.id} has another membership at ${entry.index}`);
    }
    this.committedConfs[entry.index] = conf;
  }

  onAcknowledged(index: number): void {
    this.ackedIndex = Math.max(this.ackedIndex, index);
  }

  /** A read that was asked for when `ackedIndex` was acknowledged is answered from `appliedIndex`. */
  onRead(node: SimNode, ackedIndex: number, how: string): void {
    if (node.core.appliedIndex < ackedIndex) {
      const detail = `node ${node.id} answered from ${node.core.appliedIndex}, acknowledged was ${ackedIndex}`;
      throw new InvariantViolation(`linearizable ${how}`, detail);
    }
  }

  /** At every instant, also while a node is paused: a lease excludes every later leader. */
  checkLeases(all: readonly SimNode[]): void {
    for (const node of all) {
      if (!node.isUp || node.core.role !== Role.Leader || !node.core.holdsLease(node.localNowMs())) continue;
      if (node.core.term < this.newestElectedTerm) {
        const detail = `node ${node.id} holds a lease of term ${node.core.term}, term ${this.newestElectedTerm} has a leader`;
        throw new InvariantViolation('lease safety', detail);
      }
      this.onRead(node, this.ackedIndex, 'lease read');
    }
  }
}
