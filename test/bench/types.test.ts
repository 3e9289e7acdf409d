import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fillingCommands, REFERENCES, TYPE_MEASURES } from '../../bench/collections/measures.ts';
import {
  answersMeanwhile,
  arrivesInTime,
  formatTypes,
  isAsSmall,
  typesRows,
  wakesInTime,
} from '../../bench/collections/types-report.ts';

describe('the report of commands on collections', () => {
  const rows = typesRows(
    {
      set: { kvorum: [20_000, 18_000, 22_000], redis: [100_000] },
      get: { kvorum: [50_000], redis: [100_000] },
      lpush: { kvorum: [16_000], redis: [100_000] },
      saddNew: { kvorum: [10_000], redis: [100_000] },
      zrank: { kvorum: [40_000], redis: [100_000] },
      hincrby: { kvorum: [40_000] },
    },
    true,
  );
  const row = (measure: string) => rows.find((each) => each.measure === measure)!;

  test('holds the ratio of a write against that of SET, of a read against that of GET', () => {
    assert.equal(row('set').ratio, 0.2);
    assert.equal(row('lpush').relative?.toFixed(6), '0.800000');
    assert.equal(row('zrank').relative?.toFixed(6), '0.800000');
  });

  test('judges what has a bar and both systems', () => {
    assert.equal(row('lpush').passed, true);
    assert.equal(row('saddNew').passed, false);
    assert.equal(row('zrank').passed, undefined);
    assert.equal(row('hincrby').passed, undefined);
  });

  test('shows what a collection costs as a whole', () => {
    const small = { command: 'DEL', system: 'kvorum', largeMs: [1, 2, 3], smallMs: [1, 1, 1] } as const;
    const read = { system: 'kvorum', fields: 1000, readMs: 900, slowestPingMs: 299 } as const;
    assert.equal(isAsSmall(small), true);
    assert.equal(isAsSmall({ ...small, largeMs: [5, 5, 5] }), false);
    assert.equal(answersMeanwhile(read), true);
    assert.equal(answersMeanwhile({ ...read, slowestPingMs: 301 }), false);
    const nothing = { wakeUps: [], publishing: [], cpu: [], isQuiet: true };
    const text = formatTypes({ rows, wholeKeys: [small], longReads: [read], ...nothing });
    assert.match(text, /^LPUSH, one list +16,000\/s +100,000\/s +0\.16x +0\.80x +>= 0\.7x \(goal 1x\) +pass$/m);
    const apart = typesRows({ set: { kvorum: [10_000, 20_000] }, lpush: { kvorum: [16_000] } }, true);
    assert.equal(
      apart.every(({ isQuiet }) => isQuiet),
      false,
    );
    assert.match(text, /^DEL +kvorum +2\.00 ms +1\.00 ms +pass$/m);
    assert.match(text, /^HGETALL of 1,000 +kvorum +900 ms +299 ms +pass$/m);
  });

  test('shows what clients of different nodes have from each other', () => {
    const woken = { system: 'kvorum', setMs: [1, 2, 3], wakeMs: [3, 4, 5] } as const;
    const published = { system: 'kvorum', published: 1000, received: 1003, perSecond: 60_000 } as const;
    assert.equal(wakesInTime(woken), true);
    assert.equal(wakesInTime({ ...woken, wakeMs: [5, 5, 5] }), false);
    assert.equal(arrivesInTime(published), true);
    assert.equal(arrivesInTime({ ...published, perSecond: 40_000 }), false);
    assert.equal(arrivesInTime({ ...published, received: 999 }), false, 'lost messages are not quick ones');
    const text = formatTypes({
      rows,
      wholeKeys: [],
      longReads: [],
      wakeUps: [woken],
      publishing: [published],
      cpu: [],
      isQuiet: true,
    });
    assert.match(text, /^BLPOP on another node +kvorum +4\.00 ms +2\.00 ms +pass$/m);
    assert.match(text, /^PUBLISH to three nodes +kvorum +60,000\/s +0 +pass$/m);
  });
});

describe('what is measured of collections', () => {
  test('has names of its own, and what it is held against comes first', () => {
    assert.equal(new Set(TYPE_MEASURES.map(({ name }) => name)).size, TYPE_MEASURES.length);
    assert.deepEqual(
      TYPE_MEASURES.slice(0, REFERENCES).map(({ name }) => name),
      [...new Set(TYPE_MEASURES.map(({ reference }) => reference))],
    );
  });

  test('is filled with as many elements as it says', () => {
    const filling = { key: 'k', kind: 'zset', count: 1000 } as const;
    const members = (share: number) => [...fillingCommands(filling, share)].flatMap((args) => args.slice(2)).length / 2;
    assert.equal(members(1), 1000);
    assert.equal(members(0.255), 255);
  });
});
