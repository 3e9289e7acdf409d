/** Three kvorum nodes in processes of their own, started the way `kvorum cluster` starts them. */
import { Redis } from 'ioredis';
import type { ClusterMember } from '../../cmd/cluster/index.ts';
import { runLoad } from '../../cmd/load/index.ts';
import { type LocalNodes, portOf, startLocalNodes } from '../local-nodes.ts';
import type { Processes } from '../role-cpu.ts';
import type { Scratch } from '../scratch.ts';
import { measureFailover, type Survivor, WRITERS_PER_SURVIVOR } from './failover.ts';
import { type LoadFigures, type LoadSpec, MANY_KEYS, type ReplicatedPeer, VALUE_BYTES } from './peer.ts';
import { fillPort, waitForRedis } from './redis.ts';
import { redisBenchmark } from './redis-benchmark.ts';

const NODES = 3;
/** A write that hangs longer counts as failed and is sent again. */
const PROBE_TIMEOUT_MS = 5000;

export class KvorumPeer implements ReplicatedPeer {
  readonly name = 'kvorum';
  private readonly scratch: Scratch;
  private readonly script: string | undefined;
  private nodes: LocalNodes | undefined;
  private members: ClusterMember[] = [];

  /** @param script of another build, see `LocalClusterOptions.script` */
  constructor(scratch: Scratch, script?: string) {
    this.scratch = scratch;
    this.script = script;
  }

  async start(): Promise<void> {
    // One group holds all keys: what one leader can do is the question.
    this.nodes = await startLocalNodes(this.scratch, { nodes: NODES, groups: 0, script: this.script });
    this.members = await this.nodes.members();
    await waitForRedis(this.leaderPort());
  }

  /** Through the leader, as etcd is measured too: a follower adds a hop. */
  load(spec: LoadSpec): Promise<LoadFigures> {
    return redisBenchmark(this.scratch, this.leaderPort(), spec);
  }

  fill(keys: number): Promise<void> {
    return fillPort(this.leaderPort(), keys);
  }

  processes(): readonly Processes[] {
    const [leader, ...followers] = this.pids();
    return [
      { role: 'leader', pids: [leader!] },
      { role: 'follower', pids: followers },
    ];
  }

  /** The same load through a node that has to forward every command. */
  loadThroughFollower(spec: LoadSpec): Promise<LoadFigures> {
    return redisBenchmark(this.scratch, portOf(this.followers()[0]!.addresses.redis), spec);
  }

  /** One client that sends a SET when the one before was answered. */
  async sequentialSet(seconds: number): Promise<LoadFigures> {
    const elu = performance.eventLoopUtilization();
    const result = await runLoad({
      targets: [{ host: '127.0.0.1', port: this.leaderPort() }],
      operation: 'set',
      connections: 1,
      pipeline: 1,
      requests: Number.MAX_SAFE_INTEGER,
      maxSeconds: seconds,
      valueBytes: VALUE_BYTES,
      keys: MANY_KEYS,
    });
    if (result.errors > 0) throw new Error(`kvorum refused a SET: ${result.firstError}`);
    return {
      perSecond: result.operationsPerSecond,
      p50Ms: result.latencyMs.p50,
      p99Ms: result.latencyMs.p99,
      commands: result.operations,
      clientBusy: performance.eventLoopUtilization(elu).utilization,
    };
  }

  async failover(): Promise<number> {
    const leader = this.leader();
    const clients: Redis[] = [];
    const connect = (member: ClusterMember): Redis => {
      const client = new Redis(portOf(member.addresses.redis), '127.0.0.1', {
        maxRetriesPerRequest: 0,
        commandTimeout: PROBE_TIMEOUT_MS,
      });
      client.on('error', () => {});
      clients.push(client);
      return client;
    };
    let serial = 0;
    const writeWith = async (client: Redis): Promise<void> => {
      await client.set(`failover:${++serial % 1000}`, 'x'.repeat(VALUE_BYTES));
    };
    const survivors = this.followers().map((member): Survivor => {
      // Redis answers a connection's commands in order, so every writer and every probe has its own.
      const writers = Array.from({ length: WRITERS_PER_SURVIVOR }, () => connect(member));
      let turn = 0;
      return {
        write: () => writeWith(writers[turn++ % writers.length]!),
        probe: () => writeWith(connect(member)),
      };
    });
    try {
      return await measureFailover(survivors, async () => {
        const process = this.nodes!.cluster.process(leader.nodeId)!;
        process.kill('SIGKILL');
        await process.waitExit();
      });
    } finally {
      for (const client of clients) client.disconnect();
    }
  }

  async stop(): Promise<void> {
    await this.nodes?.stop();
    this.nodes = undefined;
  }

  /** Where nodes take commands: the leader of all keys first. */
  nodePorts(): [number, number, number] {
    const [second, third] = this.followers();
    const port = ({ addresses }: ClusterMember): number => portOf(addresses.redis);
    return [port(this.leader()), port(second!), port(third!)];
  }

  /** Processes of the nodes: the leader of all keys first. */
  pids(): number[] {
    return [this.leader(), ...this.followers()].map(({ pid }) => pid);
  }

  private leader(): ClusterMember {
    const leaderId = this.members[0]!.groups.at(-1)!.leader;
    return this.members.find((member) => member.nodeId === leaderId)!;
  }

  private followers(): ClusterMember[] {
    const leader = this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** Where the leader of all keys takes commands. */
  leaderPort(): number {
    return portOf(this.leader().addresses.redis);
  }
}
