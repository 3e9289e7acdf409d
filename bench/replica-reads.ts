/**
 * `npm run bench:reads`: what are reads from replicas worth, and what do reads at the leader cost the others? Three nodes in processes of their own, one
 * group, GETs of 100 bytes over pipelined connections:
 * - all of them at the leader, which answers under its lease;
 * - spread over the three nodes on READONLY connections, which their replicas answer;
 * - the same connections at one redis-server.
 *
 * Printed for each: reads a second, CPU time a read by role and thread, and frames between nodes a thousand reads. On a machine where nodes and load share
 * the cores it is the CPU time that tells: the gain that three nodes would have on cores of their own is what a read costs the leader over what it costs the
 * busiest of the three.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import type { ClusterMember } from '../cmd/cluster/index.ts';
import { Ledger } from './ledger.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark } from './options.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import type { Processes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { rangeOf, ratiosOf, ratioText } from './spread.ts';
import { sumOf, threadClock, timesBetween } from './thread-cpu.ts';

const NODES = 3;
const CONNECTIONS = 24;
const DEPTH = 16;
const KEYS = 10_000;
const FILLED_AT_ONCE = 500;
const VALUE = 'x'.repeat(100);
/** `$100`, the value, and two line ends. */
const REPLY_BYTES = VALUE.length + 8;
const WARM_UP_MS = 1_500;
const WRITE_EVERY_MS = 20;
const AT_LEADER = 'at the leader';
const FROM_REPLICAS = 'from replicas';

async function framesOf(member: ClusterMember): Promise<number> {
  const text = await (await fetch(`http://${member.addresses.metrics}/metrics`)).text();
  const sent = text.match(/^kvorum_network_frames_total\{[^}]*direction="sent"[^}]*\} (\d+)/gm) ?? [];
  return sent.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** One connection that always has `DEPTH` reads under way. */
class Reader {
  reads = 0;
  errors = '';
  private readonly socket: Socket;
  private isOver = false;
  private missing = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async open(port: number, first: readonly string[]): Promise<Reader> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    for (const command of first) {
      socket.write(`${command}\r\n`);
      await new Promise((resolve) => socket.once('data', resolve));
    }
    return new Reader(socket);
  }

  start(seed: number): void {
    let next = seed;
    const ask = (count: number): void => {
      let text = '';
      for (let at = 0; at < count; at++) {
        next = (next * 1_103_515_245 + 12_345) % 2_147_483_648;
        const key = `key:${next % KEYS}`;
        text += `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`;
      }
      this.missing += count * REPLY_BYTES;
      this.socket.write(text);
    };
    let partial = 0;
    this.socket.on('data', (bytes) => {
      if (bytes.includes('-')) this.errors ||= bytes.toString('latin1').slice(0, 100);
      partial += bytes.length;
      this.missing -= bytes.length;
      const whole = Math.floor(partial / REPLY_BYTES);
      partial -= whole * REPLY_BYTES;
      this.reads += whole;
      if (!this.isOver && whole > 0) ask(whole);
    });
    ask(DEPTH);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    while (this.missing > 0 && this.errors === '') await delay(5);
    this.socket.destroy();
  }
}

/** A system that is asked. */
interface Target {
  readonly system: string;
  readonly ports: readonly number[];
  /** What each connection says first. */
  readonly first: readonly string[];
  readonly processes: readonly Processes[];
  /** Frames between nodes until now. */
  frames(): Promise<number>;
}

/** What one round cost nodes beside what the ledger has. */
interface Use {
  /** Of the busiest process, microseconds a read of all. */
  readonly busiestUs: number;
  readonly framesPerThousand: number;
}

async function read(
  { system, ports, first, processes, frames }: Target,
  seconds: number,
  ledger: Ledger,
): Promise<Use> {
  const readers = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, at) => Reader.open(ports[at % ports.length]!, first)),
  );
  for (const [at, reader] of readers.entries()) reader.start(at + 1);
  const done = (): number => readers.reduce((sum, { reads }) => sum + reads, 0);
  await delay(WARM_UP_MS);
  const pids = processes.flatMap((role) => role.pids);
  const before = { clocks: pids.map(threadClock), frames: await frames() };
  const { commands } = await ledger.measure('GET', system, processes, async () => {
    const from = { reads: done(), atMs: performance.now() };
    await delay(seconds * 1000);
    const reads = done() - from.reads;
    return { perSecond: (reads * 1000) / (performance.now() - from.atMs), commands: reads };
  });
  const busiestUs = Math.max(
    ...pids.map((pid, at) => sumOf(timesBetween(before.clocks[at]!, threadClock(pid), commands))),
  );
  const framesPerThousand = (((await frames()) - before.frames) * 1_000) / commands;
  await Promise.all(readers.map((reader) => reader.stop()));
  const failed = readers.find(({ errors }) => errors !== '');
  if (failed !== undefined) throw new Error(`${system}: ${failed.errors}`);
  return { busiestUs, framesPerThousand };
}

