/** The services for keys on one node: RawKV, TransactionalKV, and what other nodes forward to the leaders here. */
import type grpc from '@grpc/grpc-js';
import {
  ConsistentReads,
  type GroupRouterOptions,
  KvCluster,
  type ReplicaReads,
  serveKeys,
  type Transactions,
} from '../../../kv/index.ts';
import { OpenStreams } from '../calls.ts';
import { rawKvDefinition, transactionalKvDefinition } from '../definition.ts';
import { rawKvHandlers } from './raw-service.ts';
import { type SessionLimits, TransactionSessions } from './sessions.ts';
import { transactionalKvHandlers } from './txn-service.ts';

export interface KeyServicesOptions extends GroupRouterOptions {
  /** Left out: steps of one group are all that there is. */
  readonly transactions?: Transactions | undefined;
  readonly sessions?: Partial<SessionLimits>;
  /** Reads that replicas of this node may answer; left out, all reads are linearizable. */
  readonly reads?: ReplicaReads | undefined;
}

/** The services for keys of one node. */
export interface KeyServices {
  /** Adds the services; before or after the server is bound. Reflection describes them with everything else. */
  addTo(server: Pick<grpc.Server, 'addService'>): void;
  /** Ends streams and gives up transactions that are under way; call before the server shuts down. */
  close(): Promise<void>;
}

/** Makes the services, and starts to answer what other nodes forward. Once a node. */
export function createKeyServices(options: KeyServicesOptions): KeyServices {
  const cluster = new KvCluster(options);
  const reads = options.reads === undefined ? undefined : new ConsistentReads(options.reads, cluster, options.random);
  const scans = new OpenStreams();
  const sessions = new TransactionSessions(options.kv.nodeId, options.scheduler, options.sessions);
  serveKeys(options.kv);
  return {
    addTo(server) {
      server.addService(rawKvDefinition(), rawKvHandlers(cluster, scans, reads));
      const parts = { cluster, transactions: options.transactions, sessions, scans, reads };
      server.addService(transactionalKvDefinition(), transactionalKvHandlers(parts));
    },
    async close() {
      scans.close();
      await sessions.close();
    },
  };
}
