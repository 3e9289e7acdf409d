/**
 * `npm run bench:moves`: what does moving a range cost those who use it? Three nodes, three data groups. A range of the
 * wanted size goes back and forth between two groups while clients read and write it, and while others use a range that does not move.
 * Printed: how long each move took and what it cost, the longest time that a write of the range took while the range changed hands (and
 * at any time during the move, and at rest: on a busy machine those are not zero either), how the other range did before and during
 * the moves, how soon all nodes knew a split, and that nothing acknowledged was lost. Each move is a round.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import { AdminClient } from '../src/adapter/grpc/index.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { OthersWatch } from './others.ts';
import { percentile } from './percentile.ts';
import { conclude } from './results.ts';
import { formatCpu, type RoleTimes, totalUs, withRoleTimes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { median, rangeOf } from './spread.ts';

const NODES = 3;
const GROUPS = 3;
const CALL_TIMEOUT_MS = 10_000;
const MOVE_TIMEOUT_MS = 600_000;
/** Bars: a write of the range waits this long at most in 99 of 100 moves; a split is known everywhere within this. */
const PAUSE_BAR_MS = 100;
const SPLIT_BAR_MS = 1_000;
const SPLITS = 40;
/** A job's phase is looked at this often. */
const LOOK_MS = 10;
const LOAD_PIPELINE = 64;
const WARM_UP_MS = 3_000;
const CALM_MS = 10_000;
/** Answers to what was written in the last moment of a move are there by then. */
const ANSWER_MS = 500;

/** Storage key at which a slot of database 0 begins. */
const slotStart = (slot: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff]);

interface Options extends BenchmarkOptions {
  readonly mib: number;
  readonly valueBytes: number;
  readonly moves: number;
  readonly rate: number;
}

/** What one move took. */
interface MoveRow {
  readonly seconds: number;
  /** The longest write while the range changed hands. */
  readonly pauseMs: number;
  /** The longest write at any time during the move. */
  readonly longestWriteMs: number;
  readonly otherRate: number;
  /** Of each node, microseconds a MiB, the clients' work included. */
  readonly cpu: RoleTimes;
  /** The same of all nodes together, in seconds. */
  readonly cpuSeconds: number;
}

/** Clients that read and write keys of one hash tag at a steady rate, and know what was acknowledged. */
class Load {
  readonly latencies: number[] = [];
  /** Writes since somebody emptied this: when each began and ended. */
  recentWrites: { readonly beganMs: number; readonly endedMs: number }[] = [];
  done = 0;
  failures: string[] = [];
  /** Of each key its writes by serial: when each began, and when it was acknowledged; never when nobody knows whether it happened. */
  private readonly writes = new Map<string, Map<string, { readonly beganMs: number; readonly endedMs: number }>>();
  private readonly clients: Redis[];
  private readonly tag: string;
  private readonly keys: number;
  private readonly value: string;
  private isOver = false;
  private serial = 0;
  private readonly loops: Promise<void>[] = [];

  constructor(ports: readonly number[], tag: string, keys: number, valueBytes: number) {
    this.tag = tag;
    this.keys = keys;
    this.value = 'x'.repeat(Math.max(0, valueBytes - 16));
    this.clients = ports.flatMap((port) => [new Redis(port, '127.0.0.1'), new Redis(port, '127.0.0.1')]);
  }

  private key(at: number): string {
    return `{${this.tag}}:${at}`;
  }

  /** Fills the range. */
  async fill(): Promise<void> {
    const [client] = this.clients;
    for (let from = 0; from < this.keys; from += LOAD_PIPELINE) {
      const pipeline = client!.pipeline();
      for (let at = from; at < Math.min(this.keys, from + LOAD_PIPELINE); at++) {
        pipeline.set(this.key(at), `${this.nextSerial()}${this.value}`);
      }
      await pipeline.exec();
    }
  }

  private nextSerial(): string {
    return String(++this.serial).padStart(16, '0');
  }

  /** @param rate operations a second over all clients, half of them writes */
  start(rate: number): void {
    const gapMs = (1000 * this.clients.length) / rate;
    for (const client of this.clients) this.loops.push(this.run(client, gapMs));
  }

