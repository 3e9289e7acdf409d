/** Who is told when a replica takes another node for the leader, or none. */
import type { NodeId } from '../../platform/index.ts';

/** See the top of the file. */
export class LeaderNews {
  private readonly endOfTurn: (callback: () => void) => void;
  private readonly listeners: (() => void)[] = [];
  private leader: NodeId | 0 = 0;

  constructor(endOfTurn: (callback: () => void) => void) {
    this.endOfTurn = endOfTurn;
  }

  listen(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** @param leader as the core says after each step; 0: nobody. Nobody is called within a step. */
  note(leader: NodeId | 0): void {
    if (leader === this.leader) return;
    this.leader = leader;
    for (const listener of this.listeners) this.endOfTurn(listener);
  }
}
