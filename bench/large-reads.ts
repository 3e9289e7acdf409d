/**
 * `npm run bench:large-reads -- 1000000 hgetall`: what a command that reads a whole large collection does to everybody else. Three processes,
 * one group; other connections send PING and GET all the time, to the node that leads and to the one that the client is connected to.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

const COUNT = Number(process.argv[2] ?? 1_000_000);
/** Left out: all of them. */
const ONLY = process.argv[3];
const MIB = 1024 * 1024;
const STEP = 2_000;
const PIPELINED = 4;
/** Probes that follow one another at once would be a load of their own. */
const PROBE_EVERY_MS = 10;

const scratch = new Scratch();
const nodes = await startLocalNodes(scratch, {
  nodes: 3,
  groups: 0,
  onLine: (node, line) => {
    if (process.env.VERBOSE !== undefined) console.error(`n${node} | ${line}`);
  },
});
const members = await nodes.members();

const portOfNode = (nodeId: number): number =>
  portOf(members.find((member) => member.nodeId === nodeId)!.addresses.redis);

const clientOf = (nodeId: number): Redis => {
  const client = new Redis(portOfNode(nodeId), '127.0.0.1');
  scratch.own(async () => client.disconnect());
  return client;
};

const PONG = Buffer.from('+PONG\r\n');

/** An error reply begins with it. */
const MINUS = 0x2d;

/** Sends one command and counts the bytes of its reply, unless it is refused; parsing it would hold up the probes, which are in this process. */
function replyBytes(nodeId: number, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(portOfNode(nodeId), '127.0.0.1', () => socket.write(`${command}\r\nPING\r\n`));
    let bytes = 0;
    let end = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      if (bytes === 0 && chunk[0] === MINUS) {
        socket.destroy();
        reject(new Error(`${command}: ${chunk.toString('latin1').split('\r\n', 1)[0]}`));
        return;
      }
      bytes += chunk.length;
      end = Buffer.concat([end, chunk.subarray(-PONG.length)]).subarray(-PONG.length);
      if (!end.equals(PONG)) return;
      socket.destroy();
      resolve(bytes - PONG.length);
    });
    socket.on('error', reject);
  });
}

/** Calls one command after the other and keeps the longest wait. */
class Prober {
  slowestMs = 0;
  failures = 0;
  private isOver = false;
  private readonly running: Promise<void>;

  constructor(call: () => Promise<unknown>) {
    this.running = (async () => {
      while (!this.isOver) {
        const startedMs = performance.now();
        await call().catch(() => {
          this.failures++;
        });
        this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
        await delay(PROBE_EVERY_MS);
      }
    })();
  }

  async stop(): Promise<string> {
    this.isOver = true;
    await this.running;
    return `${this.slowestMs.toFixed(0)}${this.failures === 0 ? '' : ` (${this.failures} failed)`}`;
  }
}

const termsOf = async (): Promise<string> =>
  (await nodes.members())[0]!.groups.map(({ groupId, term }) => `${groupId}:${term}`).join();

const FILLS: Record<string, (at: number) => (string | number)[]> = {
  hset: (at) => [`field:${at}`, `value of ${at}`],
  sadd: (at) => [`member:${at}`],
  rpush: (at) => [`element ${at}`],
  zadd: (at) => [at, `member:${at}`],
};

async function fill(client: Redis, command: string, key: string): Promise<void> {
  for (let at = 0; at < COUNT; at += STEP * PIPELINED) {
    const pieces = Array.from({ length: PIPELINED }, (_, nth) => at + nth * STEP).filter((from) => from < COUNT);
    await Promise.all(
      pieces.map((from) => {
        const count = Math.min(STEP, COUNT - from);
        const args = Array.from({ length: count }, (_, nth) => FILLS[command]!(from + nth)).flat();
        return client.call(command, key, ...args);
      }),
    );
  }
}

const READS: [string, string, string[]][] = [
  ['hset', 'hgetall', ['hash']],
  ['rpush', 'lrange', ['list', '0', '-1']],
  ['sadd', 'smembers', ['set']],
  ['zadd', 'zrange', ['order', '0', '-1', 'withscores']],
];

try {
  const leader = members[0]!.groups.at(-1)!.leader!;
  const follower = (leader % 3) + 1;
  const leading = clientOf(leader);
  await leading.set('small', 'value');
  for (const [write, read, args] of READS) {
    if (ONLY !== undefined && ONLY !== read) continue;
    const startedMs = performance.now();
    try {
      await fill(leading, write, args[0]!);
    } catch (error) {
      console.log(`${write}: ${(error as Error).message}`);
      continue;
    }
    console.log(`${write} ${COUNT}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    for (const [name, nodeId] of [
      ['leader', leader],
      ['other node', follower],
      ['leader again', leader],
    ] as const) {
      // A connection each: on one, a PING would wait for the GET before it.
      const pingers = [clientOf(leader), clientOf(follower)];
      const getters = [clientOf(leader), clientOf(follower)];
      const probes = [...pingers, ...getters];
      await Promise.all(probes.map((probe) => probe.ping()));
      const before = await termsOf();
      const pings = pingers.map((probe) => new Prober(() => probe.ping()));
      const gets = getters.map((probe) => new Prober(() => probe.get('small')));
      const fromMs = performance.now();
      const bytes = await replyBytes(nodeId, [read, ...args].join(' '));
      const seconds = ((performance.now() - fromMs) / 1000).toFixed(1);
      const slowest = await Promise.all([...pings, ...gets].map((prober) => prober.stop()));
      console.log(
        `  ${read} by ${name}: ${(bytes / MIB).toFixed(1)} MiB in ${seconds} s; slowest PING ${slowest[0]} and ${slowest[1]} ms, GET ${slowest[2]} and ${slowest[3]} ms (leader, other); leaders ${before === (await termsOf()) ? 'stayed' : 'changed'}`,
      );
      for (const probe of probes) probe.disconnect();
    }
  }
} finally {
  await scratch.clean();
}
