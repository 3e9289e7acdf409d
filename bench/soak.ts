/**
 * `npm run soak`: whether disk, memory and open files stay bounded under a load that never ends. Three node processes; clients overwrite the same keys again and again, every second one with a time to live, so that what
 * is live is bounded and everything else has to go: versions, tombstones, expired keys, log segments, obsolete tables. All
 * three figures are sampled every few seconds and plotted; the last third of the run must not be above the middle third by
 * more than a quarter, since what grows without bound keeps growing. The log takes the disk in files of 64 MiB, so one more of
 * them on each node is no growth.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { memoryOf, openFileCount, usedBytes } from './node-use.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { Scratch } from './scratch.ts';
import { type Panel, plotSvg } from './soak-plot.ts';

const NODES = [1, 2, 3];
const SAMPLE_MS = 3_000;
/** What the last third may be above the middle one. */
const MAX_GROWTH = 1.25;
const LEAST_TTL_MS = 2_000;
const TTL_SPREAD_MS = 10_000;
const MIB = 1024 ** 2;

interface Sample {
  readonly atS: number;
  readonly diskBytes: number;
  readonly logBytes: number;
  readonly rssBytes: number;
  readonly openFiles: number;
  readonly writes: number;
  readonly refusals: number;
}

/** Resident memory of a process; 0 when it is gone. */
function residentBytes(pid: number): number {
  const { ownBytes, mappedBytes } = memoryOf(pid);
  return ownBytes + mappedBytes;
}

/** Clients that overwrite the same keys for ever. */
class Load {
  writes = 0;
  refusals = 0;
  private isStopped = false;
  private readonly clients: Redis[];
  private readonly running: Promise<unknown>;
  private readonly keys: number;
  private readonly value: string;

  constructor(ports: readonly number[], clients: number, keys: number, bytes: number) {
    this.keys = keys;
    this.value = 'v'.repeat(bytes);
    this.clients = Array.from({ length: clients }, (_, at) => new Redis(ports[at % ports.length]!, '127.0.0.1'));
    this.running = Promise.all(this.clients.map((client) => this.run(client)));
  }

  private async run(client: Redis): Promise<void> {
    client.on('error', () => undefined);
    while (!this.isStopped) {
      const key = Math.floor(Math.random() * this.keys);
      const ttlMs = Math.floor(LEAST_TTL_MS + Math.random() * TTL_SPREAD_MS);
      try {
        // Keys of one half expire unless they are overwritten in time, those of the other half never do.
        if (key % 2 === 0) await client.set(`soak:${key}`, this.value);
        else await client.set(`soak:${key}`, this.value, 'PX', ttlMs);
        this.writes++;
      } catch {
        this.refusals++;
        await delay(100);
      }
    }
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.running;
    for (const client of this.clients) client.disconnect();
  }
}

/** The largest of a stretch of samples. */
const peak = (samples: readonly Sample[], of: (sample: Sample) => number): number => Math.max(...samples.map(of));

interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly of: (sample: Sample) => number;
  /** What comes in pieces of this size. */
  readonly step: number;
}

/** One file of the log on each node. */
const LOG_STEP_MIB = 64 * NODES.length;

const FIGURES: readonly Figure[] = [
  { name: 'disk', unit: 'MiB', of: ({ diskBytes }) => diskBytes / MIB, step: LOG_STEP_MIB },
  { name: 'of it log', unit: 'MiB', of: ({ logBytes }) => logBytes / MIB, step: LOG_STEP_MIB },
  { name: 'memory', unit: 'MiB', of: ({ rssBytes }) => rssBytes / MIB, step: 0 },
  { name: 'open files', unit: '', of: ({ openFiles }) => openFiles, step: 0 },
];

interface Options extends BenchmarkOptions {
  readonly minutes: number;
  readonly clients: number;
  readonly keys: number;
  readonly bytes: number;
  readonly retention: string;
  readonly out: string;
}

