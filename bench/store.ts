/**
 * What one group's store costs on LevelDB: point reads, applying, scans. Run: `node bench/store.ts [--json]`. Figures are for
 * one process on one core; compare within a run only.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hlcTimestamp, NEVER, SeededRandom } from '../src/platform/index.ts';
import type { GroupStore } from '../src/store/contract/types.ts';
import { openGroupStore } from '../src/store/group/open.ts';

const KEYS = 200_000;
const LARGE_KEYS = 2_000;
const READS = 300_000;
const UNIT_SIZE = 50;

const figures: { name: string; value: number; unit: string }[] = [];
const record = (name: string, value: number, unit: string): void => {
  figures.push({ name, value, unit });
};

/** Keys as the Redis adapter makes them: tag, database 0, slot, name. */
const keyOf = (id: number): Buffer => Buffer.from(`r\0${String.fromCharCode(id & 63, id & 255)}key:${id}`, 'latin1');

let nextTs = 1n;
/** CPU time of the whole process, LevelDB's threads included. */
const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function applyUnits(store: GroupStore, operations: number, keyAt: (at: number) => Buffer, value: Buffer) {
  let writingMs = 0;
  const startMs = performance.now();
  const startCpuUs = cpuUs();
  for (let done = 0; done < operations; done += UNIT_SIZE) {
    const unitStartMs = performance.now();
    const writer = store.write();
    const commitTs = hlcTimestamp(nextTs++);
    for (let at = done; at < done + UNIT_SIZE; at++) writer.put(keyAt(at), value, commitTs, NEVER);
    writer.commit(store.appliedIndex + 1);
    writingMs += performance.now() - unitStartMs;
    const pressure = store.pressure();
    if (pressure !== undefined) await pressure;
    else if (done % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await store.flush();
  return {
    writingUs: (writingMs * 1000) / operations,
    cpuUs: (cpuUs() - startCpuUs) / operations,
    perSecond: (operations / (performance.now() - startMs)) * 1000,
  };
}

function readAll(store: GroupStore, keys: readonly Buffer[], reads: number): number {
  const startMs = performance.now();
  let bytes = 0;
  for (let at = 0; at < reads; at++) bytes += store.latest(keys[at % keys.length]!)!.value.length;
  if (bytes === 0) throw new Error('nothing was read');
  return ((performance.now() - startMs) * 1000) / reads;
}

const folder = await mkdtemp(join(tmpdir(), 'kvorum-bench-store-'));
try {
  const store = await openGroupStore({ location: join(folder, 'store'), counterClassOf: () => 0 });
  const random = new SeededRandom(1);
  const value = random.bytes(100);

  const fresh = await applyUnits(store, KEYS, keyOf, value);
  record('apply, new keys, synchronous part', fresh.writingUs, 'us/op');
  record('apply, new keys, with flush', fresh.perSecond, 'op/s');
  const overwrite = await applyUnits(store, KEYS, () => keyOf(random.int(KEYS)), value);
  record('apply, random overwrites, synchronous part', overwrite.writingUs, 'us/op');
  record('apply, random overwrites, with flush', overwrite.perSecond, 'op/s');
  record('apply, random overwrites, CPU of all threads', overwrite.cpuUs, 'us/op');
  const hot = await applyUnits(store, KEYS, () => keyOf(7), value);
  record('apply, one hot key, synchronous part', hot.writingUs, 'us/op');
  record('apply, one hot key, with flush', hot.perSecond, 'op/s');

  const some = Array.from({ length: 20_000 }, () => keyOf(random.int(KEYS)));
  readAll(store, some, READS);
  record('latest, inline value, from LevelDB', readAll(store, some, READS), 'us');
  const missing = Array.from({ length: 20_000 }, (_, at) => keyOf(KEYS + at));
  const missStartMs = performance.now();
  for (let at = 0; at < READS; at++) store.latest(missing[at % missing.length]!);
  record('latest, no such key', ((performance.now() - missStartMs) * 1000) / READS, 'us');

  const largeKeys = Array.from({ length: LARGE_KEYS }, (_, at) => keyOf(10_000_000 + at));
  await applyUnits(store, LARGE_KEYS, (at) => largeKeys[at]!, random.bytes(4096));
  readAll(store, largeKeys, 20_000);
  record('latest, 4 KiB value apart, from LevelDB', readAll(store, largeKeys, 50_000), 'us');

  const bufferedKeys = some.slice(0, 1000);
  const writer = store.write();
  const commitTs = hlcTimestamp(nextTs++);
  for (const key of bufferedKeys) writer.put(key, value, commitTs, NEVER);
  writer.commit(store.appliedIndex + 1);
  readAll(store, bufferedKeys, READS);
  record('latest, from the buffer', readAll(store, bufferedKeys, READS), 'us');

  for (const limit of [10, 1000]) {
    const scanStartMs = performance.now();
    let rows = 0;
    let pages = 0;
    let start: Buffer | undefined = Buffer.from('r');
    const end = Buffer.from('s');
    while (start !== undefined && pages < 2000) {
      const page = await store.scan({ start, end, readTs: hlcTimestamp(nextTs), limit });
      rows += page.rows.length;
      pages++;
      start = page.next;
    }
    record(`scan, pages of ${limit}`, (rows / (performance.now() - scanStartMs)) * 1000, 'rows/s');
  }

  const gcWriter = store.write();
  store.setGcThreshold(gcWriter, hlcTimestamp(nextTs));
  gcWriter.commit(store.appliedIndex + 1);
  const gcStartMs = performance.now();
  while (!(await store.collectGarbage(50)));
  record('collect, two old versions of three', (2 * KEYS * 1000) / (performance.now() - gcStartMs), 'versions/s');
  await store.close();
} finally {
  await rm(folder, { recursive: true, force: true });
}

if (process.argv.includes('--json')) console.log(JSON.stringify(figures));
else {
  for (const { name, value, unit } of figures) {
    const shown = value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
    console.log(`${name.padEnd(46)} ${shown.padStart(12)} ${unit}`);
  }
}
