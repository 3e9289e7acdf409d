/** A leader on its way out: to whom, since when, and whether that node can take over (Raft thesis §3.10). */
import type { NodeId } from '../../platform/index.ts';
import { TransferRefusedError } from './errors.ts';
import type { Membership } from './membership.ts';
import type { RaftLog } from './raft-log.ts';
import type { Replication } from './replication.ts';
import type { RaftConfig } from './types.ts';

export class Transfer {
  /** 0 while no transfer is under way. */
  target: NodeId | 0 = 0;
  private elapsedTicks = 0;

  start(target: NodeId): void {
    this.target = target;
    this.elapsedTicks = 0;
  }

  stop(): void {
    this.target = 0;
  }

  /** Gives up after `limitTicks`: proposals resume; the lease stays void, since the TimeoutNow may still arrive. */
  tick(count: number, limitTicks: number): void {
    this.elapsedTicks += count;
    if (this.target !== 0 && this.elapsedTicks >= limitTicks) this.target = 0;
  }

  /**
   * Writes stop during a transfer, so it starts only towards a node that can finish it soon.
   * @throws TransferRefusedError
   */
  assertAllowed(to: NodeId, config: RaftConfig, log: RaftLog, membership: Membership, replication: Replication): void {
    if (to === config.nodeId) throw new TransferRefusedError(`node ${to} leads already`);
    if (this.target !== 0) throw new TransferRefusedError(`leadership is being transferred to node ${this.target}`);
    if (membership.isPending()) {
      throw new TransferRefusedError(`the membership change at index ${membership.pendingIndex} is not applied yet`);
    }
    const peer = replication.peer(to);
    if (peer === undefined || peer.isLearner) throw new TransferRefusedError(`node ${to} is no voter`);
    const lag = log.lastIndex() - peer.matchIndex;
    if (!peer.recentlyActive || peer.state === 'snapshot' || lag > config.maxPromoteLag) {
      throw new TransferRefusedError(`node ${to} is not caught up: ${lag} entries behind`);
    }
  }
}
