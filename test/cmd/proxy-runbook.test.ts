import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { freePortRange } from '../../bench/scratch.ts';
import type { ProxyReport } from '../../cmd/proxy/index.ts';
import { startReference, type Target } from '../compat/targets.ts';
import { connectOnce, ProcessNodes, temporaryFolder } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { everything } from './proxy/bed.ts';
import { PROXY, RunbookShell } from './runbooks.ts';

/** Ports of the page. */
const PAGE = { redis: 6379, proxy: 6390, admin: 9380 };
const WRITERS = 3;
/** Between two rounds of writes of a client: the machine has more to do than to take writes. */
const PACE_MS = 50;
/** Clients write no more while the second side is so many commands behind: this is not about how fast it is. */
const MOST_BEHIND = 50;

/** Clients that write all the time what can be counted, keys of their own and shared ones. */
class Writers {
  /** Of each client: increments that were answered, and all. */
  readonly answered: number[] = [];
  readonly sent: number[] = [];
  private readonly clients: Redis[];
  private readonly loops: Promise<void>[];
  private isOver = false;
  private readonly behind: () => Promise<number>;

  /** @param behind commands that the second side has not answered */
  constructor(port: number, behind: () => Promise<number>) {
    this.behind = behind;
    this.clients = Array.from({ length: WRITERS + 1 }, () => connectOnce(port));
    this.loops = this.clients.slice(1).map((client, at) => this.write(client, at));
    this.loops.push(this.work(this.clients[0]!));
  }

  private async write(client: Redis, at: number): Promise<void> {
    this.answered[at] = 0;
    this.sent[at] = 0;
    while (!this.isOver) {
      const serial = this.sent[at]!++;
      try {
        await client.incr(`own:${at}`);
        this.answered[at]! += 1;
        await client.incr('shared');
        await client.hset('hash', `field:${serial % 50}`, `${at} ${serial}`);
        await client.rpush('list', `${at} ${serial}`);
        await client.ltrim('list', -20, -1);
        await client.lpush('queue', `${at} ${serial}`);
        await client.sadd('set', serial % 40, `${at}:${serial % 30}`);
        await client.spop('set');
        await client.zadd('zset', serial, `member:${serial % 60}`);
        await client.xadd('stream', 'MAXLEN', '50', '*', 'field', `${at} ${serial}`);
        await client.setex(`expires:${serial % 20}`, 100_000, serial);
        await client.multi().incr('transactions').append(`text:${at}`, 'x').setrange(`text:${at}`, 20, '').exec();
        await client.eval("return redis.call('INCR', KEYS[1])", 1, 'scripted');
        do await delay(PACE_MS);
        while (!this.isOver && (await this.behind()) > MOST_BEHIND);
      } catch {
        // The proxy has ended the connection because another side answers: the client comes again.
      }
    }
  }

  private async work(client: Redis): Promise<void> {
    while (!this.isOver) await client.brpop('queue', 1).catch(() => undefined);
  }

  /** Settles when it goes on: every client was answered a command that began after the call. */
  async flow(): Promise<void> {
    const before = [...this.answered];
    await until('clients write on', () => this.answered.every((count, at) => count > before[at]! + 2));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.loops);
    for (const client of this.clients) client.disconnect();
  }
}

describe('the way from Redis and back, word for word', {
  skip: skipWithout('bash') || skipWithout('redis-server'),
}, () => {
  const folder = temporaryFolder();
  let [proxyPort, adminPort] = [0, 0];
  let redis: Target;
  let nodes: ProcessNodes;
  let shell: RunbookShell;

  const report = async (): Promise<ProxyReport> => {
    const response = await fetch(`http://127.0.0.1:${adminPort}/report`);
    return (await response.json()) as ProxyReport;
  };
  const listens = (): Promise<void> =>
    until('the proxy listens', () =>
      fetch(`http://127.0.0.1:${adminPort}/report`).then(
        () => true,
        () => false,
      ),
    );

  before(async () => {
    [redis, nodes, proxyPort] = await Promise.all([
      startReference('--repl-diskless-sync-delay', '0', '--repl-backlog-size', '64mb'),
      ProcessNodes.start(),
      freePortRange(2),
    ]);
    adminPort = proxyPort + 1;
    const ports = new Map<number, number>([
      [PAGE.proxy, proxyPort],
      [PAGE.admin, adminPort],
      ...[0, 1, 2].map((node): [number, number] => [PAGE.redis + node, nodes.redisPort(node + 1)]),
    ]);
    const substitute = (text: string): string => {
      const own = text.replaceAll('/var/lib/kvorum', folder).replaceAll('old.example:6379', `127.0.0.1:${redis.port}`);
      return own.replace(/(?<=127\.0\.0\.1:)\d+\b/g, (port) => String(ports.get(Number(port)) ?? port));
    };
    shell = new RunbookShell({ folder, substitute });
  });
  after(async () => {
    await shell?.stop();
    await Promise.all([nodes?.stop(), redis?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  test('goes through every mode under clients that write, and leaves both sides the same', async () => {
    const kvorum: Target = { host: '127.0.0.1', port: nodes.redisPort(2), stop: async () => {} };
    await shell.run('proxy', listens);
    const writers = new Writers(proxyPort, async () => (await report()).behind);
    const step = async (part: string, mode: string): Promise<void> => {
      await shell.run(part, listens);
      assert.equal((await report()).mode, mode, shell.transcript.join('\n'));
      await writers.flow();
    };
    try {
      await writers.flow();
      await step('copy', 'redis-only');
      await step('both', 'dual-write-shadow');
      await step('compare', 'dual-write');
      await step('all the way back', 'redis-only');
      await step('again', 'redis-only');
      await step('both', 'dual-write-shadow');
      await step('cut over', 'kvorum-primary');
      await step('back', 'dual-write');
      await step('cut over', 'kvorum-primary');
    } finally {
      await writers.stop();
    }
    await until('the old server has every write', async () => (await report()).behind === 0);
    const { dropped, lost, hasUnnamed } = await report();
    const values = await everything(kvorum);
    assert.deepEqual(values, await everything(redis), shell.transcript.join('\n'));
    assert.deepEqual([dropped, lost, hasUnnamed], [0, 0, false]);
    for (const [at, answered] of writers.answered.entries()) {
      const value = Number(values.find((line) => line!.startsWith(`own:${at} `))?.split(' ')[1]);
      assert.ok(value >= answered && value <= writers.sent[at]!, `client ${at}: ${value}, answered ${answered}`);
    }
    await shell.run('end', listens);
    assert.equal((await report()).mode, 'kvorum-only');
    await shell.end(PROXY, 'SIGTERM');
    assert.ok(!shell.isRunning(PROXY));
  });
});
