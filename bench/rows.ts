/**
 * `npm run bench:rows`: what a row costs. The executor of one group, the store and LevelDB's flushes of one replica, without network and log: CPU of all
 * threads for an operation, and the bytes of its entry. First rows by number and size, from which the size of pages follows; then commands on
 * collections with pages of 256, 512 and 1,024 bytes, and random ZADD with counts from the first, second and third level on, which decide the limits of
 * bodies. Ranks are measured beside: what counts save in writing they cost in reading.
 *
 *   npm run bench:rows -- [--operations 40000] [--turn 40] [--members 100000] [--folder F] [--json]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { formatTable } from '../cmd/cli/table.ts';
import {
  type BodyAccess,
  type BodyLimits,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  openHash,
  openList,
  openOrdered,
} from '../src/adapter/redis/bodies/index.ts';
import { bodyOf, incarnationIn, KEYSPACES } from '../src/adapter/redis/keys/index.ts';
import type { KeyView } from '../src/kv/index.ts';
import { NEVER, SeededRandom } from '../src/platform/index.ts';
import { type Bed, openBed } from './executor-bed.ts';
import { machine } from './machine.ts';
import { Scratch } from './scratch.ts';

const { values } = parseArgs({
  options: {
    operations: { type: 'string', default: '40000' },
    turn: { type: 'string', default: '40' },
    keys: { type: 'string', default: '200000' },
    members: { type: 'string', default: '100000' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const operations = Number(values.operations);
const turnSize = Number(values.turn);
const keys = Number(values.keys);
const members = Number(values.members);

const ROW_SIZES = [40, 250, 480, 1000, 2000];
const ROW_COUNTS = [1, 2, 4];
const PAGE_SIZES = [256, 512, 1024];
const COUNT_LEVELS = [1, 2, 3];
/** What lies in the row of the newest version at most, in production and where pages are larger. */
const INLINE_BYTES = 512;
const FILLED_AT_ONCE = 200;
const MAX_TURNS = 5_000;

interface Cost {
  readonly what: string;
  readonly cpuUs: number;
  readonly entryBytes: number;
}

type Act = (view: KeyView, random: SeededRandom) => void;

/** Carries operations out in turns, and waits for what the store owes. */
async function run(bed: Bed, count: number, perTurn: number, act: Act, random: SeededRandom): Promise<void> {
  let completed = 0;
  let failure: unknown;
  for (let at = 0; at < count; ) {
    for (let left = Math.min(perTurn, count - at); left > 0; left--, at++) {
      bed.executor.submit({
        evaluate: (view) => act(view, random),
        complete: (error) => {
          failure ??= error;
          completed++;
        },
      });
    }
    bed.turn();
    const pressure = bed.store.pressure();
    if (pressure !== undefined) await pressure;
  }
  // What had no room in its turn is in one of the next.
  for (let left = MAX_TURNS; completed < count && left > 0; left--) {
    bed.turn();
    await delay(1);
  }
  await bed.store.flush();
  if (failure !== undefined) throw failure;
  if (completed !== count) throw new Error(`${count} submitted, ${completed} completed`);
}

async function costOf(bed: Bed, what: string, act: Act): Promise<Cost> {
  const random = new SeededRandom(2);
  await run(bed, operations / 4, turnSize, act, random);
  const before = { cpu: process.cpuUsage(), bytes: bed.entryBytes() };
  await run(bed, operations, turnSize, act, random);
  const { user, system } = process.cpuUsage(before.cpu);
  const cost = {
    what,
    cpuUs: (user + system) / operations,
    entryBytes: (bed.entryBytes() - before.bytes) / operations,
  };
  console.error(`  ${what}: ${cost.cpuUs.toFixed(1)} us, ${cost.entryBytes.toFixed(0)} B`);
  return cost;
}

const openWith = (scratch: Scratch, inlineBytes: number): Promise<Bed> =>
  openBed({
    location: scratch.newFolder('rows'),
    limits: { inlineBytes },
    bodies: { bodyOf, incarnationIn: (_head, value) => incarnationIn(value) },
  });

const rowKey = (number: number): Buffer => Buffer.from(`key:${String(number).padStart(12, '0')}`);