  private async run(client: Redis, gapMs: number): Promise<void> {
    let dueMs = performance.now();
    while (!this.isOver) {
      dueMs = Math.max(dueMs + gapMs, performance.now() - 1000);
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      const key = this.key(Math.floor(Math.random() * this.keys));
      const isWrite = Math.random() < 0.5;
      const serial = this.nextSerial();
      let isKnown = true;
      const beganMs = performance.now();
      try {
        if (isWrite) await client.set(key, `${serial}${this.value}`);
        else await client.get(key);
        this.done++;
      } catch (error) {
        isKnown = false;
        this.failures.push((error as Error).message);
      }
      const endedMs = performance.now();
      this.latencies.push(endedMs - beganMs);
      if (!isWrite) continue;
      this.recentWrites.push({ beganMs, endedMs });
      const writes = this.writes.get(key) ?? new Map();
      this.writes.set(key, writes.set(serial, { beganMs, endedMs: isKnown ? endedMs : Number.POSITIVE_INFINITY }));
    }
  }

  /** The longest write of which some part lay between two moments. */
  longestWrite(fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY): number {
    let longest = 0;
    for (const { beganMs, endedMs } of this.recentWrites) {
      if (beganMs <= toMs && endedMs >= fromMs) longest = Math.max(longest, endedMs - beganMs);
    }
    return longest;
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.loops);
  }

  /** Keys whose value was written, and acknowledged, before an acknowledged write of the key began. */
  async lost(): Promise<string[]> {
    const [client] = this.clients;
    const lost: string[] = [];
    for (const [key, writes] of this.writes) {
      const found = (await client!.get(key))?.slice(0, 16) ?? '';
      // What is not of these writes is from before all of them.
      const foundEndedMs = writes.get(found)?.endedMs ?? Number.NEGATIVE_INFINITY;
      for (const [serial, { beganMs, endedMs }] of writes) {
        if (endedMs === Number.POSITIVE_INFINITY || beganMs <= foundEndedMs) continue;
        lost.push(`${key}: ${found} instead of ${serial}`);
        break;
      }
    }
    return lost;
  }

  close(): void {
    for (const client of this.clients) client.disconnect();
  }
}

/** A hash tag whose slot lies in `[from, to)`. */
async function tagIn(client: Redis, from: number, to: number): Promise<string> {
  for (let at = 0; ; at++) {
    const slot = (await client.call('CLUSTER', 'KEYSLOT', `t${at}`)) as number;
    if (slot >= from && slot < to) return `t${at}`;
  }
}

/** What was seen of a job. */
interface Seen {
  /** How it ended, or the phase that was waited for. */
  readonly phase: string;
  /** When it was last seen before the range was shut. */
  readonly openMs: number;
  /** When it was first seen after the range was opened at its new owner. */
  readonly movedMs: number;
}

const SHUT: ReadonlySet<string> = new Set(['FENCE', 'RELEASE', 'ACTIVATE', 'PUBLISH']);

async function waitForJob(client: AdminClient, id: number, isOver: (phase: string) => boolean): Promise<Seen> {
  let openMs = performance.now();
  for (const giveUpMs = openMs + MOVE_TIMEOUT_MS; ; ) {
    const askedMs = performance.now();
    const { jobs } = await client.call('Jobs', { id, finishedLimit: 10 }, CALL_TIMEOUT_MS);
    const job = jobs.find((other) => other.id === id);
    if (job !== undefined && (job.isFinished || isOver(job.phase))) {
      return { phase: job.phase, openMs, movedMs: performance.now() };
    }
    if (job !== undefined && !SHUT.has(job.phase)) openMs = askedMs;
    if (performance.now() > giveUpMs) throw new Error(`job ${id} is still in ${job?.phase}: ${job?.lastError}`);
    await sleep(LOOK_MS);
  }
}

