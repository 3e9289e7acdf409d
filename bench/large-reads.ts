/**
 * `npm run bench:large-reads`: what a command that reads a whole large collection does to everybody else. Three processes, one group, beside one
 * redis-server; other connections send PING and GET all the time, to the node that leads and to the one that the client is connected to. Printed: elements
 * a second, what one costs each process, and the longest wait of anybody else, which has a bar.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import { Ledger } from './ledger.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import type { Processes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { areQuiet, median, rangeOf, type Verdict } from './spread.ts';

const STEP = 2_000;
const PIPELINED = 4;
/** Probes that follow one another at once would be a load of their own. */
const PROBE_EVERY_MS = 10;
const QUICK_ELEMENTS = 5_000;
/** What anybody else waits at most. */
const WAIT_BAR_MS = 300;

interface Read {
  /** Makes the collection, which has the same name. */
  readonly write: string;
  readonly pair: (at: number) => (string | number)[];
  readonly command: string;
}

const READS = {
  hgetall: { write: 'hset', pair: (at) => [`field:${at}`, `value of ${at}`], command: 'hgetall hset' },
  lrange: { write: 'rpush', pair: (at) => [`element ${at}`], command: 'lrange rpush 0 -1' },
  smembers: { write: 'sadd', pair: (at) => [`member:${at}`], command: 'smembers sadd' },
  zrange: { write: 'zadd', pair: (at) => [at, `member:${at}`], command: 'zrange zadd 0 -1 withscores' },
} as const satisfies Record<string, Read>;
type ReadName = keyof typeof READS;
const NAMES = Object.keys(READS) as ReadName[];

interface Options extends BenchmarkOptions {
  readonly elements: number;
  readonly only?: readonly ReadName[];
  readonly verbose?: boolean;
}

/** A system that is up. */
interface Target {
  readonly system: string;
  readonly processes: readonly Processes[];
  /** Where it is filled, and where it is asked. */
  readonly fillPort: number;
  readonly askedPort: number;
  /** Where others send something all the time. */
  readonly probedPorts: readonly number[];
  /** Of the groups, when their leaders change; of redis always the same. */
  terms(): Promise<string>;
}

/** What others saw of one read. */
interface Waits {
  readonly read: ReadName;
  readonly system: string;
  readonly pingMs: number;
  readonly getMs: number;
  readonly failures: number;
  readonly hasSameLeaders: boolean;
}

const PONG = Buffer.from('+PONG\r\n');
/** An error reply begins with it. */
const MINUS = 0x2d;