/** Rows by number and size, written blindly or after they were read. */
async function rowCosts(scratch: Scratch): Promise<Cost[]> {
  const costs: Cost[] = [];
  const bed = await openWith(scratch, INLINE_BYTES);
  let next = 0;
  await run(
    bed,
    keys,
    FILLED_AT_ONCE,
    (view) => view.put(rowKey(next++), Buffer.alloc(40), NEVER),
    new SeededRandom(1),
  );
  for (const bytes of ROW_SIZES) {
    const value = Buffer.alloc(bytes, 'x');
    for (const rows of ROW_COUNTS) {
      for (const reads of [false, true]) {
        const act: Act = (view, random) => {
          for (let left = rows; left > 0; left--) {
            const key = rowKey(random.int(keys));
            if (reads) view.get(key);
            view.put(key, value, NEVER);
          }
        };
        costs.push(await costOf(bed, `${rows} x ${bytes} B${reads ? ', read first' : ''}`, act));
      }
    }
  }
  costs.push(
    await costOf(bed, '3 reads', (view, random) => {
      for (let left = 3; left > 0; left--) view.get(rowKey(random.int(keys)));
    }),
  );
  await bed.store.close();
  return costs;
}

const nameOf = (id: number): Buffer => Buffer.from(`member:${String(id).padStart(12, '0')}`);
const VALUE = Buffer.alloc(30, 'x');

/** Commands on collections that are laid out like this. */
async function bodyCosts(scratch: Scratch, label: string, limits: BodyLimits, onlyOrder: boolean): Promise<Cost[]> {
  const bed = await openWith(scratch, Math.max(INLINE_BYTES, limits.pageBytes));
  const random = new SeededRandom(3);
  const accessTo = (view: KeyView): BodyAccess => ({
    view,
    random,
    bodyLimits: limits,
    encodings: DEFAULT_ENCODINGS,
    mayCreateBodies: true,
    mayCreateStreams: true,
    storageKey: (key) => KEYSPACES[0]!.storageKey(key),
  });
  const [hash, list, order] = ['hash', 'list', 'order'].map((name) => Buffer.from(name)) as [Buffer, Buffer, Buffer];
  const add: Act = (view, drawn) => {
    const body = openOrdered(accessTo(view), order);
    body.set(nameOf(drawn.int(2 ** 31)), drawn.int(2 ** 31));
    body.save();
  };
  const setField =
    (id: number): Act =>
    (view) => {
      const body = openHash(accessTo(view), hash);
      body.set(nameOf(id), VALUE);
      body.save();
    };
  const push: Act = (view) => {
    const body = openList(accessTo(view), list);
    body.pushLast([VALUE]);
    body.save();
  };
  const costs: Cost[] = [];
  const measure = async (what: string, act: Act): Promise<void> => {
    costs.push(await costOf(bed, `${label}: ${what}`, act));
  };
  await run(bed, members, FILLED_AT_ONCE, add, new SeededRandom(4));
  await measure('ZADD random', add);
  await measure('ZRANGE by index, 10', (view, drawn) => {
    const from = drawn.int(members);
    for (const _ of openOrdered(accessTo(view), order).range({ by: 'rank', from, to: from + 9 }));
  });
  if (!onlyOrder) {
    let next = 0;
    await run(bed, members, FILLED_AT_ONCE, (view) => setField(next++)(view, random), random);
    await measure('HSET existing', (view, drawn) => setField(drawn.int(members))(view, drawn));
    await measure('HSET new', (view) => setField(next++)(view, random));
    await measure('RPUSH', push);
  }
  await bed.store.close();
  return costs;
}

async function main(): Promise<void> {
  const scratch = new Scratch(values.folder);
  const costs: Cost[] = [];
  try {
    costs.push(...(await rowCosts(scratch)));
    for (const pageBytes of PAGE_SIZES) {
      const inlineBytes = Math.floor((pageBytes * 3) / 8);
      const limits = {
        ...DEFAULT_BODY_LIMITS,
        pageBytes,
        inlineBytes: Math.min(inlineBytes, DEFAULT_BODY_LIMITS.inlineBytes),
      };
      costs.push(...(await bodyCosts(scratch, `pages of ${pageBytes} B`, limits, false)));
    }
    for (const countLevel of COUNT_LEVELS) {
      const limits = { ...DEFAULT_BODY_LIMITS, countLevel };
      costs.push(...(await bodyCosts(scratch, `counts from level ${countLevel}`, limits, true)));
    }
  } finally {
    await scratch.clean();
  }
  const facts = { machine: machine(), operations, turn: turnSize, keys, members };
  if (values.json) {
    console.log(JSON.stringify({ ...facts, costs }, undefined, 2));
    return;
  }
  const rows = costs.map(({ what, cpuUs, entryBytes }) => [what, cpuUs.toFixed(1), entryBytes.toFixed(0)]);
  console.log(formatTable([['one operation', 'CPU us', 'entry bytes'], ...rows], ['left', 'right', 'right']));
  console.log(`\n${operations} operations each, ${turnSize} an entry; ${keys} keys, ${members} members.`);
}

await main();
