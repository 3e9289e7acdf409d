/** Bodies in every form whose rows a test compares byte by byte: they are on disk. */
import {
  MIN_ID,
  newHash,
  newList,
  newOrdered,
  newSet,
  newStream,
  openHash,
  openString,
  streamId,
  UNKNOWN_READ,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { writeString } from '../../../../src/adapter/redis/values/index.ts';
import { NEVER, timestampOfMs } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('k');

function hash(access: TestAccess, fields: readonly (readonly [string, string])[]): void {
  const body = newHash(access, KEY);
  for (const [field, value] of fields) body.set(bytesOf(field), bytesOf(value));
  body.save();
}

function order(access: TestAccess, members: readonly (readonly [string, number])[]): void {
  const body = newOrdered(access, KEY);
  for (const [member, score] of members) body.set(bytesOf(member), score);
  body.save();
}

/** How each is made. */
const MAKERS: Readonly<Record<string, (access: TestAccess) => void>> = {
  'packed hash': (access) =>
    hash(access, [
      ['f', '1'],
      ['empty', ''],
    ]),
  'packed set': (access) => {
    const set = newSet(access, KEY);
    for (const member of ['1', 'm']) set.add(bytesOf(member));
    set.save();
  },
  'packed list': (access) => {
    const list = newList(access, KEY);
    list.pushLast(['a', 'bc'].map(bytesOf));
    list.save();
  },
  'packed sorted set': (access) =>
    order(access, [
      ['m', 1],
      ['n', -2.5],
    ]),
  'large hash with long values and names': (access) => {
    hash(access, [
      ['f', '1'],
      ['long value', 'v'.repeat(60)],
      ['n'.repeat(30), '2'],
      ['x'.repeat(257), '3'],
    ]);
    // A value in place, so that its row is seen to stay the same.
    const body = openHash(access, KEY);
    body.set(bytesOf('f'), bytesOf('changed'));
    body.save();
  },
  'packed hash with fields that expire': (access) => {
    const body = newHash(access, KEY);
    body.set(bytesOf('f'), bytesOf('1'), 1_700_000_000_000);
    body.set(bytesOf('g'), bytesOf('2'), 1_700_000_000_001);
    body.save(timestampOfMs(1_800_000_000_000));
  },
  'packed hash with a field that does not expire': (access) => {
    const body = newHash(access, KEY);
    body.set(bytesOf('f'), bytesOf('1'), 1_700_000_000_000);
    body.set(bytesOf('g'), bytesOf('2'));
    body.save();
  },
  'large hash with fields that expire': (access) => {
    const body = newHash(access, KEY);
    for (let n = 0; n < 12; n++) body.set(bytesOf(`${n}`), bytesOf(`${n}`), 1_700_000_000_000 + n);
    body.set(bytesOf('long value'), bytesOf('v'.repeat(60)), 1_700_000_000_000);
    body.set(bytesOf('n'.repeat(30)), bytesOf('2'), 1_700_000_000_100);
    body.set(bytesOf('stays'), bytesOf('3'));
    body.save(timestampOfMs(1_800_000_000_000));
  },
  'large set of two pages': (access) => {
    const set = newSet(access, KEY);
    for (let n = 0; n < 9; n++) set.add(bytesOf(`${n}`));
    set.save();
  },
  'large list': (access) => {
    const list = newList(access, KEY);
    list.pushLast(Array.from({ length: 24 }, (_, n) => bytesOf(`${n}`.repeat(10))));
    list.pushLast([bytesOf('l'.repeat(30))]);
    list.save();
  },
  'large string with a gap': (access) => {
    writeString(access, KEY, bytesOf('a string of two chunks and a bit'), NEVER);
    const string = openString(access, KEY);
    string.write(50, bytesOf('behind the end'));
    string.save();
  },
  'large string of larger chunks': (access) => {
    writeString(access, KEY, bytesOf('s'.repeat(70)), NEVER);
    const string = openString(access, KEY);
    string.append(bytesOf('end'));
    string.save();
  },
  'stream without groups': (access) => {
    const stream = newStream(access, KEY);
    for (let n = 1; n <= 6; n++) stream.add(streamId(BigInt(n), 7n), ['field', 'v'.repeat(n)].map(bytesOf));
    stream.delete(streamId(2n, 7n));
    stream.save();
  },
  'stream with groups, and with what a consumer has left behind': (access) => {
    const stream = newStream(access, KEY);
    const group = stream.createGroup(bytesOf('group'), MIN_ID, 0n);
    stream.createGroup(bytesOf('zero \0 byte'), streamId(3n, 0n), UNKNOWN_READ);
    const [one, other] = ['one', 'other'].map((name) => group.createConsumer(bytesOf(name), 1_700_000_000_000));
    for (let n = 1; n <= 20; n++) {
      const id = streamId(BigInt(n), 0n);
      stream.add(id, ['f', 'v'].map(bytesOf));
      group.assign(id, n < 3 ? other! : one!, 1_700_000_000_000 + n, n);
    }
    group.lastDelivered = streamId(20n, 0n);
    group.entriesRead = 20n;
    group.deleteConsumer(bytesOf('one'));
    stream.save(timestampOfMs(1_800_000_000_000));
  },
  'large sorted set': (access) => {
    const members = Array.from({ length: 80 }, (_, n) => [`member ${n}`, n >> 3] as const);
    order(access, [...members, [`${'p'.repeat(30)}a`, 9], [`${'p'.repeat(30)}b`, 9]]);
  },
};

/** Each body's name, and its rows as `key value` in hex. */
export function goldenBodies(): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(MAKERS).map(([name, make]) => {
      const access = accessTo(TINY_LIMITS, 1);
      make(access);
      return [name, access.view.dump()];
    }),
  );
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(goldenBodies(), undefined, 2)}\n`);
