/** What commands on streams do at times that a test sets, and with sizes that comparing with Redis does not reach. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MIN_ID, streamId } from '../../../../src/adapter/redis/bodies/index.ts';
import { MapReply, NIL_ARRAY, type Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { type RdbStream, writePayload } from '../../../../src/adapter/redis/rdb/index.ts';
import { Evaluator, START_MS } from './evaluate.ts';

type Named = RdbStream['groups'][number]['consumers'][number];

/** A reply with its bytes as text and its maps as arrays. */
function shown(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (Array.isArray(reply)) return reply.map(shown);
  return reply instanceof MapReply ? reply.entries.map((entry) => entry.map(shown)) : reply;
}

const run = (redis: Evaluator, line: string): unknown => {
  const [name, ...args] = line.split(' ');
  return shown(redis.run(name!, ...args));
};

describe('an id that the server chooses', () => {
  test('is the time, counts within a millisecond, and never falls', () => {
    const redis = new Evaluator();
    assert.equal(run(redis, 'XADD s * f v'), `${START_MS}-0`);
    assert.equal(run(redis, 'XADD s * f v'), `${START_MS}-1`);
    redis.nowMs += 5;
    assert.equal(run(redis, 'XADD s * f v'), `${START_MS + 5}-0`);
    redis.nowMs -= 1_000;
    assert.equal(run(redis, 'XADD s * f v'), `${START_MS + 5}-1`);
    assert.equal(run(redis, 'XADD s 99999999999999-18446744073709551615 f v'), '99999999999999-18446744073709551615');
    assert.equal(run(redis, 'XADD s * f v'), '100000000000000-0');
  });
});

describe('what is pending', () => {
  const filled = (): Evaluator => {
    const redis = new Evaluator();
    run(redis, 'XGROUP CREATE s g $ MKSTREAM');
    for (let id = 1; id <= 4; id++) run(redis, `XADD s ${id} f v`);
    run(redis, 'XREADGROUP GROUP g a COUNT 3 STREAMS s >');
    return redis;
  };
  test('is given and claimed in pieces, whatever COUNT says', () => {
    const redis = new Evaluator();
    for (const key of ['s', 'other']) {
      run(redis, `XGROUP CREATE ${key} g 0 MKSTREAM`);
      for (let id = 1; id <= 375; id++) redis.run('XADD', key, `${id}`, 'f', 'v');
    }
    const given = (line: string): number[] =>
      (run(redis, line) as [string, unknown[]][]).map(([, entries]) => entries.length);
    assert.deepEqual(given('XREADGROUP GROUP g a COUNT 100000 STREAMS s other > >'), [375, 125]);
    assert.deepEqual(given('XREADGROUP GROUP g a STREAMS s other > >'), [250]);
    assert.deepEqual(given('XREADGROUP GROUP g a STREAMS s other 0 0'), [375, 125]);
    // What is not reached is left out: an empty list would say that there is nothing.
    assert.deepEqual(given('XREADGROUP GROUP g a STREAMS s s other 0 250 0'), [375, 125]);
    run(redis, 'XREADGROUP GROUP g a COUNT 25 STREAMS other >');
    for (let id = 376; id <= 525; id++) redis.run('XADD', 's', `${id}`, 'f', 'v');
    run(redis, 'XREADGROUP GROUP g a STREAMS s >');
    const [next, claimed] = run(redis, 'XAUTOCLAIM s g b 0 0 COUNT 100000 JUSTID') as [string, string[]];
    assert.deepEqual([next, claimed.length], ['501-0', 500]);
  });

  test('is claimed by how long ago it was delivered', () => {
    const redis = filled();
    redis.nowMs += 1_000;
    run(redis, 'XCLAIM s g b 0 2-0');
    redis.nowMs += 1_000;
    assert.deepEqual(run(redis, 'XPENDING s g IDLE 1500 - + 10'), [
      ['1-0', 'a', 2_000, 1],
      ['3-0', 'a', 2_000, 1],
    ]);
    assert.deepEqual(run(redis, 'XAUTOCLAIM s g c 1500 0 COUNT 1 JUSTID'), ['2-0', ['1-0'], []]);
    assert.deepEqual(run(redis, 'XAUTOCLAIM s g c 1500 2-0 JUSTID'), ['0-0', ['3-0'], []]);
    assert.deepEqual(run(redis, 'XCLAIM s g a 1500 2-0 JUSTID'), []);
    assert.deepEqual(run(redis, 'XCLAIM s g a 1000 2-0 JUSTID IDLE 300'), ['2-0']);
    assert.deepEqual(run(redis, 'XPENDING s g - + 10'), [
      ['1-0', 'c', 0, 1],
      ['2-0', 'a', 300, 2],
      ['3-0', 'c', 0, 1],
    ]);
  });

  test('is looked at ten times as much as XAUTOCLAIM may answer, and no more', () => {
    const redis = new Evaluator();
    run(redis, 'XGROUP CREATE s g 0 MKSTREAM');
    for (let id = 1; id <= 50; id++) run(redis, `XADD s ${id} f v`);
    run(redis, 'XREADGROUP GROUP g a STREAMS s >');
    assert.deepEqual(run(redis, 'XAUTOCLAIM s g b 1000 0 COUNT 2'), ['21-0', [], []]);
    run(redis, 'XDEL s 1 3 5');
    assert.deepEqual(run(redis, 'XAUTOCLAIM s g b 1000 0 COUNT 2'), ['4-0', [], ['1-0', '3-0']]);
  });

  test('a consumer that reads its own again is seen, at most once a second', () => {
    const redis = filled();
    const idle = (): unknown => (run(redis, 'XINFO CONSUMERS s g') as [string, unknown][][])[0]![2]![1];
    redis.nowMs += 400;
    run(redis, 'XREADGROUP GROUP g a STREAMS s 9');
    assert.equal(idle(), 400);
    redis.nowMs += 700;
    run(redis, 'XREADGROUP GROUP g a STREAMS s 9');
    assert.equal(idle(), 0);
    redis.nowMs += 5_000;
    run(redis, 'XREADGROUP GROUP g a NOACK STREAMS s >');
    assert.equal(idle(), 0);
    redis.nowMs += 5_000;
    assert.deepEqual(run(redis, 'XREADGROUP GROUP g a STREAMS s >'), NIL_ARRAY);
    assert.equal(idle(), 5_000, 'who finds nothing new is not seen');
  });
});

