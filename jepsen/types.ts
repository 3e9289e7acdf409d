/**
 * The five ideas of a fault test, kept apart: a workload says what clients do and how to judge it, a client does one
 * operation, a nemesis breaks things, a generator decides when, a checker judges. The cluster is what they act upon.
 */
import type { Redis } from 'ioredis';
import type { Random } from '../src/platform/index.ts';
import type { Checker } from './history.ts';

/** How nodes are kept apart: through proxies between them, or in network namespaces of their own. */
export const ISOLATIONS = ['proxies', 'namespaces'] as const;
export type IsolationName = (typeof ISOLATIONS)[number];

export type NodeNumber = number;

/** That of this tree, or a release. */
export type NodeProgram = 'present' | 'released';

/** Faults that a disk can be given: refuse to grow, or fail to make stable. */
export type DiskFault = 'full' | 'syncError';

/** How one direction between two nodes behaves. */
export interface LinkFault {
  /** Nothing passes; what was sent waits, as TCP would hold it. */
  readonly cut?: boolean;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Chance that a burst is held for a retransmission timeout, which is what loss looks like above TCP. */
  readonly lossRate?: number;
}

/** Where a node's clients connect to. */
export interface ClientAddress {
  readonly host: string;
  readonly port: number;
}

/** A running cluster of real processes, with everything that can be done to it. */
export interface TestCluster {
  readonly nodes: readonly NodeNumber[];
  redisAddress(node: NodeNumber): ClientAddress;
  /** Only where the cluster was started to serve clients of DynamoDB. */
  dynamodbAddress(node: NodeNumber): ClientAddress;
  /** Where the node takes operators' orders, `host:port`. */
  adminAddress(node: NodeNumber): string;
  isRunning(node: NodeNumber): boolean;
  /** kill -9. */
  kill(node: NodeNumber): Promise<void>;
  /** Ends a node as its service manager does; settles when it has ended. */
  shutDown(node: NodeNumber): Promise<void>;
  start(node: NodeNumber): Promise<void>;
  /** kill -9, its data folder is lost, and it comes back as a node that joins. */
  empty(node: NodeNumber): Promise<void>;
  /** Where the other nodes reach it, `host:port`. */
  peerAddress(node: NodeNumber): string;
  /** Which program a node is started with: that of this tree, or the release that the cluster began with. */
  programOf(node: NodeNumber): NodeProgram;
  /** Takes effect at the next start. */
  setProgram(node: NodeNumber, program: NodeProgram): void;
  /** A folder that all nodes reach, for backups. */
  readonly backupFolder: string;
  /** Asks a node to hand what it leads to another one. @throws what the node answers, also that it leads nothing */
  handOver(node: NodeNumber): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause(node: NodeNumber): void;
  resume(node: NodeNumber): void;
  /** Sets how bytes travel from one node to another; replaces an earlier fault of that direction. */
  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void;
  healLinks(): void;
  /** Shifts a node's wall clock by this many milliseconds against the machine's; takes effect while it runs. */
  setClockOffset(node: NodeNumber, offsetMs: number): void;
  setDiskFault(node: NodeNumber, fault: DiskFault | undefined): void;
  /** The node that leads the first data group according to most nodes; undefined while there is none. */
  leader(): Promise<NodeNumber | undefined>;
  /** Something is wrong, whatever clients saw. */
  found(problem: string): void;
  /** What was found, and nodes that ended although nobody killed them and their disk was sound, with what they said last. */
  findings(): readonly string[];
  /** Settles when every running node reports itself ready. @throws when that takes longer than `timeoutMs` */
  ready(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** What a workload asks a client to do. */
export interface Invocation {
  readonly f: string;
  readonly value: unknown;
}

export interface WorkloadContext {
  /** Of the client, from 0; one keeps it when its process number changes. */
  readonly worker: number;
  readonly random: Random;
  /** Counts up over the whole run: a source of unique values. */
  nextId(): number;
}

/** One kind of client behaviour and how to judge it, for clients of one protocol. */
export interface Workload<Client = Redis> {
  readonly name: string;
  readonly description: string;
  readonly checker: Checker;
  /** Prepares shared state once, before any fault. */
  setup?(client: Client): Promise<void>;
  /** The next operation of a client. */
  generate(context: WorkloadContext): Invocation;
  /** What every client does once after all faults are healed, in order. */
  readonly finalOperations?: readonly Invocation[];
  /** True when an operation cannot have changed anything, so that an unknown outcome is simply a failure. */
  isReadOnly(f: string): boolean;
  /** Does it. Resolves with the completion's value; rejects with the client's error. */
  execute(client: Client, invocation: Invocation): Promise<unknown>;
}

/** One kind of fault. */
export interface Nemesis {
  readonly name: string;
  readonly description: string;
  /** The cluster begins with this release on every node; left out: with this program. */
  readonly beginsWithRelease?: string;
  /** Breaks something; returns what, for the history. */
  inject(cluster: TestCluster, random: Random): Promise<unknown>;
  /** Undoes it; returns what there is to say, for the history. Called after every `inject`, also at the end. */
  heal(cluster: TestCluster): Promise<unknown>;
}

export interface RunOptions {
  readonly workload: string;
  readonly nemeses: readonly string[];
  readonly seconds: number;
  readonly seed: number;
  readonly nodes: number;
  readonly concurrency: number;
  /** Operations a second over all clients. */
  readonly rate: number;
  /** How long each fault lasts; undefined draws a few seconds. */
  readonly faultSeconds: number | undefined;
  /** Faults in force at once. */
  readonly overlap: number;
  /** Name of a mutant to run instead of the real thing. */
  readonly mutant: string | undefined;
  /** Data groups beside the catalog's; 0 is one group for everything. */
  readonly groups: number;
  /** How nodes are kept apart. */
  readonly isolation: IsolationName;
  /** Folder that run folders are made in. */
  readonly archive: string;
}
