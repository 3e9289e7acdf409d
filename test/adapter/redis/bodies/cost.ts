/**
 * What operations on bodies of growing size cost, in rows: reads of the view, and keys written. This cost does not depend on the machine.
 * `npm run cost:bodies -- 1000000` prints it for one size.
 */
import {
  type HashBody,
  MAX_ID,
  MIN_ID,
  NO_EXPIRY,
  newHash,
  newList,
  newOrdered,
  newSet,
  newStream,
  openHash,
  openList,
  openOrdered,
  openSet,
  openStream,
  type StreamBody,
  type StreamGroup,
  streamId,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { SeededRandom, timestampOfMs } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, type TestAccess } from './memory-rows.ts';

export interface Cost {
  readonly name: string;
  /** On average, and the most that one operation took. */
  readonly reads: number;
  readonly mostReads: number;
  readonly writes: number;
  readonly mostWrites: number;
}

const OPERATIONS = 300;
/** When fields of hashes expire that do, from then on. */
const LATER_MS = 1_000_000;
const KEY = bytesOf('cost');

/** A field, member or value of 8 to 13 bytes. */
const nameOf = (index: number): Buffer => bytesOf(`element:${index}`);

/** Measures operations on bodies of `size` elements; each operation opens the body and saves it, as a command does. */
export function measureCosts(size: number): Cost[] {
  const random = new SeededRandom(size);
  const costs: Cost[] = [];
  const access = accessTo();
  const { view } = access;
  const measure = (name: string, operations: number, run: (index: number) => void): void => {
    const total = { reads: 0, mostReads: 0, writes: 0, mostWrites: 0 };
    for (let index = 0; index < operations; index++) {
      view.forget();
      run(index);
      total.reads += view.reads;
      total.writes += view.written.size;
      total.mostReads = Math.max(total.mostReads, view.reads);
      total.mostWrites = Math.max(total.mostWrites, view.written.size);
    }
    costs.push({ ...total, name, reads: total.reads / operations, writes: total.writes / operations });
  };
  const anyName = (): Buffer => nameOf(random.int(size));
  const few = Math.min(OPERATIONS, Math.max(1, size >> 2));

  const hash = newHash(access, KEY);
  for (let index = 0; index < size; index++) hash.set(nameOf(index), bytesOf('value'));
  hash.save();
  measure('hash length', 1, () => openHash(access, KEY).size);
  measure('hash get', OPERATIONS, () => openHash(access, KEY).get(anyName()));
  const setField = (field: Buffer, value: string): void => {
    const changed = openHash(access, KEY);
    changed.set(field, bytesOf(value));
    changed.save();
  };
  measure('hash set of an existing field', OPERATIONS, (index) => setField(anyName(), `value ${index}`));
  measure('hash set of a new field', OPERATIONS, (index) => setField(nameOf(size + index), 'value'));
  measure('hash random field', OPERATIONS, () => openHash(access, KEY).random());
  measure('hash delete', few, () => {
    const changed = openHash(access, KEY);
    changed.delete([anyName()]);
    changed.save();
  });

  const expiring = newHash(access, KEY);
  for (let index = 0; index < size; index++)
    expiring.set(nameOf(index), bytesOf('value'), index % 2 === 0 ? NO_EXPIRY : LATER_MS + random.int(1_000_000));
  expiring.save();
  const changeHash = (change: (hash: HashBody) => void): void => {
    const changed = openHash(access, KEY);
    change(changed);
    changed.save();
  };
  measure('expiring hash length', 1, () => openHash(access, KEY).size);
  measure('expiring hash get', OPERATIONS, () => openHash(access, KEY).get(anyName()));
  measure('expiring hash set of a new field', OPERATIONS, (index) =>
    changeHash((hash) => hash.set(nameOf(size + index), bytesOf('value'), LATER_MS + random.int(1_000_000))),
  );
  measure('expiring hash another expiry', OPERATIONS, () =>
    changeHash((hash) => hash.setExpiry(anyName(), LATER_MS + random.int(1_000_000))),
  );
  measure('expiring hash value with expiry kept', OPERATIONS, (index) =>
    changeHash((hash) => hash.set(anyName(), bytesOf(`value ${index}`), 'keep')),
  );
  const before = view.ts;
  view.ts = timestampOfMs(LATER_MS + 500_000);
  measure('expiring hash length after some expired', 1, () => openHash(access, KEY).size);
  view.ts = before;

  const set = newSet(access, KEY);
  for (let index = 0; index < size; index++) set.add(nameOf(index));
  set.save();
  measure('set has', OPERATIONS, () => openSet(access, KEY).has(anyName()));
  measure('set add of a new member', OPERATIONS, (index) => {
    const changed = openSet(access, KEY);
    changed.add(nameOf(size + index));
    changed.save();
  });
  measure('set pop', OPERATIONS, () => {
    const changed = openSet(access, KEY);
    changed.pop(1);
    changed.save();
  });

  const list = newList(access, KEY);
  list.pushLast(Array.from({ length: size }, (_, index) => nameOf(index)));
  list.save();
  measure('list push', OPERATIONS, (index) => {
    const changed = openList(access, KEY);
    if (index % 2 === 0) changed.pushFirst([nameOf(index)]);
    else changed.pushLast([nameOf(index)]);
    changed.save();
  });
  measure('list index', OPERATIONS, () => openList(access, KEY).at(random.int(size)));
  measure('list set', OPERATIONS, () => {
    const changed = openList(access, KEY);
    changed.set(random.int(size), anyName());
    changed.save();
  });
  measure('list pop', OPERATIONS, (index) => {
    const changed = openList(access, KEY);
    if (index % 2 === 0) changed.popFirst(1);
    else changed.popLast(1);
    changed.save();
  });
  measure('list range of 10', OPERATIONS, () => {
    const from = random.int(size);
    openList(access, KEY).range(from, from + 9);
  });

  // Grown and not built at once, so that its pages are as full as those of a tree that has lived.
  for (let index = 0; index < size; ) {
    const order = index === 0 ? newOrdered(access, KEY) : openOrdered(access, KEY);
    for (const end = Math.min(size, index + 200 + index * 9); index < end; index++)
      order.set(nameOf(index), random.int(1_000_000_000));
    order.save();
  }
  const setScore = (member: Buffer, score: number): void => {
    const changed = openOrdered(access, KEY);
    changed.set(member, score);
    changed.save();
  };
  const anyScore = (): number => random.int(1_000_000_000);
  measure('order score', OPERATIONS, () => openOrdered(access, KEY).score(anyName()));
  measure('order rank', OPERATIONS, () => openOrdered(access, KEY).rank(anyName()));
  measure('order count by score', OPERATIONS, () => {
    const min = { score: anyScore(), isExclusive: false };
    openOrdered(access, KEY).count({ by: 'score', min, max: { ...min, score: min.score * 1.5 } });
  });
  measure('order range of 10 by position', OPERATIONS, () => {
    const from = random.int(size);
    return [...openOrdered(access, KEY).range({ by: 'rank', from, to: from + 9 })];
  });
  measure('order range of 10 by score', OPERATIONS, () => {
    const [min, max] = [anyScore(), Number.POSITIVE_INFINITY].map((score) => ({ score, isExclusive: false }));
    return [...openOrdered(access, KEY).range({ by: 'score', min: min!, max: max! }, { limit: 10 })];
  });
  measure('order set of an existing member', OPERATIONS, () => setScore(anyName(), anyScore()));
  measure('order set of a new member', OPERATIONS, (index) => setScore(nameOf(size + index), anyScore()));
  measure('order set with rising scores', OPERATIONS, (index) =>
    setScore(nameOf(2 * size + 1_000 + index), 2e9 + index),
  );
  measure('order delete', few, () => {
    const changed = openOrdered(access, KEY);
    changed.delete([anyName()]);
    changed.save();
  });
  measure('order pop of the lowest', few, () => {
    const changed = openOrdered(access, KEY);
    changed.popMin(1);
    changed.save();
  });
  measure('order removal of all but 100', 1, () => {
    const changed = openOrdered(access, KEY);
    changed.removeRange({ by: 'rank', from: 100, to: size * 2 });
    changed.save();
  });
  measureStream(size, measure, access, random);
  return costs;
}

