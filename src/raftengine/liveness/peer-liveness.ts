/**
 * Which nodes live, as this one sees it: a peer is present from its first beat until none came for the election timeout.
 * A decision from values: the caller brings the clock, and wakes groups for what it is told.
 */
import type { Millis, NodeId } from '../../platform/index.ts';

interface Peer {
  life: number;
  heardMs: Millis;
}

export class PeerLiveness {
  private readonly timeoutMs: Millis;
  private readonly peers = new Map<NodeId, Peer>();
  /** Peers that live. */
  readonly present = new Set<NodeId>();

  /** @param timeoutMs the election timeout E */
  constructor(timeoutMs: Millis) {
    this.timeoutMs = timeoutMs;
  }

  /**
   * A beat of `peer` came in.
   * @returns true when it is a new beginning: the peer was absent, or lives another life than before
   */
  heard(peer: NodeId, life: number, nowMs: Millis): boolean {
    const isNew = !this.present.has(peer) || this.peers.get(peer)?.life !== life;
    this.present.add(peer);
    this.peers.set(peer, { life, heardMs: nowMs });
    return isNew;
  }

  /** Peers that are absent since the last call. */
  expire(nowMs: Millis): readonly NodeId[] {
    const gone: NodeId[] = [];
    for (const peer of this.present) if (nowMs - this.heardMs(peer) >= this.timeoutMs) gone.push(peer);
    for (const peer of gone) this.present.delete(peer);
    return gone;
  }

  /** When the last beat of `peer` came; `-Infinity` when none ever did. */
  heardMs(peer: NodeId): Millis {
    return this.peers.get(peer)?.heardMs ?? Number.NEGATIVE_INFINITY;
  }

  /** This node itself stood still: that nothing was heard meanwhile proves nothing. */
  skipRound(nowMs: Millis): void {
    for (const peer of this.present) this.peers.get(peer)!.heardMs = nowMs;
  }
}
