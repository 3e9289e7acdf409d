/**
 * `npm run bench:routes`: what the directory of ranges costs from a thousand to a million routes: a lookup beside a binary
 * search on a plain sorted array, counting a key's load, applying splits, a batch of 256, and memory with 32 versions kept.
 * Keys are Buffers as the Redis adapter makes them. Means are of processor time, percentiles of elapsed time; compare within
 * a run only. Draws how lookups grow into bench/results/routes.svg, and fails when a bar is not met.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Align, formatTable } from '../cmd/cli/table.ts';
import { LoadSampler } from '../src/distribution/balance/load-sampler.ts';
import type { CatalogDelta, Route, RouteMutation } from '../src/distribution/contract/types.ts';
import { DEFAULT_HISTORY_VERSIONS, RouteEngine } from '../src/distribution/routes/route-engine.ts';
import { type RouteTable, RouteTableLoader } from '../src/distribution/routes/route-table.ts';
import { groupId, NEVER, SeededRandom } from '../src/platform/index.ts';
import { chartSvg, type Series } from './chart.ts';
import { type BenchmarkOptions, benchmark } from './options.ts';
import { OthersWatch } from './others.ts';
import { conclude } from './results.ts';
import { type CpuLine, formatCpu, type RoleTimes, THIS_PROCESS, withRoleTimes } from './role-cpu.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText, type Verdict } from './spread.ts';

const SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
const LOOKUPS = 400_000;
const TIMED_LOOKUPS = 100_000;
const SPLITS = 2_000;
const GROUPS = 64;
const MIB = 1024 * 1024;
const QUICK_SIZES = 2;
const RESULTS = new URL('./results/', import.meta.url);
const PICTURE = fileURLToPath(new URL('routes.svg', RESULTS));

const { gc } = globalThis;

interface Figures {
  readonly routes: number;
  readonly loadMs: number;
  readonly meanUs: number;
  readonly groupMeanUs: number;
  readonly arrayMeanUs: number;
  /** Counting one access, keys in random order. */
  readonly recordMeanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly splitP50Ms: number;
  readonly splitP99Ms: number;
  readonly batchMs: number;
  readonly tableMib: number;
  readonly historyMib: number;
}

/** Keys as the Redis adapter makes them: tag, database 0, slot, name. */
const keyOf = (at: number, count: number): Buffer => {
  const slot = Math.floor((at * 16_384) / count);
  return Buffer.from(`r\0${String.fromCharCode(slot >> 8, slot & 255)}user:${String(at).padStart(8, '0')}`, 'latin1');
};

function routeOf(id: number, start: Buffer, end: Buffer | undefined): Route {
  return {
    id,
    start,
    end,
    groupId: groupId(1 + (id % GROUPS)),
    state: 'ACTIVE',
    jobId: 0,
    parentId: 0,
    splitAtTs: NEVER,
    minWriteTs: NEVER,
    spanEpoch: 1,
    createdVersion: 1,
    modifiedVersion: 1,
  };
}

const percentile = (sorted: Float64Array, share: number): number => sorted[Math.floor((sorted.length - 1) * share)]!;