/** How long after a split is asked for each node shows it. */
async function measureSplits(clients: readonly AdminClient[], from: number, to: number): Promise<number[]> {
  const times: number[] = [];
  for (let at = 0; at < SPLITS; at++) {
    const slot = from + 1 + Math.floor(((to - from - 2) * at) / SPLITS);
    const beganMs = performance.now();
    const { version } = await clients[0]!.call('Split', { key: slotStart(slot) }, CALL_TIMEOUT_MS);
    await Promise.all(
      clients.map(async (client) => {
        for (;;) {
          for await (const page of client.stream(
            'ListRoutes',
            { start: slotStart(slot), end: slotStart(slot + 1), limit: 1 },
            CALL_TIMEOUT_MS,
          )) {
            if (page.version >= version) return;
          }
        }
      }),
    );
    times.push(performance.now() - beganMs);
  }
  return times;
}

/** A move, and what it did to clients of its range and of another one. */
async function move(
  admin: AdminClient,
  toGroup: number,
  { moving, still }: { readonly moving: Load; readonly still: Load },
): Promise<Omit<MoveRow, 'cpu' | 'cpuSeconds'>> {
  moving.recentWrites = [];
  const before = { done: still.done, atMs: performance.now() };
  const { id } = await admin.call('Move', { key: slotStart(0), toGroup }, CALL_TIMEOUT_MS);
  const { phase, openMs, movedMs } = await waitForJob(admin, id, (now) => now === 'CLEANUP');
  if (phase !== 'CLEANUP' && phase !== 'DONE') throw new Error(`a move ended as ${phase}`);
  const seconds = (performance.now() - before.atMs) / 1000;
  // Who wrote in the last moment may not have its answer yet.
  await sleep(ANSWER_MS);
  const row = {
    seconds,
    pauseMs: moving.longestWrite(openMs, movedMs),
    longestWriteMs: moving.longestWrite(),
    otherRate: ((still.done - before.done) * 1000) / (performance.now() - before.atMs),
  };
  // What was left behind must be gone before the range may come back.
  await waitForJob(admin, id, () => false);
  return row;
}

