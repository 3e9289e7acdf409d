/** A cluster with much data, and what its nodes take: memory all the time, disk, processor time and files when asked. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { ClusterMember } from '../../cmd/cluster/index.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { type LocalNodes, portOf, startLocalNodes } from '../local-nodes.ts';
import { memoryOf, type ProcessMemory, usedBytes } from '../node-use.ts';
import type { Scratch } from '../scratch.ts';
import { type ThreadClock, threadClock } from '../thread-cpu.ts';

export const NODES = 3;
const MEMORY_LOOK_MS = 500;
const CALL_TIMEOUT_MS = 30_000;
const LOOK_MS = 1_000;
const RETRY_MS = 20;

/** Of one node. */
export interface DiskUse {
  /** Everything but the log. */
  readonly dataBytes: number;
  readonly logBytes: number;
}

/** Of all nodes, since they began. */
export interface CompactionUse {
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Table files by level. */
  readonly files: ReadonlyMap<number, number>;
}

/** See the top of the file. */
export class WatchedCluster {
  readonly nodes: LocalNodes;
  readonly members: readonly ClusterMember[];
  private readonly timer: NodeJS.Timeout;
  private peaks: ProcessMemory[] = [];

  private constructor(nodes: LocalNodes, members: readonly ClusterMember[]) {
    this.nodes = nodes;
    this.members = members;
    this.timer = setInterval(() => this.look(), MEMORY_LOOK_MS);
  }

  static async start(
    scratch: Scratch,
    groups: number,
    flags: Readonly<Record<string, unknown>>,
  ): Promise<WatchedCluster> {
    const nodes = await startLocalNodes(scratch, { nodes: NODES, groups, flags });
    const cluster = new WatchedCluster(nodes, await nodes.members());
    scratch.own(async () => clearInterval(cluster.timer));
    return cluster;
  }

  get ports(): number[] {
    return this.members.map(({ addresses }) => portOf(addresses.redis));
  }

  /** In the order of `members`; 0 of a node that is down. */
  get pids(): number[] {
    return this.members.map(({ nodeId }) => this.nodes.cluster.process(nodeId)?.pid ?? 0);
  }

  private look(): void {
    this.pids.forEach((pid, at) => {
      const now = memoryOf(pid);
      const { ownBytes = 0, mappedBytes = 0 } = this.peaks[at] ?? {};
      this.peaks[at] = {
        ownBytes: Math.max(ownBytes, now.ownBytes),
        mappedBytes: Math.max(mappedBytes, now.mappedBytes),
      };
    });
  }

  /** The most that each node took since this was asked last. */
  takeMemoryPeaks(): readonly ProcessMemory[] {
    this.look();
    const { peaks } = this;
    this.peaks = [];
    return peaks;
  }

  /** Of each node. */
  diskUse(): DiskUse[] {
    return this.members.map(({ dataFolder }) => {
      const logBytes = usedBytes(join(dataFolder, 'log'));
      return { dataBytes: usedBytes(dataFolder) - logBytes, logBytes };
    });
  }

  threadClocks(): ThreadClock[] {
    return this.pids.map(threadClock);
  }

  async compactions(): Promise<CompactionUse> {
    const files = new Map<number, number>();
    const bytes = { read: 0, written: 0 };
    for (const { addresses } of this.members) {
      const text = await (await fetch(`http://${addresses.metrics}/metrics`)).text();
      for (const [, direction, value] of text.matchAll(
        /^kvorum_store_compaction_bytes_total\{direction="(read|written)"\} (\S+)/gm,
      ))
        bytes[direction as 'read' | 'written'] += Number(value);
      for (const [, level, value] of text.matchAll(/^kvorum_store_files\{level="(\d+)"\} (\S+)/gm))
        files.set(Number(level), (files.get(Number(level)) ?? 0) + Number(value));
    }
    return { readBytes: bytes.read, writtenBytes: bytes.written, files };
  }

  client(at = 0): Redis {
    const client = new Redis(this.ports[at]!, '127.0.0.1', {
      retryStrategy: () => RETRY_MS,
      maxRetriesPerRequest: null,
    });
    client.on('error', () => {});
    return client;
  }

  /** Asks the administration of one node. */
  async ask<T>(question: (admin: AdminClient) => Promise<T>, at = 0): Promise<T> {
    const admin = new AdminClient(this.members[at]!.addresses.grpc);
    try {
      return await question(admin);
    } finally {
      admin.close();
    }
  }

  /**
   * Settles when every store has been collected up to a moment, and its files stay as they are.
   * @param sinceMs unix milliseconds
   * @returns false when that took too long
   */
  async untilCollected(sinceMs: number, deadlineMs: number): Promise<boolean> {
    const isCollected = async (): Promise<boolean> => {
      const { nodes } = await this.ask((admin) => admin.call('Gc', {}, CALL_TIMEOUT_MS));
      const stores = nodes.flatMap((node) => node.stores);
      return stores.length > 0 && stores.every(({ collectedMs }) => Number(collectedMs) >= sinceMs);
    };
    while (!(await isCollected())) {
      if (performance.now() > deadlineMs) return false;
      await delay(LOOK_MS);
    }
    return this.untilSettled(deadlineMs);
  }

  /** Settles when disks have stayed as they are for a while; false when that took too long. */
  async untilSettled(deadlineMs: number): Promise<boolean> {
    const written = async (): Promise<number> => (await this.compactions()).writtenBytes;
    let lastBytes = -1;
    for (let calm = 0; calm < CALM_LOOKS; ) {
      if (performance.now() > deadlineMs) return false;
      await delay(SETTLE_LOOK_MS);
      const bytes = await written();
      calm = bytes === lastBytes ? calm + 1 : 0;
      lastBytes = bytes;
    }
    return true;
  }
}

const SETTLE_LOOK_MS = 3_000;
/** More than the rest between two compactions of a group. */
const CALM_LOOKS = 5;
