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
  /** The port that it listens on; undefined when it does not. */
  readonly port: number | undefined;
  /** What the port did since the start; undefined when there is none. */
  counters(): PortCounters | undefined;
  /** Takes no more connections, lets answers under way leave, ends the work behind. */
  stop(): Promise<void>;
}

/** Starts what a node does for tables, and to serve DynamoDB clients. @throws the listen error (EADDRINUSE, EACCES, ...) */
export async function startDynamoServer(options: DynamoServerOptions): Promise<DynamoServer> {
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
  const port = listen === undefined ? undefined : await openPort(options, listen, tables, cluster, gate);
  tables.start();
  upkeep.start();
  return {
    port: port?.bound,
    counters: () => port?.counters(),
    stop: async () => {
      await port?.stop();
      await Promise.all([tables.stop(), upkeep.stop()]);
    },
  };
}

interface OpenPort {
  readonly bound: number;
  counters(): PortCounters;
  stop(): Promise<void>;
}

async function openPort(
  { clock, scheduler, random, logger }: DynamoServerOptions,
  { host, port, tls, credentials, region, accountId, memoryBytes }: DynamoPortOptions,
  { operations, lookUp, directory, store }: TablesAndItems,
  cluster: KvCluster,
  gate: FeatureGate,
): Promise<OpenPort> {
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
  const bound = await http.listen();
  return { bound, counters: () => exchanges.counters.snapshot(http.openConnections), stop: () => http.stop() };
}

/** A random UUID, version 4. */
function uuidOf(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