/** Memory that is in use after everything unreachable is gone; the memory of Buffers is given back in the background. */
async function usedMib(): Promise<number> {
  if (gc === undefined) throw new Error('memory is measured after a collection: run with --expose-gc');
  for (let round = 0; round < 3; round++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / MIB;
}

/** Mean microseconds of a lookup over keys in random order. */
function meanUs(keys: readonly Buffer[], lookup: (key: Buffer) => unknown): number {
  const start = process.cpuUsage();
  let found = 0;
  for (let at = 0; at < LOOKUPS; at++) if (lookup(keys[at % keys.length]!) !== undefined) found++;
  if (found !== LOOKUPS) throw new Error('a key has no route');
  const { user, system } = process.cpuUsage(start);
  return (user + system) / LOOKUPS;
}

/** The plain way: routes in a sorted array, found by halving. */
function arraySearch(starts: readonly Buffer[], key: Buffer): Buffer | undefined {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(starts[middle]!, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return starts[low - 1];
}

function measureArray(table: RouteTable, keys: readonly Buffer[]): number {
  const starts = [...table.all()].map((route) => Buffer.from(route.start));
  meanUs(keys, (key) => arraySearch(starts, key));
  return meanUs(keys, (key) => arraySearch(starts, key));
}

function measureRecord(table: RouteTable, keys: readonly Buffer[]): number {
  const sampler = new LoadSampler(0, 1, { routes: table.size, details: 64, detailFrom: 5_000 });
  const record = (key: Buffer): true => {
    sampler.record(table, key, false, 16);
    return true;
  };
  meanUs(keys, record);
  return meanUs(keys, record);
}

const split = (route: Route, key: Buffer, nextId: number): RouteMutation[] => [
  { kind: 'delete', id: route.id, start: route.start },
  { kind: 'upsert', route: { ...route, id: nextId, parentId: route.id, end: key } },
  { kind: 'upsert', route: { ...route, id: nextId + 1, parentId: route.id, start: key } },
];

const deltaOf = (version: number, mutations: RouteMutation[]): CatalogDelta => ({
  version,
  committedMs: 0,
  cause: 'split',
  batchId: undefined,
  mutations,
});

function load(count: number): RouteTable {
  const loader = new RouteTableLoader();
  for (let at = 0; at < count; at++) {
    const start = at === 0 ? Buffer.alloc(0) : keyOf(at, count);
    loader.add(routeOf(at + 1, start, at + 1 === count ? undefined : keyOf(at + 1, count)));
  }
  return loader.finish(1, 1);
}

async function measure(count: number): Promise<Figures> {
  const random = new SeededRandom(count);
  const before = await usedMib();
  const engine = new RouteEngine(1);
  const loadStartMs = performance.now();
  engine.publish(load(count));
  const loadMs = performance.now() - loadStartMs;
  const tableMib = (await usedMib()) - before;

  // Enough distinct keys that the whole table is visited, and a little behind the start of a route.
  const keys = Array.from({ length: 100_000 }, () => Buffer.concat([keyOf(random.int(count), count), Buffer.of(1)]));
  const table = engine.current;
  for (let warm = 0; warm < 3; warm++) meanUs(keys, (key) => table.lookup(key));
  const lookupMeanUs = meanUs(keys, (key) => table.lookup(key));
  meanUs(keys, (key) => table.groupOf(key));
  const groupMeanUs = meanUs(keys, (key) => table.groupOf(key));
  const times = new Float64Array(TIMED_LOOKUPS);
  for (let at = 0; at < TIMED_LOOKUPS; at++) {
    const startMs = performance.now();
    table.lookup(keys[at % keys.length]!);
    times[at] = (performance.now() - startMs) * 1000;
  }
  times.sort();

  const arrayMeanUs = measureArray(table, keys);
  const recordMeanUs = measureRecord(table, keys);

  let nextId = count + 1;
  const applied = new Float64Array(SPLITS);
  for (let at = 0; at < SPLITS; at++) {
    const key = Buffer.concat([keys[random.int(keys.length)]!, random.bytes(4)]);
    const { current } = engine;
    const delta = deltaOf(current.version + 1, split(current.lookup(key)!, key, nextId));
    nextId += 2;
    const startMs = performance.now();
    engine.publish(current.apply(delta));
    applied[at] = performance.now() - startMs;
  }
  applied.sort();

  const cuts = new Map<number, RouteMutation[]>();
  while (cuts.size < 256) {
    const key = Buffer.concat([keys[random.int(keys.length)]!, random.bytes(4)]);
    const route = engine.current.lookup(key)!;
    if (cuts.has(route.id)) continue;
    cuts.set(route.id, split(route, key, nextId));
    nextId += 2;
  }
  const batch = deltaOf(engine.current.version + 1, [...cuts.values()].flat());
  const batchStartMs = performance.now();
  engine.publish(engine.current.apply(batch));
  const batchMs = performance.now() - batchStartMs;
  if (engine.current.version !== batch.version || engine.versions().length !== DEFAULT_HISTORY_VERSIONS) {
    throw new Error('a batch is one version');
  }
  keys.length = 0;
  const historyMib = (await usedMib()) - before;
  return {
    routes: count,
    loadMs,
    meanUs: lookupMeanUs,
    groupMeanUs,
    arrayMeanUs,
    recordMeanUs,
    p50Us: percentile(times, 0.5),
    p99Us: percentile(times, 0.99),
    splitP50Ms: percentile(applied, 0.5),
    splitP99Ms: percentile(applied, 0.99),
    batchMs,
    tableMib,
    historyMib,
  };
}

type Name = Exclude<keyof Figures, 'routes'>;

/** All rounds of one number of routes. */
interface Row {
  readonly routes: number;
  readonly rounds: Figures[];
  /** Of everything that is done with them, a route. */
  readonly cpu: RoleTimes[];
}

const valuesOf = ({ rounds }: Row, name: Name): number[] => rounds.map((figures) => figures[name]);

const LINES: readonly { readonly name: string; readonly colour: string; readonly of: Name }[] = [
  { name: 'sorted array', colour: '#999999', of: 'arrayMeanUs' },
  { name: 'lookup', colour: '#1f6feb', of: 'meanUs' },
  { name: 'groupOf', colour: '#2da44e', of: 'groupMeanUs' },
];

/** Microseconds over the number of routes, that axis logarithmic: what grows with log N is a straight line. */
function plot(rows: readonly Row[]): string {
  const series = LINES.map(({ name, colour, of }): Series => {
    const points = rows.map((row) => {
      const values = valuesOf(row, of);
      return { x: row.routes, y: median(values), lowest: Math.min(...values), highest: Math.max(...values) };
    });
    return { name, colour, points };
  });
  // What log N would be, from the smallest table on.
  const { x: fewest, y: least } = series[1]!.points[0]!;
  const straight = rows.map(({ routes }) => {
    const us = (least * Math.log2(routes)) / Math.log2(fewest);
    return { x: routes, y: us, lowest: us, highest: us };
  });
  return chartSvg({
    title: 'Processor time of a lookup by number of routes',
    x: { title: 'routes', isLogarithmic: true },
    y: { title: 'us', isLogarithmic: false },
    series: [...series, { name: 'if log N', colour: '#b0c8ee', points: straight }],
  });
}

/** What the directory is held to. */
const BARS: readonly {
  readonly text: string;
  readonly of: Name;
  readonly atMost: number;
  readonly mostRoutes?: number;
}[] = [
  { text: 'a small split is applied in at most 100 ms (p99)', of: 'splitP99Ms', atMost: 100 },
  { text: 'a lookup takes at most 5 us (p99)', of: 'p99Us', atMost: 5 },
  { text: '32 versions take at most 1 GiB', of: 'historyMib', atMost: 1_024 },
  { text: 'counting a key takes at most 0.5 us with 1,000 routes', of: 'recordMeanUs', atMost: 0.5, mostRoutes: 1_000 },
];

function verdictsOf(rows: readonly Row[], isQuiet: boolean): Verdict[] {
  return BARS.map(({ text, of, atMost, mostRoutes = Number.POSITIVE_INFINITY }) => {
    const judged = rows.filter(({ routes }) => routes <= mostRoutes).map((row) => valuesOf(row, of));
    const missed = judged.filter((values) => median(values) > atMost);
    const worst = Math.max(...judged.map(median));
    return {
      text: `${text}: ${worst.toPrecision(3)}`,
      passed: missed.length === 0,
      // Below its bar, it does not matter how far rounds lie apart.
      isQuiet: missed.length === 0 || (isQuiet && areQuiet(...missed)),
    };
  });
}

const COLUMNS: readonly { readonly title: string; readonly of: Name; readonly decimals: number }[] = [
  { title: 'lookup us', of: 'meanUs', decimals: 2 },
  { title: 'p50 us', of: 'p50Us', decimals: 2 },
  { title: 'p99 us', of: 'p99Us', decimals: 2 },
  { title: 'groupOf us', of: 'groupMeanUs', decimals: 2 },
  { title: 'array us', of: 'arrayMeanUs', decimals: 2 },
  { title: 'record us', of: 'recordMeanUs', decimals: 2 },
  { title: 'split p50 ms', of: 'splitP50Ms', decimals: 3 },
  { title: 'split p99 ms', of: 'splitP99Ms', decimals: 3 },
  { title: 'batch 256 ms', of: 'batchMs', decimals: 1 },
  { title: 'load ms', of: 'loadMs', decimals: 0 },
  { title: 'table MiB', of: 'tableMib', decimals: 1 },
  { title: 'with 32 versions MiB', of: 'historyMib', decimals: 1 },
];

function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    String(row.routes),
    ...COLUMNS.map(({ of, decimals }) => rangeOf(valuesOf(row, of), (value) => value.toFixed(decimals))),
    ratioText(ratiosOf(valuesOf(row, 'groupMeanUs'), valuesOf(row, 'arrayMeanUs'))),
  ]);
  const heading = ['routes', ...COLUMNS.map(({ title }) => title), 'groupOf to array'];
  return formatTable(
    [heading, ...lines],
    heading.map((): Align => 'right'),
  );
}

