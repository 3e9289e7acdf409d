/**
 * Which replicas of this node are awake and need ticks, and which rest, by the node whose life keeps them at rest. When
 * that node is lost or begins another life they are woken, in slices, so that ten thousand groups do not all start to
 * look for a leader in one turn.
 */
import { assert, type Millis, type NodeId } from '../../platform/index.ts';
import { type ConfState, membersOf, quorumValue } from '../core/index.ts';
import type { PeerLiveness } from './peer-liveness.ts';

/** What has to be known of a replica to let it rest. */
export interface Restable {
  readonly isLeading: boolean;
  /** Node that leads the group; 0 when unknown. */
  readonly leaderNode: NodeId | 0;
  readonly conf: ConfState;
  wake(nowMs: Millis): void;
}

/** Replicas that are woken in one tick of 10 ms: ten thousand take a fifth of a second, well within an election timeout. */
const WAKES_PER_TICK = 512;

export class RestingGroups<R extends Restable> {
  private readonly self: NodeId;
  private readonly liveness: PeerLiveness;
  /** Replicas that take part in ticks. */
  readonly awake = new Set<R>();
  /** Followers at rest, by the node that leads them. */
  private readonly led = new Map<NodeId, Set<R>>();
  /** Leaders at rest. */
  private readonly leading = new Set<R>();
  /** To be woken, oldest first. */
  private readonly due = new Set<R>();

  constructor(self: NodeId, liveness: PeerLiveness) {
    this.self = self;
    this.liveness = liveness;
  }

  /** A replica begins, awake. */
  add(replica: R): void {
    this.awake.add(replica);
  }

  remove(replica: R): void {
    this.awake.delete(replica);
    this.due.delete(replica);
    this.leading.delete(replica);
    for (const led of this.led.values()) led.delete(replica);
  }

  /** `replica` went to rest just now. */
  rests(replica: R): void {
    this.awake.delete(replica);
    if (replica.isLeading) {
      this.leading.add(replica);
      return;
    }
    const leader = replica.leaderNode;
    assert(leader !== 0, 'a follower rests under a leader');
    const led = this.led.get(leader);
    if (led === undefined) this.led.set(leader, new Set([replica]));
    else led.add(replica);
    // Nobody would notice when the leader's node is lost, since it is absent already.
    if (!this.liveness.present.has(leader)) this.due.add(replica);
  }

  /** `replica` woke up just now. */
  wakes(replica: R): void {
    this.remove(replica);
    this.awake.add(replica);
  }

  /** No beat of `peer` came for an election timeout. Leaders here go on resting while a quorum of theirs is present. */
  peerLost(peer: NodeId): void {
    for (const replica of this.led.get(peer) ?? []) this.due.add(replica);
    for (const replica of this.leading) {
      if (!this.hasQuorum(replica.conf)) this.due.add(replica);
    }
  }

  /** True when this node and those that are present are enough to decide anything. */
  private hasQuorum(conf: ConfState): boolean {
    return quorumValue(conf, (node) => (node === this.self || this.liveness.present.has(node) ? 1 : 0)) === 1;
  }

  /** `peer` is back, or in another life: what rested with it may have to tell it, or to learn from it. */
  peerBegan(peer: NodeId): void {
    for (const replica of this.led.get(peer) ?? []) this.due.add(replica);
    for (const replica of this.leading) if (membersOf(replica.conf).includes(peer)) this.due.add(replica);
  }

  /** Wakes the next slice of what is due, once a tick. */
  wakeSome(nowMs: Millis): void {
    let left = WAKES_PER_TICK;
    for (const replica of this.due) {
      if (left-- === 0) return;
      this.due.delete(replica);
      replica.wake(nowMs);
    }
  }
}