describe('a part of a stream', () => {
  const id = (ms: number): Buffer => streamId(BigInt(ms), 0n);
  const entries = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, at) => ({
      id: id(from + at),
      parts: [Buffer.from('f'), Buffer.from('v')],
    }));
  const part = (own: Partial<RdbStream>): string => {
    const last = own.entries?.at(-1)?.id ?? MIN_ID;
    const none = {
      type: 'stream',
      entries: [],
      lastId: last,
      maxDeletedId: MIN_ID,
      entriesAdded: 0n,
      groups: [],
    } as const;
    return writePayload({ ...none, ...own }, { isCompact: false }).toString('latin1');
  };
  const restore = (redis: Evaluator, before: number, own: Partial<RdbStream>): unknown =>
    shown(redis.run('KVORUM-XRESTORE', 's', String(before), part(own)));

  test('is added behind as many entries as it says, and once however often it comes', () => {
    const redis = new Evaluator();
    assert.equal(restore(redis, 0, { entries: entries(1, 3) }), 3);
    assert.equal(restore(redis, 0, { entries: entries(1, 3) }), 3);
    assert.equal(restore(redis, 5, { entries: entries(6, 7) }), 3, 'what lies in front is not there');
    assert.equal(restore(redis, 3, { entries: entries(4, 5) }), 5);
    assert.throws(() => restore(redis, 5, { entries: entries(5, 6) }), /does not lie behind/);
    assert.throws(() => restore(redis, 5, { lastId: id(4) }), /does not lie behind/);
    assert.equal(restore(redis, 5, { lastId: id(9), maxDeletedId: id(8), entriesAdded: 12n }), 5);
    assert.deepEqual(run(redis, 'XRANGE s - + COUNT 1'), [['1-0', ['f', 'v']]]);
    const about = new Map(run(redis, 'XINFO STREAM s') as [string, unknown][]);
    assert.deepEqual(
      ['last-generated-id', 'max-deleted-entry-id', 'entries-added'].map((name) => String(about.get(name))),
      ['9-0', '8-0', '12'],
    );
  });

  test('brings groups, consumers, and what is pending, of entries that are gone too', () => {
    const redis = new Evaluator();
    restore(redis, 0, { entries: entries(1, 5), entriesAdded: 5n });
    const group = { name: Buffer.from('g'), lastDelivered: id(4), entriesRead: 4n };
    const [alice, bob] = ['alice', 'bob'].map((name) => ({ name: Buffer.from(name), seenMs: START_MS })) as [
      Named,
      Named,
    ];
    const pending = (ms: number, { name }: Named) => ({
      id: id(ms),
      deliveredMs: START_MS,
      deliveries: 3,
      consumer: name,
    });
    const about = { lastId: id(5), entriesAdded: 5n };
    for (let times = 2; times > 0; times--) {
      restore(redis, 5, { ...about, groups: [{ ...group, consumers: [alice], pending: [pending(2, alice)] }] });
      restore(redis, 5, { ...about, groups: [{ ...group, consumers: [bob], pending: [pending(3, bob)] }] });
    }
    assert.deepEqual(run(redis, 'XPENDING s g'), [
      2,
      '2-0',
      '3-0',
      [
        ['alice', '1'],
        ['bob', '1'],
      ],
    ]);
    run(redis, 'XDEL s 2');
    const gone = {
      ...about,
      maxDeletedId: id(2),
      groups: [{ ...group, consumers: [bob], pending: [pending(1, bob)] }],
    };
    run(redis, 'XDEL s 1');
    restore(redis, 3, gone);
    assert.deepEqual(
      (run(redis, 'XPENDING s g - + 9') as unknown[][]).map(([entry, consumer, , deliveries]) => [
        entry,
        consumer,
        deliveries,
      ]),
      [
        ['1-0', 'bob', 3],
        ['2-0', 'alice', 3],
        ['3-0', 'bob', 3],
      ],
    );
  });

  test('is no other value', () => {
    const redis = new Evaluator();
    const list = writePayload({ type: 'list', values: [Buffer.from('x')] }, { isCompact: false }).toString('latin1');
    assert.throws(() => redis.run('KVORUM-XRESTORE', 's', '0', list), /Bad data format/);
    assert.throws(() => redis.run('KVORUM-XRESTORE', 's', '0', 'nonsense'), /payload version or checksum/);
    run(redis, 'SET s text');
    assert.throws(() => restore(redis, 0, { entries: entries(1, 1) }), /WRONGTYPE/);
  });
});