async function fill(client: Redis): Promise<void> {
  for (let from = 0; from < KEYS; from += FILLED_AT_ONCE)
    await client.mset(...Array.from({ length: FILLED_AT_ONCE }, (_, at) => [`key:${from + at}`, VALUE]).flat());
}

/** Somebody writes a little all the time, or there would be nothing new to close. @returns what ends it */
function write(client: Redis): () => Promise<void> {
  let isOver = false;
  const writing = (async () => {
    for (let at = 0; !isOver; at++) {
      await client.set(`key:${at % KEYS}`, VALUE);
      await delay(WRITE_EVERY_MS);
    }
  })();
  return async () => {
    isOver = true;
    await writing;
  };
}

async function targets(scratch: Scratch): Promise<Target[]> {
  const members = await (await startLocalNodes(scratch, { nodes: NODES, groups: 0 })).members();
  const leaderId = members[0]!.groups.at(-1)!.leader;
  const leader = members.find(({ nodeId }) => nodeId === leaderId)!;
  const followers = members.filter((member) => member !== leader);
  const portsOf = (some: readonly ClusterMember[]): number[] => some.map(({ addresses }) => portOf(addresses.redis));
  const processes = [
    { role: 'leader', pids: [leader.pid] },
    { role: 'follower', pids: followers.map(({ pid }) => pid) },
  ];
  const frames = async (): Promise<number> =>
    (await Promise.all(members.map(framesOf))).reduce((sum, each) => sum + each, 0);
  const redis = new RedisPeer(scratch);
  await redis.start();
  const stale = ['CLIENT KVORUM-STALENESS 10000', 'READONLY'];
  return [
    { system: AT_LEADER, ports: portsOf([leader]), first: [], processes, frames },
    { system: FROM_REPLICAS, ports: portsOf([leader, ...followers]), first: stale, processes, frames },
    { system: 'redis', ports: [redis.port], first: [], processes: redis.processes(), frames: async () => 0 },
  ];
}

async function main(options: BenchmarkOptions): Promise<number> {
  const { rounds, seconds, folder } = options;
  const scratch = new Scratch(folder);
  const ledger = new Ledger();
  const uses = new Map<string, Use[]>();
  try {
    const all = await targets(scratch);
    const clients = [all[0]!, all[2]!].map(({ ports }) => new Redis(ports[0]!, '127.0.0.1'));
    for (const client of clients) await fill(client);
    const stops = clients.map(write);
    for (let round = 0; round < rounds; round++) {
      for (const target of rotated(all, round)) {
        const use = await read(target, seconds, ledger);
        uses.set(target.system, [...(uses.get(target.system) ?? []), use]);
      }
    }
    await Promise.all(stops.map((stop) => stop()));
    for (const client of clients) client.disconnect();
  } finally {
    await scratch.clean();
  }
  const busiest = (system: string): number[] => (uses.get(system) ?? []).map(({ busiestUs }) => busiestUs);
  const rows = [...uses].map(([system, own]) => [
    system,
    rangeOf(busiest(system), (us) => us.toFixed(2)),
    rangeOf(
      own.map(({ framesPerThousand }) => framesPerThousand),
      (frames) => frames.toFixed(2),
    ),
  ]);
  const gain = ratioText(ratiosOf(busiest(AT_LEADER), busiest(FROM_REPLICAS)));
  return conclude(
    {
      name: 'reads',
      facts: { rounds, secondsPerLoad: seconds, lines: ledger.facts(), uses },
      tables: [
        ledger.formatRates([FROM_REPLICAS, AT_LEADER, 'redis'], ' reads/s'),
        ledger.formatCosts('us of CPU a read of all'),
        formatTable(
          [['', 'busiest process, us a read of all', 'frames a thousand reads'], ...rows],
          ['left', 'right', 'right'],
        ),
        `With three nodes on cores of their own, replicas would answer ${gain} as many reads, by the CPU time of the busiest.`,
      ],
      verdicts: [],
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:reads',
  says: 'Measures what reads from replicas are worth.',
  peers:
    'one redis-server that syncs every write. Replicas of redis-server answer with data of any age, so they are no peer of ours.',
  rounds: 3,
  seconds: 5,
});
program.parse();
process.exit(await main(program.opts<BenchmarkOptions>()));
