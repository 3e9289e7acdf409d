/**
 * `npm run bench:rows`: what a row costs. The executor of one group, the store and LevelDB's flushes of one replica, without network and log: CPU of all
 * threads for an operation, and the bytes of its entry. First rows by number and size, from which the size of pages follows; then commands on
 * collections with pages of 256, 512 and 1,024 bytes, and random ZADD with counts from the first, second and third level on, which decide the limits of
 * bodies. Ranks are measured beside: what counts save in writing they cost in reading.
 */
import { setTimeout as delay } from 'node:timers/promises';
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
import { Ledger } from './ledger.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { conclude } from './results.ts';
import { THIS_PROCESS } from './role-cpu.ts';
import { Scratch } from './scratch.ts';

interface Options extends BenchmarkOptions {
  readonly operations: number;
  readonly turn: number;
  readonly keys: number;
  readonly members: number;
}

const program = benchmark({
  script: 'bench:rows',
  says: 'Measures what a row costs one replica, without network and log.',
  peers:
    'nobody: it is a part of a node, and other systems have no such rows. Rows of several sizes and pages of several lengths are beside each other.',
  rounds: 3,
})
  .option('--operations <count>', 'of each kind', count(1e8), 40_000)
  .option('--turn <count>', 'operations of an entry', count(10_000), 40)
  .option('--keys <count>', 'rows that are there', count(1e8), 200_000)
  .option('--members <count>', 'of each collection', count(1e8), 100_000);
program.parse();
const options = program.opts<Options>();
const { operations, turn: turnSize, keys, members, folder } = options;
const SYSTEM = 'one replica';
const ledger = new Ledger();
/** Of an operation, by what it is. */
const entryBytes = new Map<string, number>();

const ROW_SIZES = [40, 250, 480, 1000, 2000];
const ROW_COUNTS = [1, 2, 4];
const PAGE_SIZES = [256, 512, 1024];
const COUNT_LEVELS = [1, 2, 3];
/** What lies in the row of the newest version at most, in production and where pages are larger. */
const INLINE_BYTES = 512;
const FILLED_AT_ONCE = 200;
const MAX_TURNS = 5_000;

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

async function measureCost(bed: Bed, what: string, act: Act): Promise<void> {
  const random = new SeededRandom(2);
  await run(bed, operations / 4, turnSize, act, random);
  const before = bed.entryBytes();
  await ledger.measure(what, SYSTEM, THIS_PROCESS, async () => {
    const startMs = performance.now();
    await run(bed, operations, turnSize, act, random);
    return { perSecond: (operations * 1_000) / (performance.now() - startMs), commands: operations };
  });
  entryBytes.set(what, (bed.entryBytes() - before) / operations);
}

const openWith = (scratch: Scratch, inlineBytes: number): Promise<Bed> =>
  openBed({
    location: scratch.newFolder('rows'),
    limits: { inlineBytes },
    bodies: { bodyOf, incarnationIn: (_head, value) => incarnationIn(value) },
  });

const rowKey = (number: number): Buffer => Buffer.from(`key:${String(number).padStart(12, '0')}`);

/** Rows by number and size, written blindly or after they were read. */
async function rowCosts(scratch: Scratch): Promise<void> {
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
        await measureCost(bed, `${rows} x ${bytes} B${reads ? ', read first' : ''}`, act);
      }
    }
  }
  await measureCost(bed, '3 reads', (view, random) => {
    for (let left = 3; left > 0; left--) view.get(rowKey(random.int(keys)));
  });
  await bed.store.close();
}

const nameOf = (id: number): Buffer => Buffer.from(`member:${String(id).padStart(12, '0')}`);
const VALUE = Buffer.alloc(30, 'x');

/** Commands on collections that are laid out like this. */
async function bodyCosts(scratch: Scratch, label: string, limits: BodyLimits, onlyOrder: boolean): Promise<void> {
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
  const measure = (what: string, act: Act): Promise<void> => measureCost(bed, `${label}: ${what}`, act);
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
}

async function round(scratch: Scratch): Promise<void> {
  await rowCosts(scratch);
  for (const pageBytes of PAGE_SIZES) {
    const inlineBytes = Math.min(Math.floor((pageBytes * 3) / 8), DEFAULT_BODY_LIMITS.inlineBytes);
    await bodyCosts(scratch, `pages of ${pageBytes} B`, { ...DEFAULT_BODY_LIMITS, pageBytes, inlineBytes }, false);
  }
  for (const countLevel of COUNT_LEVELS)
    await bodyCosts(scratch, `counts from level ${countLevel}`, { ...DEFAULT_BODY_LIMITS, countLevel }, true);
}

const scratch = new Scratch(folder);
try {
  for (let left = options.rounds; left > 0; left--) await round(scratch);
} finally {
  await scratch.clean();
}
const rows = [...entryBytes].map(([what, bytes]) => [what, bytes.toFixed(0)]);
const tables = [
  ledger.formatCosts('us of CPU an operation'),
  formatTable([['one operation', 'entry bytes'], ...rows], ['left', 'right']),
  `${operations} operations each, ${turnSize} an entry; ${keys} keys, ${members} members.`,
];
const facts = { options, lines: ledger.facts(), entryBytes };
process.exit(conclude({ name: 'rows', facts, tables, verdicts: [], others: ledger.others }, options));
