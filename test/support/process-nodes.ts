/** A cluster of real processes for a test: free ports, a temporary folder, Redis clients that never retry by themselves. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import { type ClusterMember, type GroupView, LocalCluster, type LocalClusterOptions } from '../../cmd/cluster/index.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { clusterSettings, loadConfig, toClusterNodes } from '../../src/config/index.ts';
import { until } from './until.ts';

/** A loaded machine is slow; a wedged node is slower than this. */
export const READY_TIMEOUT_MS = 120_000;
/** Of a command at a node that is there: one that is not ends its connections, and one that finds no leader says so. */
const COMMAND_TIMEOUT_MS = 30_000;
/** `on` or `stacks`: nodes watch over their event loops, and what they say is shown. */
const WATCHED = process.env.KVORUM_LOOP_WATCH;
const TRANSFER_TIMEOUT_MS = 5000;

/** Flags that put a local cluster of `nodes` nodes on free ports and into a folder; DynamoDB clients are served where that is asked for. */
export async function clusterFlags(folder: string, hasDynamodb = false, nodes = 3): Promise<Record<string, unknown>> {
  const first = await freePortRange(4 * nodes);
  return {
    nodes,
    dataFolder: join(folder, 'data'),
    'redis.port': first,
    'redis.clusterPort': 'none',
    'dynamodb.port': hasDynamodb ? first + 3 * nodes : 'none',
    'grpc.port': first + nodes,
    'metrics.port': first + 2 * nodes,
  };
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'kvorum-process-'));

/** A client whose every command is sent at most once, so that its failure means "unknown". */
export function connectOnce(port: number, commandTimeoutMs = COMMAND_TIMEOUT_MS): Redis {
  const client = new Redis(port, '127.0.0.1', {
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: commandTimeoutMs,
    retryStrategy: () => 50,
  });
  client.on('error', () => {});
  return client;
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

export class ProcessNodes {
  readonly processes: LocalCluster;
  /** What the nodes wrote, for the message of a failing test. */
  readonly log: string[] = [];
  private readonly folder: string;
  private readonly clients: Redis[] = [];
  private members: ClusterMember[] = [];

  private constructor(folder: string, processes: LocalCluster, log: string[]) {
    this.folder = folder;
    this.processes = processes;
    this.log = log;
  }

  /**
   * @param settings beside ports and folders, by key; a cluster that is told something about DynamoDB serves its clients
   * @param script see `LocalClusterOptions.script`
   */
  static async start(
    settings: Readonly<Record<string, unknown>> = {},
    script: NonNullable<LocalClusterOptions['script']> = () => undefined,
  ): Promise<ProcessNodes> {
    const folder = temporaryFolder();
    const hasDynamodb = Object.keys(settings).some((key) => key.startsWith('dynamodb.'));
    const { values } = loadConfig(clusterSettings, {
      flags: {
        ...(await clusterFlags(folder, hasDynamodb)),
        ...(WATCHED === undefined ? {} : { loopWatch: WATCHED }),
        ...settings,
      },
      environment: {},
    });
    const log: string[] = [];
    const processes = new LocalCluster({
      nodes: toClusterNodes(values),
      script,
      onLine: (nodeId, line) => {
        log.push(`n${nodeId} | ${line}`);
        if (WATCHED !== undefined && line.includes('one turn took')) console.error(`n${nodeId} | ${line}`);
      },
    });
    const cluster = new ProcessNodes(folder, processes, log);
    processes.start();
    try {
      await cluster.ready();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get nodeIds(): number[] {
    return this.members.map((member) => member.nodeId);
  }

  /** Settles when every node knows a leader. */
  async ready(): Promise<void> {
    this.members = await this.processes.ready(READY_TIMEOUT_MS);
  }

  redisPort(nodeId: number): number {
    return portOf(this.member(nodeId).addresses.redis);
  }

  /** The port for clients that choose the node by the slot; nodes must have been started with one. */
  clusterPort(nodeId: number): number {
    return portOf(this.member(nodeId).addresses.redisCluster!);
  }

  /** The port for DynamoDB clients; nodes must have been started with one. */
  dynamodbPort(nodeId: number): number {
    return portOf(this.member(nodeId).addresses.dynamodb!);
  }

  grpcPort(nodeId: number): number {
    return portOf(this.member(nodeId).addresses.grpc);
  }

  metricsPort(nodeId: number): number {
    return portOf(this.member(nodeId).addresses.metrics);
  }

  /** A client of one node; closed by `stop`. @param commandTimeoutMs for commands that a busy machine takes long for */
  client(nodeId: number, commandTimeoutMs?: number): Redis {
    const client = connectOnce(this.redisPort(nodeId), commandTimeoutMs);
    this.clients.push(client);
    return client;
  }

  /** Of its process; undefined while it is down. */
  pid(nodeId: number): number | undefined {
    const process = this.processes.process(nodeId);
    return process?.exit === undefined ? process?.pid : undefined;
  }

  /** Ends a node as a power cut would. */
  async kill(nodeId: number): Promise<void> {
    const process = this.processes.process(nodeId)!;
    process.kill('SIGKILL');
    await process.waitExit();
  }

  /** Ends a node as its service manager would. */
  async shutDown(nodeId: number): Promise<void> {
    const process = this.processes.process(nodeId)!;
    process.kill('SIGTERM');
    assert.equal((await process.waitExit()).code, 0, `node ${nodeId} did not stop cleanly`);
  }

  /** Where a node keeps its data. */
  dataFolder(nodeId: number): string {
    return this.member(nodeId).dataFolder;
  }

  /** Starts a killed node again. */
  revive(nodeId: number): void {
    this.processes.revive(nodeId);
  }

  /** The leader of the last group: data is there. */
  async leader(): Promise<number> {
    await this.ready();
    return this.members[0]!.groups.at(-1)!.leader!;
  }

  /** The highest term of the last group: it rises with every election. */
  async term(): Promise<number> {
    await this.ready();
    return Math.max(...this.members.map((member) => member.groups.at(-1)!.term));
  }

  /** Has every group handed over to a node. @throws when it does not work out */
  async makeLead(nodeId: number): Promise<void> {
    const admin = new AdminClient(this.member(nodeId).addresses.grpc);
    try {
      await until(`node ${nodeId} leads all groups`, async () => {
        await this.ready();
        const elsewhere = this.members[0]!.groups.filter((group) => group.leader !== nodeId);
        const handOver = ({ groupId }: GroupView): Promise<unknown> =>
          admin.call('TransferLeader', { groupId, to: nodeId }, TRANSFER_TIMEOUT_MS);
        // One that is refused, because an election came in between, is asked for again.
        await Promise.allSettled(elsewhere.map(handOver));
        return elsewhere.length === 0;
      });
    } finally {
      admin.close();
    }
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.disconnect();
    await this.processes.stop(10_000);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private member(nodeId: number): ClusterMember {
    return this.members.find((member) => member.nodeId === nodeId)!;
  }
}
