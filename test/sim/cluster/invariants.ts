/**
 * What must hold at every moment, looked at from outside: committed logs agree (state machine safety, Raft §5.4.3), what was
 * applied stays applied, and replicas that have applied the same have the same state.
 */
import { crc32 } from 'node:zlib';
import type { GroupId } from '../../../src/platform/index.ts';
import type { RaftGroup } from '../../../src/raftengine/contract/types.ts';
import type { ClusterNode } from './cluster-node.ts';
import { InvariantViolation } from './violation.ts';

const ENTRIES_AT_ONCE_BYTES = 1 << 20;

interface Seen {
  readonly starts: number;
  appliedIndex: number;
  /** Entries up to here were compared. */
  comparedIndex: number;
}

/** Looks at the replicas of all groups. */
export class Invariants {
  private readonly nodes: readonly ClusterNode[];
  private readonly groups: GroupInvariants[] = [];

  constructor(nodes: readonly ClusterNode[], groups: readonly GroupId[]) {
    this.nodes = nodes;
    this.watch(groups);
  }

  /** Looks at these from now on, too. */
  watch(groups: Iterable<GroupId>): void {
    for (const group of groups) {
      if (!this.groups.some((known) => known.group === group)) this.groups.push(new GroupInvariants(this.nodes, group));
    }
  }

  /** Entries that were seen in some log and applied. */
  get committedCount(): number {
    return this.groups.reduce((sum, group) => sum + group.committedCount, 0);
  }

  get termCount(): number {
    return this.groups.reduce((sum, group) => sum + group.termCount, 0);
  }

  /** @throws InvariantViolation */
  check(): void {
    for (const group of this.groups) group.check();
  }

  /** See `GroupInvariants.compareDigests`. @param groups those that are there */
  async compareDigests(groups: readonly GroupId[]): Promise<boolean> {
    for (const each of this.groups) if (groups.includes(each.group) && !(await each.compareDigests())) return false;
    return true;
  }
}

class GroupInvariants {
  readonly group: GroupId;
  private readonly nodes: readonly ClusterNode[];
  private readonly seen = new Map<ClusterNode, Seen>();
  /** Term and checksum of every applied entry that some node held, by index. */
  private readonly committed = new Map<number, string>();
  /** Which node was seen to lead, by term. */
  private readonly leaders = new Map<number, number>();

  constructor(nodes: readonly ClusterNode[], group: GroupId) {
    this.nodes = nodes;
    this.group = group;
  }

  /** Entries that were seen in some log and applied. */
  get committedCount(): number {
    return this.committed.size;
  }

  get termCount(): number {
    return this.leaders.size;
  }

  /** @throws InvariantViolation */
  check(): void {
    for (const node of this.nodes) this.checkNode(node);
  }

  private checkNode(node: ClusterNode): void {
    const { starts } = node;
    const raft: RaftGroup | undefined = node.raft(this.group);
    if (raft === undefined) return;
    const status = raft.status();
    let seen = this.seen.get(node);
    if (seen === undefined || seen.starts !== starts) {
      seen = { starts, appliedIndex: 0, comparedIndex: 0 };
      this.seen.set(node, seen);
    }
    if (status.appliedIndex < seen.appliedIndex)
      throw new InvariantViolation(
        'applied index went back',
        `group ${this.group}, node ${node.id}: ${seen.appliedIndex} to ${status.appliedIndex}`,
      );
    if (status.appliedIndex > status.commitIndex)
      throw new InvariantViolation('applied beyond commit', `node ${node.id}: ${JSON.stringify(status)}`);
    seen.appliedIndex = status.appliedIndex;
    if (status.role === 'leader') {
      const other = this.leaders.get(status.term);
      if (other !== undefined && other !== node.id)
        throw new InvariantViolation(
          'two leaders',
          `nodes ${other} and ${node.id} lead term ${status.term} of group ${this.group}`,
        );
      this.leaders.set(status.term, node.id);
    }
    this.compareLog(node, seen, status.appliedIndex);
  }

  private compareLog(node: ClusterNode, seen: Seen, appliedIndex: number): void {
    const log = node.process!.logStore.group(this.group);
    let from = Math.max(seen.comparedIndex + 1, log.firstIndex());
    // Not up to the commit: while a snapshot is put in place that is ahead of a log which still ends in replaced entries.
    const to = Math.min(appliedIndex, log.lastIndex()) + 1;
    while (from < to) {
      const entries = log.entries(from, to, ENTRIES_AT_ONCE_BYTES);
      if (entries === undefined || entries.length === 0) return;
      for (const { index, term, kind, payload } of entries) {
        const identity = `${term}/${kind}/${crc32(payload)}`;
        const known = this.committed.get(index);
        if (known === undefined) this.committed.set(index, identity);
        else if (known !== identity)
          throw new InvariantViolation(
            'committed logs differ',
            `entry ${index} of group ${this.group} is ${identity} on node ${node.id} and was ${known} elsewhere`,
          );
      }
      from += entries.length;
      seen.comparedIndex = from - 1;
    }
  }

  /** As whoever leads has it. */
  private members(): ClusterNode[] {
    const leader = this.nodes
      .map((node) => node.raft(this.group)?.status())
      .filter((status) => status?.role === 'leader')
      .sort((left, right) => right!.term - left!.term)[0];
    return this.nodes.filter(({ id }) => leader?.conf.voters.includes(id) === true);
  }

  /**
   * Compares the states of all members once they have applied the same.
   * @returns false when they had not; ask again later
   * @throws InvariantViolation
   */
  async compareDigests(): Promise<boolean> {
    const members = this.members();
    if (members.length === 0) return false;
    const stores = members.map(({ process }) => process?.node.host.get(this.group)?.store);
    const indexes = (): string => stores.map((store) => store?.appliedIndex ?? 0).join();
    const before = indexes();
    if (new Set(before.split(',')).size > 1) return false;
    const digests = await Promise.all(stores.map((store) => store?.digest()));
    if (indexes() !== before) return false;
    if (new Set(digests).size > 1)
      throw new InvariantViolation(
        'states differ',
        `group ${this.group} at index ${before.split(',', 1)[0]}: ${digests.join(' ')}`,
      );
    return true;
  }
}