async function run(options: Options, scratch: Scratch): Promise<number> {
  const { mib, valueBytes, rate } = options;
  const members = await (await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS })).members();
  const ports = members.map((member) => portOf(member.addresses.redis));
  const admins = members.map((member) => new AdminClient(member.addresses.grpc));
  const [admin] = admins as [AdminClient];
  const nodes = [{ role: 'each node', pids: members.map(({ pid }) => pid) }];
  const others = new OthersWatch();

  const keys = Math.ceil((mib * 1024 * 1024) / valueBytes);
  const probe = new Redis(ports[0]!, '127.0.0.1');
  const moving = new Load(ports, await tagIn(probe, 0, 5461), keys, valueBytes);
  const still = new Load(ports, await tagIn(probe, 5461, 10_922), Math.min(keys, 10_000), 100);
  probe.disconnect();
  console.error(`loading ${keys} values of ${valueBytes} bytes`);
  await moving.fill();
  await still.fill();

  console.error(`${SPLITS} splits, seen by all nodes`);
  const splitMs = await others.during(() => measureSplits(admins, 10_922, 16_384));
  moving.start(rate);
  still.start(rate);
  await sleep(WARM_UP_MS);
  const calm = { done: still.done, atMs: performance.now() };
  await others.during(() => sleep(CALM_MS));
  const calmRate = ((still.done - calm.done) * 1000) / (performance.now() - calm.atMs);
  const calmLatency = still.latencies.slice(-Math.floor((calmRate * CALM_MS) / 1000));
  const calmWriteMs = moving.longestWrite();

  const rows: MoveRow[] = [];
  const otherFrom = still.latencies.length;
  for (let at = 0; at < options.moves; at++) {
    const toGroup = at % 2 === 0 ? 4 : 2;
    const { figures, cpu } = await others.during(() =>
      withRoleTimes(nodes, async () => ({ ...(await move(admin, toGroup, { moving, still })), commands: mib })),
    );
    const row = { ...figures, cpu, cpuSeconds: (totalUs(nodes, cpu) * mib) / 1e6 };
    rows.push(row);
    console.error(
      `  move ${at + 1}: ${row.seconds.toFixed(1)} s, ${(mib / row.seconds).toFixed(1)} MiB/s, ${row.cpuSeconds.toFixed(1)} s of CPU, ` +
        `pause ${row.pauseMs.toFixed(0)} ms, longest write ${row.longestWriteMs.toFixed(0)} ms, other range ${row.otherRate.toFixed(0)}/s`,
    );
  }
  await moving.stop();
  await still.stop();
  const lost = [...(await moving.lost()), ...(await still.lost())];
  for (const client of admins) client.close();
  moving.close();
  still.close();

  const of = (pick: (row: MoveRow) => number, decimals: number): string =>
    rangeOf(rows.map(pick), (value) => value.toFixed(decimals));
  const pauseP99Ms = percentile(
    rows.map(({ pauseMs }) => pauseMs),
    0.99,
  );
  const splitP95Ms = percentile(splitMs, 0.95);
  const otherMs = still.latencies.slice(otherFrom);
  const p99 = (values: readonly number[]): string => percentile(values, 0.99).toFixed(1);
  const failures = [...moving.failures, ...still.failures];
  const shown = [
    ['smallest / middle / largest move', ''],
    [`move of ${mib} MiB, s`, of(({ seconds }) => seconds, 1)],
    ['MiB/s', of(({ seconds }) => mib / seconds, 1)],
    ['write pause, ms', of(({ pauseMs }) => pauseMs, 0)],
    ['longest write during the whole move, ms', of(({ longestWriteMs }) => longestWriteMs, 0)],
    ['longest write before the moves, ms', calmWriteMs.toFixed(0)],
    ['other range, operations a second', of(({ otherRate }) => otherRate, 0)],
    ['other range before the moves', calmRate.toFixed(0)],
    ['p99 of the other range, before and during, ms', `${p99(calmLatency)}, ${p99(otherMs)}`],
    ['split known to all nodes, ms', rangeOf(splitMs, (ms) => ms.toFixed(0))],
    ['CPU of all nodes, s', of(({ cpuSeconds }) => cpuSeconds, 1)],
  ];
  const { isQuiet } = others;
  const why = (texts: readonly string[]): string =>
    texts.length === 0 ? '' : `: ${[...new Set(texts)].slice(0, 3).join('; ')}`;
  return conclude(
    {
      name: 'moves',
      facts: { mib, valueBytes, rate, moves: rows, splitMs, calmRate, calmWriteMs, lost, failures: failures.length },
      tables: [
        formatTable(shown, ['left', 'right']),
        formatCpu([{ load: 'move', system: 'kvorum', rounds: rows.map(({ cpu }) => cpu) }], 'us of CPU a MiB'),
        `failed operations: ${failures.length}${why(failures)}`,
      ],
      verdicts: [
        {
          text: `write pause: p99 ${pauseP99Ms.toFixed(0)} ms, median ${median(rows.map(({ pauseMs }) => pauseMs)).toFixed(0)} ms, <= ${PAUSE_BAR_MS} ms`,
          passed: pauseP99Ms <= PAUSE_BAR_MS,
          isQuiet,
        },
        {
          text: `split known to all nodes: p95 ${splitP95Ms.toFixed(0)} ms, <= ${SPLIT_BAR_MS} ms`,
          passed: splitP95Ms <= SPLIT_BAR_MS,
          isQuiet,
        },
        { text: `acknowledged and lost: ${lost.length}${why(lost)}`, passed: lost.length === 0, isQuiet: true },
      ],
      others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:moves',
  says: 'Measures moves of a range between groups under load.',
  peers: 'nobody: redis-server and etcd have no ranges that move.',
})
  .option('--mib <size>', 'size of the range', count(1e6), 256)
  .option('--value-bytes <size>', 'size of a value', count(1e6), 4096)
  .option('--moves <count>', 'how many moves', count(1000), 10)
  .option('--rate <ops>', 'operations a second on each range, half of them writes', count(1e6), 500);
program.parse();
const options = program.opts<Options>();
const scratch = new Scratch(options.folder);
let code = 1;
try {
  code = await run(options, scratch);
} finally {
  await scratch.clean();
}
process.exit(code);