/** Sends one command and waits for the end of its reply; parsing it would hold up the probes, which are in this process. @throws with what it was refused for */
function readWhole(port: number, command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\nPING\r\n`));
    let isFirst = true;
    let end = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      if (isFirst && chunk[0] === MINUS) {
        socket.destroy();
        reject(new Error(`${command}: ${chunk.toString('latin1').split('\r\n', 1)[0]}`));
        return;
      }
      isFirst = false;
      end = Buffer.concat([end, chunk.subarray(-PONG.length)]).subarray(-PONG.length);
      if (!end.equals(PONG)) return;
      socket.destroy();
      resolve();
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

  async stop(): Promise<void> {
    this.isOver = true;
    await this.running;
  }
}

async function fill({ fillPort }: Target, { write, pair }: Read, elements: number): Promise<void> {
  const client = new Redis(fillPort, '127.0.0.1');
  try {
    await client.set('small', 'value');
    for (let at = 0; at < elements; at += STEP * PIPELINED) {
      const pieces = Array.from({ length: PIPELINED }, (_, nth) => at + nth * STEP).filter((from) => from < elements);
      await Promise.all(
        pieces.map((from) => {
          const length = Math.min(STEP, elements - from);
          return client.call(write, write, ...Array.from({ length }, (_, nth) => pair(from + nth)).flat());
        }),
      );
    }
  } finally {
    client.disconnect();
  }
}

/** One read while others go on. */
async function readOnce(target: Target, read: ReadName, elements: number, ledger: Ledger): Promise<Waits> {
  const { system, processes, probedPorts, askedPort } = target;
  // A connection each: on one, a PING would wait for the GET before it.
  const clients = probedPorts.flatMap((port) => [new Redis(port, '127.0.0.1'), new Redis(port, '127.0.0.1')]);
  try {
    await Promise.all(clients.map((client) => client.ping()));
    const before = await target.terms();
    const probers = clients.map((client, at) => new Prober(() => (at % 2 === 0 ? client.ping() : client.get('small'))));
    await ledger.measure(read, system, processes, async () => {
      const fromMs = performance.now();
      await readWhole(askedPort, READS[read].command);
      return { perSecond: (elements * 1_000) / (performance.now() - fromMs), commands: elements };
    });
    await Promise.all(probers.map((prober) => prober.stop()));
    const slowest = (parity: number): number =>
      Math.max(...probers.filter((_, at) => at % 2 === parity).map(({ slowestMs }) => slowestMs));
    return {
      read,
      system,
      pingMs: slowest(0),
      getMs: slowest(1),
      failures: probers.reduce((sum, { failures }) => sum + failures, 0),
      hasSameLeaders: before === (await target.terms()),
    };
  } finally {
    for (const client of clients) client.disconnect();
  }
}

/** The node that leads, one that does not, and redis-server. */
async function targets(scratch: Scratch, isVerbose: boolean): Promise<Target[]> {
  const onLine = (node: number, line: string): void => console.error(`n${node} | ${line}`);
  const nodes: LocalNodes = await startLocalNodes(scratch, { nodes: 3, groups: 0, ...(isVerbose && { onLine }) });
  const members = await nodes.members();
  const leaderId = members[0]!.groups.at(-1)!.leader;
  const leader = members.find(({ nodeId }) => nodeId === leaderId)!;
  const followers = members.filter((member) => member !== leader);
  const [leaderPort, otherPort] = [leader, followers[0]!].map(({ addresses }) => portOf(addresses.redis)) as [
    number,
    number,
  ];
  const terms = async (): Promise<string> =>
    (await nodes.members())[0]!.groups.map(({ groupId, term }) => `${groupId}:${term}`).join();
  const processes = [
    { role: 'leader', pids: [leader.pid] },
    { role: 'follower', pids: followers.map(({ pid }) => pid) },
  ];
  const kvorum = { processes, fillPort: leaderPort, probedPorts: [leaderPort, otherPort], terms };
  const redis = new RedisPeer(scratch);
  await redis.start();
  const { port } = redis;
  return [
    { ...kvorum, system: 'leader', askedPort: leaderPort },
    { ...kvorum, system: 'other node', askedPort: otherPort },
    {
      system: 'redis',
      processes: redis.processes(),
      fillPort: port,
      askedPort: port,
      probedPorts: [port],
      terms: async () => '',
    },
  ];
}

async function main(given: Options): Promise<number> {
  const options = given.quick === true ? { ...given, rounds: 1, elements: QUICK_ELEMENTS } : given;
  const { rounds, elements, only = NAMES, folder, verbose } = options;
  const scratch = new Scratch(folder);
  const ledger = new Ledger();
  const waits: Waits[] = [];
  try {
    const all = await targets(scratch, verbose === true);
    for (const read of only) {
      const filled = new Set<number>();
      for (const target of all) {
        if (!filled.has(target.fillPort)) await fill(target, READS[read], elements);
        filled.add(target.fillPort);
      }
      for (let round = 0; round < rounds; round++)
        for (const target of rotated(all, round)) waits.push(await readOnce(target, read, elements, ledger));
    }
  } finally {
    await scratch.clean();
  }
  const systems = [...new Set(waits.map(({ system }) => system))];
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const read of only) {
    for (const system of systems) {
      const own = waits.filter((each) => each.read === read && each.system === system);
      const [pings, gets] = [own.map(({ pingMs }) => pingMs), own.map(({ getMs }) => getMs)];
      const failures = own.reduce((sum, each) => sum + each.failures, 0);
      const haveSameLeaders = own.every(({ hasSameLeaders }) => hasSameLeaders);
      const shown = (values: readonly number[]): string => `${rangeOf(values, (ms) => ms.toFixed(0))} ms`;
      rows.push([read, system, shown(pings), shown(gets), String(failures), haveSameLeaders ? 'stayed' : 'changed']);
      if (system === 'redis') continue;
      const longest = own.map(({ pingMs, getMs }) => Math.max(pingMs, getMs));
      verdicts.push({
        text: `${read} at the ${system}: nobody else waits for more than ${WAIT_BAR_MS} ms, all are answered, leaders stay`,
        passed: median(longest) <= WAIT_BAR_MS && failures === 0 && haveSameLeaders,
        isQuiet: ledger.others.isQuiet && (median(longest) <= WAIT_BAR_MS || areQuiet(longest)),
      });
    }
  }
  const heading = ['longest wait of others meanwhile', 'asked', 'PING', 'GET', 'failed', 'leaders'];
  return conclude(
    {
      name: 'large-reads',
      facts: { rounds, elements, lines: ledger.facts(), waits },
      tables: [
        `Collections of ${formatCount(elements)} elements.`,
        ledger.formatRates(systems, ' elements/s'),
        formatTable([heading, ...rows], ['left', 'left', 'right', 'right', 'right', 'left']),
        ledger.formatCosts('us of CPU an element'),
      ],
      verdicts,
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:large-reads',
  says: 'Measures what a command that reads a whole large collection does to everybody else.',
  peers: 'one redis-server that syncs every write.',
  rounds: 3,
  quick: 'one round, small collections',
})
  .option('--elements <count>', 'of each collection', count(1e8), 1_000_000)
  .option('--only <commands>', `comma-separated: ${NAMES.join(', ')}`, someOf(NAMES))
  .option('--verbose', 'what the nodes say');
program.parse();
process.exit(await main(program.opts<Options>()));
