/** One redis-server that makes every write durable before it answers: unreplicated, the upper end of what is possible. */
import { mkdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { runLoad } from '../../cmd/load/index.ts';
import { fillCluster } from '../fill.ts';
import type { Processes } from '../role-cpu.ts';
import { freePortRange, type Scratch } from '../scratch.ts';
import { type LoadFigures, type LoadSpec, type Peer, START_TIMEOUT_MS, VALUE_BYTES } from './peer.ts';
import { redisBenchmark } from './redis-benchmark.ts';

export class RedisPeer implements Peer {
  readonly name = 'redis';
  private readonly scratch: Scratch;
  /** Once it has started. */
  port = 0;
  private server: ReturnType<Scratch['serve']> | undefined;

  constructor(scratch: Scratch) {
    this.scratch = scratch;
  }

  async start(): Promise<void> {
    this.port = await freePortRange(1);
    const folder = this.scratch.newFolder('redis');
    mkdirSync(folder);
    const args = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      folder,
      '--save',
      '',
      '--daemonize',
      'no',
    ];
    this.server = this.scratch.serve('redis-server', [...args, '--appendonly', 'yes', '--appendfsync', 'always']);
    await waitForRedis(this.port);
  }

  load(spec: LoadSpec): Promise<LoadFigures> {
    return redisBenchmark(this.scratch, this.port, spec);
  }

  fill(keys: number): Promise<void> {
    return fillPort(this.port, keys);
  }

  processes(): readonly Processes[] {
    return this.server === undefined ? [] : [{ role: 'server', pids: [this.server.pid] }];
  }

  async stop(): Promise<void> {
    await this.server?.kill();
    this.server = undefined;
  }
}

/** Settles when a write succeeds on `127.0.0.1:port`. */
export async function waitForRedis(port: number): Promise<void> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  const probe = { connections: 1, pipeline: 1, requests: 1, maxSeconds: 5, valueBytes: 1, keys: 1 };
  for (;;) {
    const result = await runLoad({ ...probe, targets: [{ host: '127.0.0.1', port }], operation: 'set' }).catch(
      () => undefined,
    );
    if (result?.errors === 0 && result.operations === 1) return;
    if (Date.now() > deadlineMs)
      throw new Error(`nothing takes writes on port ${port} after ${START_TIMEOUT_MS / 1000} s`);
    await delay(50);
  }
}

/** Writes the keys that redis-benchmark draws from, through `127.0.0.1:port`. */
export async function fillPort(port: number, keys: number): Promise<void> {
  const options = { ports: [port], connections: 8, pipeline: 64, valueBytes: VALUE_BYTES, parts: 1, onPart: () => {} };
  await fillCluster({ ...options, keys });
}
