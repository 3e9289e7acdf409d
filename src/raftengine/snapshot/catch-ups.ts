/**
 * Peers that have just got a snapshot and need the log from there on. While one was on its way the group went on, perhaps by
 * far more than is kept for slow followers: cutting the log as soon as the snapshot is there would have the peer need the
 * next one. So the log is held behind such a peer until it is near the end, as long as it comes closer.
 */
import type { Clock, LogIndex, Millis, NodeId, Scheduler } from '../../platform/index.ts';
import type { EngineLimits } from '../contract/index.ts';
import type { Replica } from '../replica/index.ts';

const CHECK_MS: Millis = 200;

/** See the top of the file. */
export class CatchUps {
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly limits: EngineLimits;
  /** What each log is held for; an object of its own for each time. */
  private readonly held = new Map<Replica, Map<NodeId, object>>();

  constructor(clock: Clock, scheduler: Scheduler, limits: EngineLimits) {
    this.clock = clock;
    this.scheduler = scheduler;
    this.limits = limits;
  }

  /** True while the log is held for the peer by this. */
  holds(replica: Replica, peer: NodeId): boolean {
    return this.held.get(replica)?.has(peer) === true;
  }

  /** @param index of the snapshot that the peer has got */
  begin(replica: Replica, peer: NodeId, index: LogIndex): void {
    // Only a leader knows how far the peer is.
    if (!replica.isLeading) return;
    const peers = this.held.get(replica) ?? new Map<NodeId, object>();
    const hold = {};
    this.held.set(replica, peers.set(peer, hold));
    this.check(replica, peer, hold, index, this.clock.monotonicMs());
  }

  /** Another transfer to the peer holds the log from now on. */
  handOver(replica: Replica, peer: NodeId): void {
    const peers = this.held.get(replica);
    peers?.delete(peer);
    if (peers?.size === 0) this.held.delete(replica);
  }

  /** @param movedMs when the peer came closer last */
  private check(replica: Replica, peer: NodeId, hold: object, index: LogIndex, movedMs: Millis): void {
    this.scheduler.after(CHECK_MS, () => {
      if (this.held.get(replica)?.get(peer) !== hold) return;
      const nowMs = this.clock.monotonicMs();
      const status = replica.isClosed || !replica.isLeading ? undefined : replica.status();
      const progress = status?.progress.find(({ nodeId }) => nodeId === peer);
      const isStuck = nowMs - movedMs > this.limits.snapshotKeepMs;
      // In the state `snapshot` the peer needs more than the log that is held.
      if (status === undefined || progress === undefined || progress.state === 'snapshot' || isStuck) {
        this.end(replica, peer);
        return;
      }
      const reached = Math.max(index, progress.matchIndex);
      if (progress.matchIndex >= status.lastIndex - Math.floor(this.limits.retainEntries / 2)) {
        this.end(replica, peer);
        return;
      }
      replica.pin(peer, reached);
      this.check(replica, peer, hold, reached, reached > index ? nowMs : movedMs);
    });
  }

  private end(replica: Replica, peer: NodeId): void {
    this.handOver(replica, peer);
    replica.unpin(peer);
  }
}
