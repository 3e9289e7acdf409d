/** Three whole nodes of this process on loopback ports: the catalog's group has keys below h, group 2 those below p, group 3 the rest. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePortRange } from '../../../bench/scratch.ts';
import { AdminClient } from '../../../src/adapter/grpc/index.ts';
import { type RunningNode, startNode } from '../../../src/node.ts';
import { until } from '../../support/until.ts';

const NODES = [1, 2, 3];
const GROUPS = [
  { id: 1, preferredLeader: 1 },
  { id: 2, preferredLeader: 2, ranges: [{ start: 'kh', end: 'kp' }] },
  { id: 3, preferredLeader: 3, ranges: [{ start: 'kp', end: 'l' }] },
];

export class KvNodes {
  readonly endpoints: readonly string[];
  private readonly folder: string;
  private readonly ports: number;
  private readonly nodes = new Map<number, RunningNode>();

  private constructor(folder: string, ports: number) {
    this.folder = folder;
    this.ports = ports;
    this.endpoints = NODES.map((id) => `127.0.0.1:${ports + id}`);
  }

  static async start(): Promise<KvNodes> {
    const cluster = new KvNodes(mkdtempSync(join(tmpdir(), 'kvorum-keys-')), await freePortRange(4));
    await Promise.all(NODES.map((id) => cluster.startOne(id)));
    await until('every node is ready', () => [...cluster.nodes.values()].every((node) => node.readiness().ready));
    const admin = new AdminClient(cluster.endpoints[0]!);
    await until('ranges may move', () =>
      admin.call('ActivateFeature', { name: 'ranges.move' }, 5_000).then(
        () => true,
        () => false,
      ),
    ).finally(() => admin.close());
    return cluster;
  }

  async startOne(id: number): Promise<void> {
    const host = '127.0.0.1';
    const node = await startNode(
      {
        nodeId: id,
        locality: '',
        clusterName: 'keys',
        dataFolder: join(this.folder, `n${id}`),
        members: NODES.map((member) => ({ nodeId: member, address: this.endpoints[member - 1]! })),
        joins: false,
        groups: GROUPS,
        memoryBytes: 512 * 1024 * 1024,
        storeMemoryBytes: 64 * 1024 * 1024,
        redis: { host, port: 0 },
        grpc: { host, port: this.ports + id },
        metrics: { host, port: 0 },
        raft: { tickMs: 20, heartbeatMs: 100, electionTimeoutMs: 900 },
        retentionMs: 60_000,
        logLevel: 'silent',
      },
      'test',
    );
    this.nodes.set(id, node);
  }

  async stopOne(id: number): Promise<void> {
    await this.nodes.get(id)?.stop();
    this.nodes.delete(id);
  }

  /** Moves the range that a key is in, and waits until the other group serves it. */
  async move(key: string, toGroup: number): Promise<void> {
    const admin = new AdminClient(this.endpoints[0]!);
    try {
      const { id } = await admin.call('Move', { key: Buffer.from(`k${key}`), toGroup }, 10_000);
      await until('the move is done', async () => {
        const { jobs } = await admin.call('Jobs', { id, finishedLimit: 1 }, 5_000);
        // The source tidies up for a while after its range is served elsewhere.
        return jobs[0]?.phase === 'CLEANUP' || jobs[0]?.phase === 'DONE';
      });
    } finally {
      admin.close();
    }
  }

  /** Cuts the range that a key is in before the key. */
  async split(key: string): Promise<void> {
    const admin = new AdminClient(this.endpoints[0]!);
    await admin.call('Split', { key: Buffer.from(`k${key}`) }, 10_000).finally(() => admin.close());
  }

  async stop(): Promise<void> {
    await Promise.all([...this.nodes.keys()].map((id) => this.stopOne(id)));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