type Measure = (name: string, operations: number, run: (index: number) => void) => void;

/** A stream whose entries are all pending of ten consumers of one group. */
function measureStream(size: number, measure: Measure, access: TestAccess, random: SeededRandom): void {
  const idOf = (index: number) => streamId(BigInt(index + 1), 0n);
  const parts = ['field', 'value'].map(bytesOf);
  for (let index = 0; index < size; ) {
    const stream = index === 0 ? newStream(access, KEY) : openStream(access, KEY)!;
    const group = stream.group(KEY) ?? stream.createGroup(KEY, MIN_ID, 0n);
    for (const end = Math.min(size, index + 200 + index * 9); index < end; index++) {
      stream.add(idOf(index), parts);
      const name = nameOf(index % 10);
      group.assign(idOf(index), group.consumer(name) ?? group.createConsumer(name, 0), 0, 1);
    }
    stream.save();
  }
  const change = (run: (stream: StreamBody, group: StreamGroup) => void): void => {
    const stream = openStream(access, KEY)!;
    run(stream, stream.group(KEY)!);
    stream.save();
  };
  measure('stream length', 1, () => openStream(access, KEY)!.length);
  measure('stream add', OPERATIONS, (index) => {
    const stream = openStream(access, KEY)!;
    stream.add(idOf(size + index), parts);
    stream.save();
  });
  measure('stream range of 10', OPERATIONS, () => [
    ...openStream(access, KEY)!.range(idOf(random.int(size)), MAX_ID, { limit: 10 }),
  ]);
  measure('stream delivery to a consumer', OPERATIONS, (index) =>
    change((stream, group) => {
      const [entry] = [...stream.range(idOf(size + index), MAX_ID, { limit: 1 })];
      group.assign(entry!.id, group.consumer(nameOf((index % 10) % size))!, index, 1);
      group.lastDelivered = entry!.id;
    }),
  );
  measure('stream acknowledgement', Math.min(OPERATIONS, size >> 1), () =>
    change((_, group) => group.release(idOf(random.int(size)))),
  );
  measure('stream acknowledgement of the first', Math.min(OPERATIONS, size >> 2), () =>
    change((_, group) => group.release(group.firstPending!)),
  );
  measure('stream delete', Math.min(OPERATIONS, size >> 2), () =>
    change((stream) => stream.delete(idOf(random.int(size)))),
  );
  measure('stream trim by one', Math.min(OPERATIONS, size >> 2), () =>
    change((stream) => stream.trim({ atMost: stream.length - 1 }, 'exact')),
  );
}

if (import.meta.main) {
  const size = Number(process.argv[2] ?? 1_000_000);
  const shown = (value: number): string => value.toFixed(1).padStart(8);
  process.stdout.write(`${'rows'.padEnd(36)}   reads    most  writes    most\n`);
  for (const { name, reads, mostReads, writes, mostWrites } of measureCosts(size))
    process.stdout.write(`${name.padEnd(36)}${[reads, mostReads, writes, mostWrites].map(shown).join('')}\n`);
}
