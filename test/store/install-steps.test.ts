/**
 * Something happens at every step of an install: the process dies, one operation fails, the disk is full for a while, the stage
 * is discarded or the store is closed. Whatever it is, what is found afterwards is the old store or the new one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hlcTimestamp, type Millis, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import type { GroupStore, StoreImport } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { type Copy, copyOf, stage } from './copies.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const bytes = (text: string): Buffer => Buffer.from(text);
const NEVER = ts(0);
/** Steps of an install are a few dozen; more means that it does not end. */
const MOST_STEPS = 400;

/** What is waited for comes a hundred times sooner. */
class HastyScheduler extends SystemScheduler {
  override after(ms: Millis, callback: () => void): () => void {
    return super.after(ms / 100, callback);
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function put(store: GroupStore, key: string, value: string): void {
  const writer = store.write();
  writer.put(bytes(key), bytes(value), ts(store.appliedIndex + 1), NEVER);
  writer.commit(store.appliedIndex + 1);
}

/** Begins to drop a range, which goes on in the background. */
function drop(store: GroupStore): void {
  const writer = store.write();
  writer.dropRange(bytes('at 1'), bytes('at 2'));
  writer.commit(store.appliedIndex + 1);
}

const errorOf = (code: string): Error => Object.assign(new Error(`${code}: simulated`), { code });

/** A store whose disk lets a test do something at each of its steps. */
class SteppedStore {
  readonly levels = new SimulatedLevels();
  readonly disk = new MemoryDisk();
  readonly random: SeededRandom;
  readonly failures: Error[] = [];
  /** Files that were deleted from a folder which still had the name of a database. */
  readonly pickedApart: string[] = [];
  isFull = false;
  /** Settles when the store that is being closed is. */
  closing: Promise<void> = Promise.resolve();
  /** Steps so far, and what is done at the next one. */
  steps = 0;
  atStep: (step: number, what: string) => void = () => {};

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const { levels } = this;
    levels.orderOfFiles = (files) => {
      const left = [...files];
      return files.map(() => left.splice(this.random.int(left.length), 1)[0]!);
    };
    levels.beforeFolderChange = (change, location) => this.step(`${change} ${location}`, change === 'rename');
    levels.beforeOpen = (location) => this.step(`open ${location}`, true);
    levels.beforeBatch = () => this.step('batch', true);
  }

  private async step(what: string, takesRoom: boolean): Promise<void> {
    for (let turns = this.random.int(3); turns > 0; turns--) await nextTurn();
    this.atStep(this.steps++, what);
    assert.ok(this.steps < MOST_STEPS, 'an install ends');
    // What is left of such a folder would have the name of a whole one.
    if (/^unlink store(\.rollback)?\//.test(what)) this.pickedApart.push(what);
    if (this.isFull && takesRoom) throw errorOf('ENOSPC');
  }

  /** Nothing happens at any step any more. */
  calm(): void {
    this.atStep = () => {};
    this.steps = 0;
    this.isFull = false;
  }

  open(): Promise<GroupStore> {
    return openGroupStore({
      location: 'store',
      openLevel: this.levels.openLevel,
      folders: this.levels,
      disk: this.disk,
      scheduler: new HastyScheduler(),
      limits: { flushIntervalMs: 1e9 },
      hasSpace: async () => !this.isFull,
      onFailure: (error) => this.failures.push(error),
    });
  }
}

/** What a store holds at an index: where it comes from, and what has become of `k`. */
interface Held {
  readonly origin: string;
  readonly value: string;
}

const ORIGINS = ['old', 'copy 0', 'copy 1'];

function assertKnown(store: GroupStore, known: ReadonlyMap<number, Held>, story: string): void {
  const index = store.appliedIndex;
  const expected = known.get(index);
  assert.ok(expected !== undefined, `${story}: the store is at index ${index}`);
  const held = store.latest(bytes('k'))?.value.toString();
  const origins = ORIGINS.filter((origin) => store.latest(bytes(`of ${origin}`)) !== undefined);
  assert.deepEqual({ held, origins }, { held: expected.value, origins: [expected.origin] }, `${story}: index ${index}`);
}

/** A copy of index `index` in which `k` is `value`. */
async function copyAt(index: number, value: string): Promise<Copy> {
  const levels = new SimulatedLevels();
  const disk = new MemoryDisk();
  const source = await openGroupStore({ location: 'source', openLevel: levels.openLevel, folders: levels, disk });
  while (source.appliedIndex < index - 3) put(source, `at ${source.appliedIndex + 1}`, 'x');
  put(source, `of ${value}`, 'x');
  put(source, 'k', value);
  drop(source);
  const copy = await copyOf(source);
  await source.close();
  return copy;
}

/** What happens at a step: `begin` is called there; later `end` makes up for it. */
interface Event {
  readonly name: string;
  begin(bed: SteppedStore, store: GroupStore, staged: StoreImport): void;
  /** The process dies with it. */
  readonly isFatal?: true;
  /** The install may be refused because of it. */
  readonly mayFail?: true;
  /** The store is to be used afterwards. */
  readonly goesOn?: true;
  /** The node may end because of it: it does not know any more what is on its disk. */
  readonly mayEnd?: true;
}

const failsOnce = (code: string): Event => ({
  name: `one operation fails with ${code}`,
  mayFail: true,
  mayEnd: true,
  begin: () => {
    throw errorOf(code);
  },
});

const EVENTS: readonly Event[] = [
  {
    name: 'the power is lost',
    isFatal: true,
    mayFail: true,
    begin: (bed) => {
      bed.atStep = () => {
        throw new Error('the process is dead');
      };
      throw new Error('the process dies');
    },
  },
  failsOnce('EBUSY'),
  failsOnce('EIO'),
  {
    name: 'the disk is full for a while',
    mayFail: true,
    goesOn: true,
    begin: (bed) => {
      bed.isFull = true;
      setTimeout(() => {
        bed.isFull = false;
      }, 15);
    },
  },
  {
    name: 'the stage is discarded',
    mayFail: true,
    goesOn: true,
    begin: (_bed, _store, staged) => {
      staged.discard().catch(() => {});
    },
  },
  {
    name: 'the store is closed',
    mayFail: true,
    begin: (bed, store) => {
      bed.closing = store.close();
    },
  },
];

/** One install with an event at one step. @returns the index that was found, and whether that step was reached */
async function installWith(event: Event, at: number, seed: number, copies: readonly Copy[]) {
  const bed = new SteppedStore(seed);
  let story = `${event.name} at step ${at}, seed ${seed}`;
  let store = await bed.open();
  const known = new Map<number, Held>();
  let origin = 'old';
  const putKnown = (value: string): void => {
    put(store, 'k', value);
    known.set(store.appliedIndex, { origin, value });
  };
  put(store, 'of old', 'x');
  put(store, 'at 1', 'to be dropped');
  putKnown('old');
  await store.flush();
  let isReached = false;
  let least = store.appliedIndex;
  for (const [number, copy] of copies.entries()) {
    const value = `copy ${number}`;
    known.set(copy.manifest.appliedIndex, { origin: value, value });
    const staged = await stage(store, copy);
    await staged.finish();
    const isLast = number === copies.length - 1;
    bed.calm();
    if (isLast) {
      // Not on disk yet when the install begins.
      putKnown('and on');
      drop(store);
      known.set(store.appliedIndex, { origin, value: 'and on' });
      bed.atStep = (step, what) => {
        if (step !== at) return;
        isReached = true;
        story += ` (${what})`;
        event.begin(bed, store, staged);
      };
    }
    // A removal that fails before the last install leaves something beside the store.
    else {
      let hasFailed = false;
      bed.atStep = (_step, what) => {
        if (hasFailed || !/^(remove|unlink)/.test(what) || bed.random.int(3) > 0) return;
        hasFailed = true;
        throw errorOf('EBUSY');
      };
    }
    const outcome = await staged.install().then(
      () => 'installed' as const,
      (error: unknown) => error,
    );
    if (outcome === 'installed') {
      least = copy.manifest.appliedIndex;
      origin = value;
      if (!event.isFatal) assert.equal(store.appliedIndex, least, story);
    } else {
      assert.ok(isReached && event.mayFail, `${story}: ${String(outcome)}`);
    }
    if (isReached && !event.goesOn) break;
    if (!isReached) bed.calm();
    // Whichever store it is now, it goes on dropping what it has to, and takes writes.
    for (let pause = store.pressure(); pause !== undefined; pause = store.pressure()) await pause;
    await store.dropping(bytes('at 1'), bytes('at 2'));
    bed.calm();
    assert.ok(!bed.levels.locations().includes('store.incoming'), story);
    putKnown('afterwards');
    least = store.appliedIndex;
    await store.flush();
  }
  assert.deepEqual(bed.pickedApart, [], story);
  if (event.isFatal && isReached) {
    await bed.levels.crash(bed.random);
    bed.calm();
  } else {
    if (!event.mayEnd) assert.deepEqual(bed.failures, [], story);
    bed.isFull = false;
    await bed.closing;
    await store.close().catch((error: unknown) => assert.ok(event.mayEnd, `${story}: ${String(error)}`));
    if (!event.mayEnd) assert.deepEqual(bed.failures, [], story);
    assert.throws(() => store.write(), story);
    bed.calm();
    // And then the machine loses power: what was said to be done must be stable.
    if (bed.random.int(2) === 0) await bed.levels.crash(bed.random);
  }
  store = await bed.open();
  assertKnown(store, known, story);
  assert.ok(store.appliedIndex >= least, `${story}: index ${store.appliedIndex}, it was ${least} already`);
  assert.deepEqual(bed.levels.locations(), ['store'], story);
  const index = store.appliedIndex;
  await store.close();
  return { index, isReached };
}

for (const event of EVENTS) {
  test(`an install leaves the old store or the new one when ${event.name} at any step`, async () => {
    const copies = [await copyAt(20, 'copy 0'), await copyAt(50, 'copy 1')];
    for (let seed = 1; seed <= 8; seed++) {
      const used = seed % 2 === 0 ? copies : copies.slice(0, 1);
      const seen = new Set<boolean>();
      let at = 0;
      for (let isReached = true; isReached; at++) {
        const found = await installWith(event, at, seed, used);
        ({ isReached } = found);
        seen.add(found.index >= used.at(-1)!.manifest.appliedIndex);
      }
      assert.ok(at > 4, `${at} steps`);
      if (event.isFatal) assert.equal(seen.size, 2, 'the old one in some cases, the new one in others');
    }
  });
}
