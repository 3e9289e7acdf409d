/** What a node does beside serving: it reports load, balances where the catalog is led, and takes its share of background work. */

import {
  Balancer,
  type BalancerOptions,
  DEFAULT_MOVE_LIMITS,
  FeatureActivator,
  forwardingPointerWork,
  type LoadedGroup,
  type MoveLimits,
  WorkRunner,
  type WorkTimes,
} from '../cluster/index.ts';
import { isFeatureActive } from '../distribution/index.ts';
import type { ForwardingSpanClient } from '../kv/index.ts';
import type { GroupHost } from './group-host.ts';

export interface BackgroundServicesOptions extends Omit<BalancerOptions, 'groups'> {
  readonly host: GroupHost;
  readonly spans: ForwardingSpanClient;
  readonly incarnation: Buffer;
  readonly moves: Partial<MoveLimits>;
  readonly work: Partial<WorkTimes>;
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. */
export class BackgroundServices {
  readonly balancer: Balancer;
  private readonly runner: WorkRunner;
  private readonly activator: FeatureActivator;

  constructor(options: BackgroundServicesOptions) {
    const { host, spans, incarnation, nodeId, catalog, leader, clock, scheduler, random, onError } = options;
    const { forwardingPointerMs, sweepMs } = { ...DEFAULT_MOVE_LIMITS, ...options.moves };
    this.balancer = new Balancer({ ...options, groups: () => host.all().map(loadedGroup) });
    const forwardingPointers = forwardingPointerWork({
      catalog,
      spans,
      clock,
      forwardingPointerMs,
      sweepMs,
      onError: (_job, error) => onError(error),
    });
    this.runner = new WorkRunner({
      nodeId,
      incarnation,
      catalog,
      clock,
      scheduler,
      random,
      times: { lookMs: sweepMs / 2, ...options.work },
      units: () => [forwardingPointers],
      onError: (_unit, error) => onError(error),
    });
    this.activator = new FeatureActivator({ leader, scheduler, onError });
  }

  start(): void {
    this.balancer.start();
    this.runner.start();
    this.activator.start();
  }

  /** Settles when nothing of it is under way. */
  async stop(): Promise<void> {
    this.balancer.stop();
    await Promise.all([this.runner.stop(), this.activator.stop()]);
  }
}

const loadedGroup = ({ groupId, executor, raft, store }: ReturnType<GroupHost['all']>[number]): LoadedGroup => ({
  groupId,
  isServing: executor.isServing,
  status: () => raft.status(),
  bytes: async (start, end) => store.approximateBytes?.(start, end),
});

/** Whether moves may begin: their entries are read by every replica. */
export const mayMove = (features: Parameters<typeof isFeatureActive>[0] | undefined): boolean =>
  features !== undefined && isFeatureActive(features, 'ranges.move');
