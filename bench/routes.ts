/**
 * `npm run bench:routes [-- --json]`: what the directory of ranges costs from a thousand to a million routes: a lookup beside a binary
 * search on a plain sorted array, counting a key's load, applying splits, a batch of 256, and memory with 32 versions kept.
 * Keys are Buffers as the Redis adapter makes them. Means are of processor time, percentiles of elapsed time; compare within
 * a run only. Draws how lookups grow into bench/results/routes.svg, and fails when a bar is not met.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { LoadSampler } from '../src/distribution/balance/load-sampler.ts';
import type { CatalogDelta, Route, RouteMutation } from '../src/distribution/contract/types.ts';
import { DEFAULT_HISTORY_VERSIONS, RouteEngine } from '../src/distribution/routes/route-engine.ts';
import { type RouteTable, RouteTableLoader } from '../src/distribution/routes/route-table.ts';
import { groupId, NEVER, SeededRandom } from '../src/platform/index.ts';

const SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
const LOOKUPS = 400_000;
const TIMED_LOOKUPS = 100_000;
const SPLITS = 2_000;
const GROUPS = 64;
const MIB = 1024 * 1024;

const { gc } = globalThis;
if (gc === undefined) throw new Error('memory is measured after a collection: run with --expose-gc');

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
  for (let round = 0; round < 3; round++) {
    gc!();
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

const PLOT = { width: 720, height: 400, left: 60, right: 150, top: 30, bottom: 50 };
interface Line {
  readonly name: string;
  readonly colour: string;
  /** How far its name is moved down, so that names of lines that end together can be read. */
  readonly nameDown: number;
  of(row: Figures): number;
}

const LINES: readonly Line[] = [
  { name: 'sorted array', colour: '#999999', nameDown: 4, of: (row) => row.arrayMeanUs },
  { name: 'lookup', colour: '#1f6feb', nameDown: -4, of: (row) => row.meanUs },
  { name: 'groupOf', colour: '#2da44e', nameDown: 12, of: (row) => row.groupMeanUs },
];

/** Microseconds over the number of routes, that axis logarithmic: what grows with log N is a straight line. */
function plot(rows: readonly Figures[]): string {
  const { width, height, left, right, top, bottom } = PLOT;
  const [least, most] = [Math.log10(rows[0]!.routes), Math.log10(rows.at(-1)!.routes)];
  const highest = Math.max(...rows.flatMap((row) => LINES.map((line) => line.of(row)))) * 1.1;
  const x = (routes: number): number => left + ((Math.log10(routes) - least) / (most - least)) * (width - left - right);
  const y = (us: number): number => height - bottom - (us / highest) * (height - top - bottom);
  const text = (atX: number, atY: number, words: string, rest = ''): string =>
    `<text x="${atX.toFixed(1)}" y="${atY.toFixed(1)}" ${rest}>${words}</text>`;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(left, 18, 'Cost of a lookup (us, processor time) over the number of routes'),
    `<path d="M${left} ${top}V${height - bottom}H${width - right}" fill="none" stroke="black"/>`,
  ];
  for (let power = Math.ceil(least); power <= most; power++) {
    parts.push(text(x(10 ** power), height - bottom + 18, (10 ** power).toLocaleString('en'), 'text-anchor="middle"'));
  }
  for (let step = 0; step <= 4; step++) {
    const us = (highest * step) / 4;
    parts.push(text(left - 6, y(us) + 4, us.toFixed(1), 'text-anchor="end"'));
  }
  for (const line of LINES) {
    const { name, colour, nameDown } = line;
    const points = rows.map((row) => `${x(row.routes).toFixed(1)},${y(line.of(row)).toFixed(1)}`).join(' ');
    parts.push(`<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    parts.push(text(width - right + 8, y(line.of(rows.at(-1)!)) + nameDown, name, `fill="${colour}"`));
  }
  // What log N would be, from the smallest table on.
  const first = rows[0]!;
  const straight = (routes: number): number => (first.meanUs * Math.log2(routes)) / Math.log2(first.routes);
  const ends = [first, rows.at(-1)!].map(({ routes }) => `${x(routes).toFixed(1)},${y(straight(routes)).toFixed(1)}`);
  parts.push(`<polyline points="${ends.join(' ')}" fill="none" stroke="#1f6feb" stroke-dasharray="4 4"/>`);
  parts.push(text(width - right + 8, y(straight(rows.at(-1)!.routes)) + 16, 'lookup, if log N', 'fill="#1f6feb"'));
  return `${parts.join('\n')}\n</svg>\n`;
}

/** What the directory is held to; the name of a bar that is not met is printed. */
const BARS: readonly (readonly [string, (row: Figures) => boolean])[] = [
  ['a small split is applied in at most 100 ms (p99)', (row) => row.splitP99Ms <= 100],
  ['a lookup takes at most 5 us (p99)', (row) => row.p99Us <= 5],
  ['32 versions take at most 1 GiB', (row) => row.historyMib <= 1_024],
  ['counting a key takes at most 0.5 us with 1,000 routes', (row) => row.routes > 1_000 || row.recordMeanUs <= 0.5],
];

const rows: Figures[] = [];
for (const count of SIZES) rows.push(await measure(count));
const results = new URL('./results/', import.meta.url);
mkdirSync(results, { recursive: true });
writeFileSync(new URL('routes.svg', results), plot(rows));
for (const [bar, isMet] of BARS) {
  for (const row of rows) {
    if (isMet(row)) continue;
    console.error(`not met with ${row.routes} routes: ${bar}`);
    process.exitCode = 1;
  }
}
if (process.argv.includes('--json')) {
  console.log(JSON.stringify(rows));
} else {
  const columns: readonly [string, (row: Figures) => string][] = [
    ['routes', (row) => String(row.routes)],
    ['lookup us', (row) => row.meanUs.toFixed(2)],
    ['us/log2 N', (row) => (row.meanUs / Math.log2(row.routes)).toFixed(3)],
    ['p50 us', (row) => row.p50Us.toFixed(2)],
    ['p99 us', (row) => row.p99Us.toFixed(2)],
    ['groupOf us', (row) => row.groupMeanUs.toFixed(2)],
    ['array us', (row) => row.arrayMeanUs.toFixed(2)],
    ['array/groupOf', (row) => (row.arrayMeanUs / row.groupMeanUs).toFixed(2)],
    ['record us', (row) => row.recordMeanUs.toFixed(2)],
    ['split p50 ms', (row) => row.splitP50Ms.toFixed(3)],
    ['split p99 ms', (row) => row.splitP99Ms.toFixed(3)],
    ['batch 256 ms', (row) => row.batchMs.toFixed(1)],
    ['load ms', (row) => row.loadMs.toFixed(0)],
    ['table MiB', (row) => row.tableMib.toFixed(1)],
    ['with 32 versions MiB', (row) => row.historyMib.toFixed(1)],
  ];
  console.log(columns.map(([title]) => title.padStart(Math.max(9, title.length))).join('  '));
  for (const row of rows) {
    console.log(columns.map(([title, show]) => show(row).padStart(Math.max(9, title.length))).join('  '));
  }
}
