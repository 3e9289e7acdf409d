/**
 * Clients of Redis Cluster on the second ports of real nodes: they find out who leads what, and see nothing but MOVED of a range that moves and of a
 * leader that is killed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { createCluster, ErrorReply } from 'redis';
import { freePortRange } from '../../bench/scratch.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { slotOf } from '../../src/adapter/redis/index.ts';
import { RespConnection } from '../compat/resp-connection.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { DEBIAN_PYTHON, skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';

const NODE_IDS = [1, 2, 3] as const;
const PYTHON_CLIENT = fileURLToPath(new URL('./cluster-clients.py', import.meta.url));
const WORKERS = 3;
/** Between two rounds of a worker: the machine has nodes to start, and a client without rest leaves it no time for that. */
const REST_MS = 10;
const CALL_TIMEOUT_MS = 10_000;

/** Somebody who writes and reads all the time. */
interface Busy {
  readonly name: string;
  /** Rounds that are done. */
  rounds(): number;
  readonly failures: readonly string[];
  stop(): Promise<void>;
}

/** A client that writes keys of its own and reads them back, several at a time. */
function busy(
  name: string,
  client: { set(key: string, value: string): Promise<unknown>; get(key: string): Promise<unknown> },
  close: () => void,
): Busy {
  const failures: string[] = [];
  let [rounds, isOver] = [0, false];
  const work = async (worker: number): Promise<void> => {
    for (let number = 0; !isOver; number++) {
      const key = `${name}-${worker}-${number % 50}`;
      try {
        await client.set(key, `${number}`);
        const found = await client.get(key);
        if (found !== `${number}`) failures.push(`${key} is ${found}, not ${number}`);
        rounds++;
      } catch (error) {
        // node-redis leaves it to its users to repeat what was under way on a connection that broke.
        if (error instanceof ErrorReply || name !== 'node-redis') failures.push(`${name}: ${(error as Error).message}`);
      }
      await delay(REST_MS);
    }
  };
  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker));
  return {
    name,
    failures,
    rounds: () => rounds,
    async stop() {
      isOver = true;
      await Promise.all(workers);
      close();
    },
  };
}

/** The same with redis-py, in a process of its own. */
function busyPython(ports: readonly number[]): Busy {
  const failures: string[] = [];
  let rounds = 0;
  const child: ChildProcess = spawn(DEBIAN_PYTHON, [PYTHON_CLIENT, ...ports.map(String)]);
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line === '10 rounds') rounds += 10;
    else failures.push(`redis-py: ${line}`);
  });
  createInterface({ input: child.stderr! }).on('line', (line) => failures.push(`redis-py: ${line}`));
  return {
    name: 'redis-py',
    failures,
    rounds: () => rounds,
    async stop() {
      child.stdin!.end();
      await once(child, 'close');
    },
  };
}

/** Asks one node, by a connection of its own. */
async function ask(port: number, ...[name, ...args]: [string, ...string[]]): Promise<unknown> {
  const client = new Redis(port);
  return client.call(name, ...args).finally(() => client.disconnect());
}

