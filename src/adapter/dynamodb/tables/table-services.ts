/** What the tables of a node stand on. */
import type { KvCluster, KvService, TransactionRunner } from '../../../kv/index.ts';
import type { Clock, Random, Scheduler } from '../../../platform/index.ts';

export interface TableServices {
  readonly kv: KvService;
  readonly cluster: KvCluster;
  readonly transactions: Pick<TransactionRunner, 'run'>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** Whether every node can read what this adapter stores. */
  readonly isActive: () => boolean;
  /** Hears of background work that failed and will be tried again. */
  readonly onBackgroundError: (error: unknown) => void;
}