async function main({ minutes, clients, keys, bytes, retention, out, folder, json }: Options): Promise<void> {
  const durationMs = minutes * 60_000;
  const scratch = new Scratch(folder);
  try {
    const { cluster, dataFolder, members } = await startLocalNodes(scratch, {
      nodes: NODES.length,
      groups: 3,
      flags: { retentionMs: retention },
      onLine: (node, line) => console.error(`n${node} | ${line}`),
    });
    const ports = (await members()).map(({ addresses }) => portOf(addresses.redis));
    const load = new Load(ports, clients, keys, bytes);
    scratch.own(() => load.stop());
    const samples: Sample[] = [];
    const startMs = performance.now();
    while (performance.now() - startMs < durationMs) {
      await delay(SAMPLE_MS);
      const pids = NODES.flatMap((id) => cluster.process(id)?.pid ?? []);
      const sum = (of: (pid: number) => number): number => pids.reduce((total, pid) => total + of(pid), 0);
      samples.push({
        atS: (performance.now() - startMs) / 1000,
        diskBytes: usedBytes(dataFolder),
        logBytes: NODES.reduce((total, id) => total + usedBytes(join(dataFolder, `n${id}`, 'log')), 0),
        rssBytes: sum(residentBytes),
        openFiles: sum(openFileCount),
        writes: load.writes,
        refusals: load.refusals,
      });
    }
    report(samples, out, json === true);
  } finally {
    await scratch.clean();
  }
}

/** Prints the table or the samples, writes the plot, and fails the process when something grew. */
function report(samples: readonly Sample[], out: string, isJson: boolean): void {
  const third = Math.floor(samples.length / 3);
  const [middle, last] = [samples.slice(third, 2 * third), samples.slice(2 * third)];
  const rows = FIGURES.map(({ name, unit, of, step }) => {
    const [before, after] = [peak(middle, of), peak(last, of)];
    return { name, unit, first: of(samples[0]!), before, after, growth: (after - step) / Math.max(1, before) };
  });
  const { writes, refusals, atS } = samples.at(-1)!;
  const told = `${writes} writes in ${atS.toFixed(0)} s (${(writes / atS).toFixed(0)}/s), ${refusals} refused`;
  const table = rows.map(({ name, unit, first, before, after, growth }) => [
    unit === '' ? name : `${name}, ${unit}`,
    ...[first, before, after].map((value) => value.toFixed(0)),
    growth <= MAX_GROWTH ? 'yes' : `NO: x ${growth.toFixed(2)}`,
  ]);
  const heading = ['three nodes together', 'at first', 'peak of 2nd third', 'peak of 3rd third', 'bounded'];
  if (isJson) console.log(JSON.stringify(samples, undefined, 2));
  else console.log(`${told}\n${formatTable([heading, ...table])}\nplot: ${out}`);
  const panels = FIGURES.map(
    ({ name, unit, of }): Panel => ({
      title: unit === '' ? name : `${name} (${unit})`,
      points: samples.map((sample) => [sample.atS, of(sample)]),
    }),
  );
  writeFileSync(out, plotSvg('kvorum under overwrites with times to live', panels));
  if (rows.some(({ growth }) => growth > MAX_GROWTH)) process.exitCode = 1;
}

const program = benchmark({
  script: 'soak',
  says: 'Finds out whether disk, memory and open files stay bounded under a load that never ends.',
  peers: 'nobody: what is asked is whether anything grows.',
})
  .option('--minutes <minutes>', 'how long', count(100_000), 5)
  .option('-c, --clients <count>', 'one write at a time each', count(10_000), 32)
  .option('--keys <count>', 'that are overwritten', count(1e8), 3_000)
  .option('--bytes <count>', 'of a value', count(1e7), 16_000)
  .option('--retention <time>', 'how long overwritten versions stay', '20s')
  .option('--out <file>', 'where the plot goes', 'soak.svg');
program.parse();
await main(program.opts<Options>());