/** The port of the node that CLUSTER SLOTS shows first for a slot. */
async function leaderOf(slot: number, port: number): Promise<number> {
  const slots = (await ask(port, 'CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
  return slots.find(([first, last]) => first <= slot && slot <= last)![2][1];
}

/** How often nodes have said MOVED since they were started. */
async function redirects(ports: readonly number[]): Promise<number> {
  let sum = 0;
  for (const port of ports) {
    const stats = String(await ask(port, 'INFO', 'errorstats'));
    sum += Number(/errorstat_MOVED:count=(\d+)/.exec(stats)?.[1] ?? 0);
  }
  return sum;
}

/** Where slot 0 of database 0 begins. */
const SLOT_0 = Buffer.from([0x72, 0, 0, 0]);
/** A shard channel near it, in the same range. */
const CHANNEL = Array.from({ length: 1_000 }, (_, at) => `news-${at}`).find((name) => slotOf(Buffer.from(name)) < 500)!;

describe('clients that choose the node by the slot', () => {
  let nodes: ProcessNodes;
  before(async () => {
    nodes = await ProcessNodes.start({ 'redis.clusterPort': await freePortRange(NODE_IDS.length) });
    // Nodes hear of each other's addresses with their heartbeats.
    for (const port of clusterPorts()) {
      await until('every node knows the others', async () => {
        const lines = String(await ask(port, 'CLUSTER', 'NODES'))
          .trimEnd()
          .split('\n');
        return lines.length === NODE_IDS.length;
      });
    }
  });
  after(() => nodes.stop());

  const clusterPorts = (): number[] => NODE_IDS.map((node) => nodes.clusterPort(node));
  test('redis-cli checks the cluster, and follows redirects', { skip: skipWithout('redis-benchmark') }, async () => {
    const [port] = clusterPorts();
    const cli = async (...args: string[]): Promise<string> => (await promisify(execFile)('redis-cli', args)).stdout;
    const checked = await cli('--cluster', 'check', `127.0.0.1:${port}`);
    assert.match(checked, /\[OK\] All nodes agree about slots configuration\./);
    assert.match(checked, /\[OK\] All 16384 slots covered\./);
    assert.match(await cli('--cluster', 'info', `127.0.0.1:${port}`), /\[OK\] 0 keys in \d masters\./);
    assert.equal((await cli('--cluster', 'call', `127.0.0.1:${port}`, 'ping')).match(/PONG/g)?.length, 3);
    for (const key of ['a', 'b', 'c', 'd']) {
      assert.equal(await cli('-c', '-p', String(port), 'SET', key, key), 'OK\n');
      assert.equal(await cli('-c', '-p', String(port), 'GET', key), `${key}\n`);
    }
  });

  test('see a range that moves and a leader that is killed as redirects only', async (t) => {
    const ports = clusterPorts();
    const ioredis = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })));
    ioredis.on('error', () => {});
    const nodeRedis = createCluster({
      rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
      // Otherwise it waits for the dead node with whatever is meant for it.
      topologyRefreshOnReconnectionAttemptStrategy: 100,
    });
    nodeRedis.on('error', () => {});
    await nodeRedis.connect();
    const hasPython = skipWithout('redis-py') === false;
    if (!hasPython) t.diagnostic('without redis-py');
    const clients = [
      busy('ioredis', ioredis, () => ioredis.disconnect()),
      busy('node-redis', nodeRedis, () => nodeRedis.destroy()),
      ...(hasPython ? [busyPython(ports)] : []),
    ];
    const goOn = (more: number): Promise<void> => {
      const before = clients.map((client) => client.rounds());
      return until('every client goes on', () =>
        clients.every((client, at) => client.rounds() >= before[at]! + more),
      ).catch((error: Error) => {
        const state = clients.map(
          ({ name, rounds, failures }) => `${name} ${rounds()} ${failures.slice(0, 3).join('; ')}`,
        );
        throw new Error(`${error.message}: ${state.join(', ')}`);
      });
    };
    const admin = new AdminClient(`127.0.0.1:${nodes.grpcPort(1)}`);
    let said: number;
    const first = await leaderOf(slotOf(Buffer.from(CHANNEL)), ports[0]!);
    const listener = await RespConnection.open('127.0.0.1', first);
    try {
      await listener.call([['SSUBSCRIBE', CHANNEL]]);
      await goOn(50);
      const { id } = await admin.call('Move', { key: SLOT_0, toGroup: 3 }, CALL_TIMEOUT_MS);
      await until('the range has moved', async () => {
        const { jobs } = await admin.call('Jobs', { id, finishedLimit: 1 }, CALL_TIMEOUT_MS);
        return jobs[0]?.phase === 'CLEANUP' || jobs[0]?.phase === 'DONE';
      });
      await until('another node leads the slot', async () => {
        const other = NODE_IDS.find((node) => nodes.clusterPort(node) !== first)!;
        if ((await leaderOf(0, ports[0]!)) !== first) return true;
        await admin.call('TransferLeader', { groupId: 3, to: other }, CALL_TIMEOUT_MS).catch(() => undefined);
        return false;
      });
      const told = await listener.next();
      assert.deepEqual(
        told.items?.map(({ text }) => text),
        ['sunsubscribe', CHANNEL, '0'],
        'who listens to a shard channel is told that it is elsewhere',
      );
      const [refusal] = await listener.call([['SSUBSCRIBE', CHANNEL]]);
      assert.equal(refusal!.raw.split(' ', 1)[0], '-MOVED');
      await goOn(50);
      said = await redirects(ports);
      // Not the first node of the map: redis-py 4.3.4 finds no other one when that has died.
      const leader = await leaderOf(0, ports[0]!);
      const victim = NODE_IDS.find((node) => nodes.clusterPort(node) !== leader)!;
      await until('a node leads the last range', async () => {
        await admin.call('TransferLeader', { groupId: 4, to: victim }, CALL_TIMEOUT_MS).catch(() => undefined);
        return (await leaderOf(16_383, ports[0]!)) === nodes.clusterPort(victim);
      });
      await nodes.kill(victim);
      await goOn(100);
      nodes.revive(victim);
      await nodes.ready();
      await goOn(100);
      said += await redirects(ports.filter((_, at) => NODE_IDS[at] !== victim));
    } finally {
      admin.close();
      listener.close();
      for (const client of clients) await client.stop();
    }
    assert.deepEqual(
      clients.flatMap(({ failures }) => failures),
      [],
    );
    // Each worker of each client may learn it by itself, after the move, the death and the return.
    t.diagnostic(`${said} redirects`);
    assert.ok(said < 300, `${said} redirects`);
  });
});
