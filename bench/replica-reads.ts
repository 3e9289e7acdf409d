/**
 * `npm run bench:reads [seconds]`: what are reads from replicas worth, and what do reads at the leader cost the others?
 * Three nodes in processes of their own, one group, GETs of 100 bytes over pipelined connections:
 * - all of them at the leader, which answers under its lease;
 * - spread over the three nodes on READONLY connections, which their replicas answer.
 *
 * Printed for each: reads a second, CPU time a read of each node, and frames between nodes during the reads beside those of as long
 * a pause. On a machine where nodes and load share the cores it is the CPU time that tells: the gain that three nodes would have on
 * cores of their own is what a read costs the leader over what it costs the busiest of the three.
 */
import { connect, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { ClusterMember } from '../cmd/cluster/index.ts';
import { cpuSecondsOf } from './cpu.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

const NODES = 3;
const CONNECTIONS = 24;
const DEPTH = 16;
const KEYS = 10_000;
const VALUE = 'x'.repeat(100);
/** `$100`, the value, and two line ends. */
const REPLY_BYTES = VALUE.length + 8;

const seconds = Number(process.argv[2] ?? 5);

interface Usage {
  readonly cpuSeconds: number;
  readonly frames: number;
}

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

const scratch = new Scratch();
try {
  const nodes = await startLocalNodes(scratch, { nodes: NODES, groups: 0 });
  const { cluster } = nodes;
  const members = await nodes.members();
  const leaderId = members[0]!.groups.at(-1)!.leader;
  const leader = members.find(({ nodeId }) => nodeId === leaderId)!;
  const client = new Redis(portOf(leader.addresses.redis), '127.0.0.1');
  for (let from = 0; from < KEYS; from += 500) {
    const pairs = Array.from({ length: 500 }, (_, at) => [`key:${from + at}`, VALUE]).flat();
    await client.mset(...pairs);
  }

  const usage = async (): Promise<Usage[]> =>
    Promise.all(
      members.map(async (member) => ({
        cpuSeconds: cpuSecondsOf(cluster.process(member.nodeId)!.pid!),
        frames: await framesOf(member),
      })),
    );
  const differences = (before: readonly Usage[], after: readonly Usage[]): Usage[] =>
    before.map(({ cpuSeconds, frames }, at) => ({
      cpuSeconds: after[at]!.cpuSeconds - cpuSeconds,
      frames: after[at]!.frames - frames,
    }));
  const framesIn = (used: readonly Usage[]): number => used.reduce((sum, { frames }) => sum + frames, 0);
  /** Somebody writes a little all the time, or there would be nothing new to close. */
  const withWriter = async <T>(work: () => Promise<T>): Promise<T> => {
    let isOver = false;
    const writing = (async () => {
      for (let at = 0; !isOver; at++) {
        await client.set(`key:${at % KEYS}`, VALUE);
        await delay(20);
      }
    })();
    try {
      return await work();
    } finally {
      isOver = true;
      await writing;
    }
  };

  const run = async (what: string, targets: readonly ClusterMember[], preamble: readonly string[]) => {
    const readers = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, at) =>
        Reader.open(portOf(targets[at % targets.length]!.addresses.redis), preamble),
      ),
    );
    for (const [at, reader] of readers.entries()) reader.start(at + 1);
    await delay(1500);
    const readsBefore = readers.map(({ reads }) => reads);
    const before = await usage();
    const beganMs = performance.now();
    await delay(seconds * 1000);
    const lastedMs = performance.now() - beganMs;
    const used = differences(before, await usage());
    const reads = readers.map((reader, at) => reader.reads - readsBefore[at]!);
    await Promise.all(readers.map((reader) => reader.stop()));
    const failed = readers.find(({ errors }) => errors !== '');
    if (failed !== undefined) throw new Error(`${what}: ${failed.errors}`);
    const total = reads.reduce((sum, count) => sum + count, 0);
    // A node's own reads, as far as it was asked.
    const perNode = members.map((member, at) => {
      const own = reads.filter((_, place) => targets[place % targets.length] === member);
      const count = own.reduce((sum, each) => sum + each, 0);
      return { nodeId: member.nodeId, count, cpuMicros: (used[at]!.cpuSeconds * 1e6) / total };
    });
    console.log(`\n${what}: ${Math.round((total / lastedMs) * 1000)} reads/s, ${framesIn(used)} frames between nodes`);
    for (const { nodeId, count, cpuMicros } of perNode) {
      const role = nodeId === leaderId ? 'leader' : 'follower';
      const share = `${Math.round((100 * count) / total)} %`.padStart(5);
      console.log(
        `  node ${nodeId} ${role.padEnd(8)} ${share} of the reads, ${cpuMicros.toFixed(2)} us CPU for each read of all`,
      );
    }
    return { perSecond: (total / lastedMs) * 1000, busiest: Math.max(...perNode.map(({ cpuMicros }) => cpuMicros)) };
  };

  await withWriter(async () => {
    console.log(`${availableParallelism()} cores for ${NODES} nodes and the load; ${seconds} s each`);
    const before = await usage();
    await delay(seconds * 1000);
    console.log(`\nno reads: ${framesIn(differences(before, await usage()))} frames between nodes`);
    const atLeader = await run('all at the leader, under its lease', [leader], []);
    const spread = await run('spread over the three, from replicas', members, [
      'CLIENT KVORUM-STALENESS 10000',
      'READONLY',
    ]);
    console.log(
      `\nhere ${(spread.perSecond / atLeader.perSecond).toFixed(2)} x the reads; on cores of their own ` +
        `${(atLeader.busiest / spread.busiest).toFixed(2)} x, by the CPU time of the busiest node`,
    );
  });
  client.disconnect();
} finally {
  await scratch.clean();
}
