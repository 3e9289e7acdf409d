/** Resident side rows on their way to disk: only what is there when a generation is frozen is ever made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../src/platform/index.ts';
import type { SideSource } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { RowKind } from '../../src/store/rows/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const NAME = Buffer.from([1]);

/** A value that counts how often it was made. */
class Source implements SideSource {
  readonly text: string;
  readonly sizeBytes: number;
  made = 0;

  constructor(text: string, sizeBytes = text.length) {
    this.text = text;
    this.sizeBytes = sizeBytes;
  }

  encode(): Buffer {
    this.made++;
    return Buffer.from(this.text);
  }
}

async function bed() {
  const levels = new SimulatedLevels();
  /** What batches do with resident rows. */
  const seen: string[] = [];
  levels.beforeBatch = async (operations) => {
    for (const { type, key } of operations) {
      if (key[0] === RowKind.ResidentSide) seen.push(`${type} ${key.subarray(1, key.length - 3)}`);
    }
  };
  const open = () =>
    openGroupStore({ location: 'store', openLevel: levels.openLevel, folders: levels, disk: new MemoryDisk() });
  let store = await open();
  return {
    seen,
    set(key: string, value: Buffer | SideSource | undefined, name = NAME): void {
      const writer = store.write();
      writer.setSide(Buffer.from(key), name, value);
      writer.commit(store.appliedIndex + 1);
    },
    read: (key: string): string | undefined => store.side(Buffer.from(key), NAME)?.toString(),
    list: (): string[] => [...store.residentSides()].map(({ key, value }) => `${key}=${value}`).sort(),
    rows: (): string[] => [...store.residentSides()].map(({ key, name, value }) => `${key}.${name[0]}=${value}`).sort(),
    flush: () => store.flush(),
    close: () => store.close(),
    /** The process dies and comes back with what was on disk. */
    async crash(): Promise<void> {
      await levels.crash(new SeededRandom(1));
      store = await open();
    },
  };
}

test('one that has come and gone between two batches is never made, and the disk hears nothing of it', async () => {
  const { seen, set, read, list, flush, close } = await bed();
  const [gone, kept] = [new Source('1'), new Source('2')];
  set('gone', gone);
  set('kept', kept);
  set('gone', undefined);
  await flush();
  assert.deepEqual([seen, gone.made, kept.made], [['put kept'], 0, 1]);
  assert.deepEqual([read('gone'), read('kept'), list()], [undefined, '2', ['kept=2']]);
  set('kept', new Source('replaced'));
  set('kept', undefined);
  set('again', new Source('3'));
  await flush();
  assert.deepEqual(seen, ['put kept', 'del kept', 'put again']);
  await close();
});

test('what a batch brought to the disk is there after a crash, and what a later one took away is not', async () => {
  const { set, list, flush, crash, close } = await bed();
  set('a', new Source('1'));
  set('b', Buffer.from('2'));
  await flush();
  set('a', undefined);
  set('c', new Source('3'));
  await crash();
  assert.deepEqual(list(), ['a=1', 'b=2'], 'the log has what came later');
  set('a', undefined);
  set('b', new Source('changed'));
  await flush();
  await crash();
  assert.deepEqual(list(), ['b=changed']);
  await close();
});

test('rows of one key come and go in any order, and a crash leaves those of the last batch', async () => {
  const random = new SeededRandom(7);
  const { set, rows, flush, crash, close } = await bed();
  let applied = new Map<string, string>();
  let durable = new Map<string, string>();
  const shown = (): string[] => [...applied].map(([place, text]) => `${place}=${text}`).sort();
  for (let step = 0; step < 2_000; step++) {
    const [key, name] = [random.int(2) === 0 ? 'a' : 'b', 1 + random.int(3)];
    switch (random.int(40)) {
      case 0:
        await flush();
        durable = new Map(applied);
        break;
      case 1:
        await crash();
        applied = new Map(durable);
        break;
      default: {
        const isGone = random.int(2) === 0;
        const text = `${step}`;
        const value = random.int(2) === 0 ? new Source(text) : Buffer.from(text);
        set(key, isGone ? undefined : value, Buffer.from([name]));
        if (isGone) applied.delete(`${key}.${name}`);
        else applied.set(`${key}.${name}`, text);
      }
    }
    assert.deepEqual(rows(), shown(), `step ${step}`);
  }
  await close();
});

test('no more of them wait for a batch than are made in one turn', async () => {
  const { seen, set, list, flush, close } = await bed();
  const sources = [...'abcd'].map((text) => new Source(text, 400 << 10));
  for (const source of sources) set(source.text, source);
  assert.deepEqual(
    sources.map(({ made }) => made),
    [0, 0, 1, 1],
    'two of 400 KiB fit into a MiB',
  );
  set('c', undefined);
  await flush();
  assert.deepEqual(
    [seen.sort(), list()],
    [
      ['del c', 'put a', 'put b', 'put d'],
      ['a=a', 'b=b', 'd=d'],
    ],
  );
  await close();
});
