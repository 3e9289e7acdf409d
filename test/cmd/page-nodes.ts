/** The nodes of the runbooks: on free ports instead of those of the pages, in a folder of their own instead of the machine's. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import { type AdminCalls, AdminClient } from '../../src/adapter/grpc/index.ts';
import { connectOnce, temporaryFolder } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { RunbookShell, type RunbookShellOptions } from './runbooks.ts';

/** Of node 1 on the pages; the others count up. */
const PAGE_PORTS = { redis: 6379, grpc: 50_051, metrics: 9090 };
/** Folders of the pages, and what they are here. */
const FOLDERS = { '/var/lib/kvorum': '', '/etc/kvorum': 'etc', '/backup': 'backup' };
const READY_MS = 180_000;
const CALL_MS = 10_000;

export interface PageNodesOptions extends Pick<RunbookShellOptions, 'environmentOf'> {
  /** Highest number of a node. */
  readonly count: number;
  /** Default: a temporary one, which goes at the end. */
  readonly folder?: string;
}

/** See the top of the file. */
export class PageNodes {
  readonly shell: RunbookShell;
  readonly folder: string;
  private readonly first: number;
  private readonly count: number;
  private readonly isOwnFolder: boolean;
  private readonly clients: Redis[] = [];

  private constructor(first: number, { count, folder, environmentOf }: PageNodesOptions) {
    this.first = first;
    this.count = count;
    this.isOwnFolder = folder === undefined;
    this.folder = folder ?? temporaryFolder();
    for (const name of Object.values(FOLDERS)) mkdirSync(join(this.folder, name), { recursive: true });
    this.shell = new RunbookShell({
      folder: this.folder,
      substitute: (text) => this.substitute(text),
      ...(environmentOf === undefined ? {} : { environmentOf }),
    });
  }

  static async open(options: PageNodesOptions): Promise<PageNodes> {
    return new PageNodes(await freePortRange(3 * options.count), options);
  }

  redisPort(nodeId: number): number {
    return this.first + nodeId - 1;
  }

  grpcPort(nodeId: number): number {
    return this.first + this.count + nodeId - 1;
  }

  metricsPort(nodeId: number): number {
    return this.first + 2 * this.count + nodeId - 1;
  }

  /** A client that sends every command once at most; closed by `stop`. */
  client(nodeId: number): Redis {
    const client = connectOnce(this.redisPort(nodeId));
    this.clients.push(client);
    return client;
  }

  /** Settles when the node serves. */
  readonly ready = (nodeId: number): Promise<void> =>
    until(`node ${nodeId} is ready`, async () => (await this.probe(nodeId, 'readyz'))?.ok === true, READY_MS);

  /** Settles when the node listens: one that waits for others, or to be taken in, is not ready. */
  readonly listening = (nodeId: number): Promise<void> =>
    until(`node ${nodeId} listens`, async () => (await this.probe(nodeId, 'healthz')) !== undefined, READY_MS);

  /** One question to a node that asks nobody who he is. */
  async ask<Name extends keyof AdminCalls>(
    nodeId: number,
    name: Name,
    request: AdminCalls[Name][0],
  ): Promise<AdminCalls[Name][1]> {
    const client = new AdminClient(`127.0.0.1:${this.grpcPort(nodeId)}`);
    try {
      return await client.call(name, request, CALL_MS);
    } finally {
      client.close();
    }
  }

  /** Runs a runbook whose servers are a cluster only together, and waits for all of them. */
  async found(part: string, nodeIds: readonly number[]): Promise<void> {
    await this.shell.run(part, this.listening);
    await Promise.all(nodeIds.map(this.ready));
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.disconnect();
    await this.shell.stop();
    if (this.isOwnFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  private probe(nodeId: number, path: string): Promise<Response | undefined> {
    const url = `http://127.0.0.1:${this.metricsPort(nodeId)}/${path}`;
    return fetch(url, { signal: AbortSignal.timeout(1_000) }).catch(() => undefined);
  }

  private substitute(text: string): string {
    let own = text;
    for (const [place, name] of Object.entries(FOLDERS)) own = own.replaceAll(place, join(this.folder, name));
    for (let nodeId = 1; nodeId <= this.count; nodeId++) {
      for (const [from, to] of [
        [PAGE_PORTS.redis, this.redisPort(nodeId)],
        [PAGE_PORTS.grpc, this.grpcPort(nodeId)],
        [PAGE_PORTS.metrics, this.metricsPort(nodeId)],
      ] as const) {
        own = own.replace(new RegExp(`(?<=[: ])${from + nodeId - 1}\\b`, 'g'), String(to));
      }
    }
    return own;
  }
}
