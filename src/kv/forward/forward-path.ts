/** Where a group's leader is believed to be, for requests on their way to it. */
import type { GroupId, Millis, NodeId, Term } from '../../platform/index.ts';
import { type BreakerLimits, CircuitBreaker } from './forward-breaker.ts';

/** A group's replica on this node, as far as the proxy cares. */
export interface LocalReplica {
  /** True while this node leads the group and serves. */
  isServing(): boolean;
  leader(): { readonly nodeId: NodeId; readonly term: Term } | undefined;
}

/** What the proxy asks about groups. */
export interface GroupDirectory {
  /** The replica here; undefined when this node has none. */
  replica(group: GroupId): LocalReplica | undefined;
  /** Nodes that may have a replica of the group, for nodes that have none, or one that hears of no leader. */
  members(group: GroupId): readonly NodeId[];
}

/** A node to send to, and what the breaker knows it by. */
export interface Target {
  readonly node: NodeId;
  /** Leader and term; nodes without a replica cannot tell leaders apart and use one for all. */
  readonly identity: number;
}

const identityOf = (node: NodeId, term: Term): number => term * 65_536 + node;
const SOMEBODY = 0;
/** Longer than elections take: a replica that hears of no leader for this long may have been taken out without being told. */
const DESERTED_MS: Millis = 2000;

/** How long a node without a replica may say who leads, once it was served there. */
const WITNESS_MS: Millis = 1000;

/** The way to one group. */
export class GroupPath {
  readonly groupId: GroupId;
  readonly breaker: CircuitBreaker;
  private readonly directory: GroupDirectory;
  private readonly self: NodeId;
  /** Who ran a request last, or was named by somebody who does not lead. */
  private learned: NodeId | undefined;
  /** When `learned` itself ran a request. */
  private servedMs: Millis = Number.NEGATIVE_INFINITY;
  /** Whom of the members to try next while nobody is known. */
  private nextMember = 0;
  /** Since when the replica here has not known a leader; undefined while it does. */
  private leaderlessMs: Millis | undefined;

  constructor(groupId: GroupId, directory: GroupDirectory, self: NodeId, limits: BreakerLimits) {
    this.groupId = groupId;
    this.directory = directory;
    this.self = self;
    this.breaker = new CircuitBreaker(limits);
  }

  get isServing(): boolean {
    return this.directory.replica(this.groupId)?.isServing() === true;
  }

  /**
   * Where to send; undefined while it is not known, which for a member means an election. A member that has not known a leader for
   * longer than elections take asks the others, as nodes without a replica do.
   * @param hint fresher than all else
   */
  target(hint: NodeId | undefined, nowMs: Millis): Target | undefined {
    const replica = this.directory.replica(this.groupId);
    const leader = replica?.leader();
    const isDeserted = replica === undefined || this.isDeserted(leader !== undefined, nowMs);
    const node = hint ?? leader?.nodeId ?? (isDeserted ? (this.learned ?? this.member()) : undefined);
    if (node === undefined || node === this.self) return undefined;
    return { node, identity: isDeserted ? SOMEBODY : identityOf(node, leader?.term ?? 0) };
  }

  /** The replica here cannot be expected to learn who leads. */
  private isDeserted(knowsLeader: boolean, nowMs: Millis): boolean {
    if (knowsLeader) this.leaderlessMs = undefined;
    else this.leaderlessMs ??= nowMs;
    return this.leaderlessMs !== undefined && nowMs - this.leaderlessMs >= DESERTED_MS;
  }

  private member(): NodeId | undefined {
    const members = this.directory.members(this.groupId).filter((node) => node !== this.self);
    return members.length === 0 ? undefined : members[this.nextMember % members.length];
  }

  /** Who leads, for those who ask here in vain. */
  hint(): NodeId | undefined {
    const replica = this.directory.replica(this.groupId);
    const leader = replica === undefined ? this.learned : replica.leader()?.nodeId;
    return leader === this.self ? undefined : leader;
  }

  /** Who leads, for clients that will not come back here: what was heard of some time ago would lead them round in circles. */
  witnessed(nowMs: Millis): NodeId | undefined {
    const replica = this.directory.replica(this.groupId);
    if (replica !== undefined) return replica.leader()?.nodeId;
    return nowMs - this.servedMs < WITNESS_MS ? this.learned : undefined;
  }

  /** `node` runs the group's requests. */
  served(node: NodeId, nowMs: Millis): void {
    this.learned = node;
    this.servedMs = nowMs;
  }

  /** `node` does not: it named another one, or nobody. */
  refused(node: NodeId, hint: NodeId | undefined): void {
    this.servedMs = Number.NEGATIVE_INFINITY;
    if (hint !== undefined && hint !== node) this.learned = hint;
    else this.lost(node);
  }

  /** `node` cannot be reached or says nothing: somebody else may know more. */
  lost(node: NodeId): void {
    if (this.learned === node) this.learned = undefined;
    this.nextMember += 1;
  }
}
