/** What a node does for DynamoDB tables, and the port that clients come in by. */
import type { FeatureStanding } from '../../../distribution/index.ts';
import {
  ConsistentReads,
  KvCluster,
  type KvService,
  type ReplicaReads,
  type TransactionRunner,
} from '../../../kv/index.ts';
import type { Clock, Random, Scheduler } from '../../../platform/index.ts';
import type { TlsPort, TlsPortLogger } from '../../../security/index.ts';
import { createTablesAndItems, type TablesAndItems } from '../items/index.ts';
import { operationTable } from '../operations/index.ts';
import { statementOperations } from '../statements/index.ts';
import { streamOperations } from '../streams/index.ts';
import { TableUpkeep } from '../upkeep/index.ts';
import {
  type Credentials,
  type ExchangeLogger,
  Exchanges,
  HttpPort,
  MemoryBudget,
  type PortCounters,
} from '../wire/index.ts';
import { FeatureGate } from './feature-gate.ts';

/** Of a node's memory for bodies on their way in and out. */
const BODY_MEMORY_SHARE = 1 / 16;

/** Where clients come in. */
export interface DynamoPortOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Undefined: plain text. */
  readonly tls: TlsPort | undefined;
  /** Undefined asks nobody for a signature. */
  readonly credentials: Credentials | undefined;
  /** Of ARNs; undefined takes that of each request. */
  readonly region: string | undefined;
  readonly accountId: string;
  /** Of the whole node. */
  readonly memoryBytes: number;
}

export interface DynamoServerOptions {
  readonly kv: KvService;
  readonly transactions: TransactionRunner;
  readonly reads: ReplicaReads;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly logger: (TlsPortLogger & ExchangeLogger) | undefined;
  /** Undefined: no clients come in here. The node does all the same what falls to those who lead groups. */
  readonly listen: DynamoPortOptions | undefined;
  /** How the feature of the cluster stands that this adapter needs, as this node knows. */
  readonly feature: () => FeatureStanding;
  /** Hears of background work that failed and will be tried again. */
  readonly onBackgroundError: (error: unknown) => void;
}

export interface DynamoServer {
  /** The port that it listens on; undefined when it does not, or not yet. */
  readonly port: number | undefined;
  /** Takes clients from now on, if there are to be any; once. @throws the listen error (EADDRINUSE, EACCES, ...) */
  listen(): Promise<void>;
  /** What the port did since the start; undefined when there is none. */
  counters(): PortCounters | undefined;
  /** Takes no more connections, lets answers under way leave, begins no more work behind: what is under way ends when the key-value layer is closed. */
  stop(): Promise<void>;
}

/** Starts what a node does for tables, and to serve DynamoDB clients when it is told to listen. */
export function openDynamoServer(options: DynamoServerOptions): DynamoServer {
  const { clock, scheduler, random, listen } = options;
  const gate = new FeatureGate(options.feature, clock, scheduler);
  const cluster = new KvCluster(options);
  const tables = createTablesAndItems({
    ...options,
    cluster,
    isActive: () => gate.isActive,
    reads: new ConsistentReads(options.reads, cluster, random),
    newTableId: () => uuidOf(random),
  });
  const upkeep = new TableUpkeep(tables.store, tables.catalog);
  const port = listen === undefined ? undefined : makePort(options, listen, tables, cluster, gate);
  let bound: number | undefined;
  tables.start();
  upkeep.start();
  return {
    get port() {
      return bound;
    },
    listen: async () => {
      bound = await port?.listen();
    },
    counters: () => port?.counters(),
    stop: async () => {
      // Not waited for: what they have asked of groups whose other replicas are gone is answered when the node itself refuses it, which is behind this.
      void tables.stop();
      void upkeep.stop();
      await port?.stop();
    },
  };
}

interface DynamoPort {
  /** @returns the port that was bound */
  listen(): Promise<number>;
  counters(): PortCounters;
  stop(): Promise<void>;
}

function makePort(
  { clock, scheduler, random, logger }: DynamoServerOptions,
  { host, port, tls, credentials, region, accountId, memoryBytes }: DynamoPortOptions,
  { operations, lookUp, directory, store }: TablesAndItems,
  cluster: KvCluster,
  gate: FeatureGate,
): DynamoPort {
  const exchanges = new Exchanges({
    operations: operationTable(lookUp, [
      ...operations,
      ...statementOperations(store),
      ...streamOperations({ cluster, directory, clock }),
    ]),
    ...{ credentials, region, accountId, gate, clock, random, logger },
    budget: new MemoryBudget(memoryBytes * BODY_MEMORY_SHARE),
  });
  const http = new HttpPort({ host, port, tls, clock, scheduler, logger, exchanges });
  return {
    listen: () => http.listen(),
    counters: () => exchanges.counters.snapshot(http.openConnections),
    stop: () => http.stop(),
  };
}

/** A random UUID, version 4. */
function uuidOf(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