async function main(options: BenchmarkOptions): Promise<number> {
  const others = new OthersWatch();
  const rows = (options.quick === true ? SIZES.slice(0, QUICK_SIZES) : SIZES).map(
    (routes): Row => ({ routes, rounds: [], cpu: [] }),
  );
  for (let round = 0; round < (options.quick === true ? 1 : options.rounds); round++) {
    for (const { routes, rounds, cpu } of rows) {
      const measured = await others.during(() =>
        withRoleTimes(THIS_PROCESS, async () => ({ ...(await measure(routes)), commands: routes })),
      );
      rounds.push(measured.figures);
      cpu.push(measured.cpu);
    }
    console.error(`round ${round + 1}`);
  }
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(PICTURE, plot(rows));
  const costs = rows.map(({ routes, cpu }): CpuLine => ({ load: `${routes} routes`, system: 'kvorum', rounds: cpu }));
  return conclude(
    {
      name: 'routes',
      facts: { rows },
      tables: [table(rows), formatCpu(costs, 'us of CPU of everything, a route'), `Drawn in ${PICTURE}`],
      verdicts: verdictsOf(rows, others.isQuiet),
      others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:routes',
  says: 'Measures what the directory of ranges costs from a thousand to a million routes, and draws how lookups grow.',
  peers: 'a binary search in a plain sorted array. redis-server and etcd have no directory.',
  rounds: 3,
  quick: 'one round, few routes',
  hasData: false,
});
program.parse();
process.exit(await main(program.opts<BenchmarkOptions>()));
