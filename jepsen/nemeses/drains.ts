/** Nodes that operators take out of service and put back, whatever else happens to them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';
import { Operator } from './operator.ts';
import { Orders, ordersOf } from './orders.ts';

/** In calm all nodes must be back in service within this. */
const REPAIR_TIMEOUT_MS = 30_000;
const REPAIR_PAUSE_MS = 200;

/** Drains one node after another, never all but one. */
class Drains extends Orders {
  private readonly operator = new Operator(this.cluster);
  private drained: NodeNumber | undefined;

  protected async order(): Promise<string> {
    const { operator, cluster, random, drained } = this;
    if (drained === undefined) {
      const nodeId = cluster.nodes[random.int(cluster.nodes.length)]!;
      // Counts as drained also when nobody has heard the answer.
      this.drained = nodeId;
      await operator.call('Drain', { nodeId, action: 'drain' });
      return 'drains';
    }
    const { isDone, state } = await operator.call('DrainProgress', { nodeId: drained });
    if (state === 'serving') {
      await operator.call('Drain', { nodeId: drained, action: 'drain' });
      return 'drains';
    }
    if (!isDone && random.next() < 0.8) return 'waits';
    await operator.call('Drain', { nodeId: drained, action: 'undrain' });
    this.drained = undefined;
    return isDone ? 'drained' : 'given up';
  }

  protected override async repair(): Promise<void> {
    if (this.drained === undefined) return;
    const untilMs = performance.now() + REPAIR_TIMEOUT_MS;
    for (;;) {
      try {
        await this.operator.call('Drain', { nodeId: this.drained, action: 'undrain' });
        return;
      } catch (error) {
        if (performance.now() > untilMs) throw error;
      }
      await sleep(REPAIR_PAUSE_MS);
    }
  }
}

export const drain: Nemesis = ordersOf(
  'drain',
  'takes nodes out of service and puts them back, all the time',
  (cluster: TestCluster, random) => new Drains(cluster, random),
);
