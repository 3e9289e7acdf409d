/** Which keys a turn has changed, and whose doing that was. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FUNCTION_DB, headOf, KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { NOBODY, TurnChanges } from '../../../../src/adapter/redis/tracking/turn-changes.ts';
import { hlcTimestamp } from '../../../../src/platform/index.ts';

const ME = 7;
const OTHER = 8;

const head = (key: string, db = 0): Buffer => KEYSPACES[db]!.storageKey(Buffer.from(key));
const rowOf = (key: string, rest: string): Buffer => Buffer.concat([head(key), Buffer.from(rest)]);

const TS = hlcTimestamp(1n);
let lastTs = 1n;

/** An entry is applied. @returns what its commands own up to the rows of a key with */
function applied(turn: TurnChanges, ...rows: readonly Buffer[]): (client: number, key: string) => void {
  const ts = hlcTimestamp(++lastTs);
  for (const row of rows) turn.changed(row, ts, false);
  return (client, key) => {
    const own = rows.filter((row) => headOf(row)?.userKey.toString() === key);
    turn.wrote(client, { ts, rows: new Map(own.map((row) => [row.toString('latin1'), key])) });
  };
}

/** One entry: its rows are told, then its commands say whose they were. */
function entry(turn: TurnChanges, rows: readonly Buffer[], ...writers: readonly (readonly [number, string])[]): void {
  const wrote = applied(turn, ...rows);
  for (const [client, key] of writers) wrote(client, key);
}

const clientOf = (turn: TurnChanges, key: string): number | undefined =>
  turn.take().keys.find((one) => one.key === key)?.client;

describe('what a turn has changed', () => {
  test('are user keys, each once, whatever rows of them and in whichever database', () => {
    const turn = new TurnChanges();
    entry(turn, [head('a'), rowOf('a', 'h12345678field'), head('a', 3), head('b')]);
    entry(turn, [head('code', FUNCTION_DB), Buffer.from('other layer')]);
    const { isEverything, keys } = turn.take();
    assert.equal(isEverything, false);
    assert.deepEqual(
      keys.map(({ key }) => key),
      ['a', 'b'],
    );
    assert.ok(turn.isEmpty);
  });

  test('is everything after a flush, and one key after a collection of many rows was deleted', () => {
    const turn = new TurnChanges();
    turn.deleted(rowOf('a', 'h12345678'), rowOf('a', 'h12345679'), TS, false);
    assert.deepEqual(turn.take(), { isEverything: false, keys: [{ key: 'a', client: NOBODY }] });
    const { start, end } = KEYSPACES[2]!.wholeDb();
    turn.deleted(start, end, TS, false);
    entry(turn, [head('a')]);
    assert.deepEqual(turn.take(), { isEverything: true, keys: [] });
    turn.deleted(KEYSPACES[FUNCTION_DB]!.wholeDb().start, KEYSPACES[FUNCTION_DB]!.wholeDb().end, TS, false);
    turn.deleted(Buffer.from('s'), Buffer.from('t'), TS, false);
    assert.ok(turn.isEmpty);
  });

  test('is the doing of the client that alone has written the key', () => {
    const turn = new TurnChanges();
    entry(turn, [head('a'), rowOf('a', 'h1')], [ME, 'a'], [ME, 'a']);
    entry(turn, [head('a')], [ME, 'a']);
    assert.equal(clientOf(turn, 'a'), ME);
  });

  test('is nobody’s when another has written the key, in the same entry, before or after', () => {
    const turn = new TurnChanges();
    for (const others of [NOBODY, OTHER]) {
      entry(turn, [head('a')], [ME, 'a'], [others, 'a']);
      assert.equal(clientOf(turn, 'a'), NOBODY);
      entry(turn, [head('a')], [others, 'a'], [ME, 'a']);
      assert.equal(clientOf(turn, 'a'), NOBODY);
      entry(turn, [head('a')], [others, 'a']);
      entry(turn, [head('a')], [ME, 'a']);
      assert.equal(clientOf(turn, 'a'), NOBODY);
    }
  });

  test('is nobody’s when an entry without commands has written the key, before or after', () => {
    const turn = new TurnChanges();
    entry(turn, [head('a')], [ME, 'a']);
    entry(turn, [head('a')]);
    assert.equal(clientOf(turn, 'a'), NOBODY);
    entry(turn, [head('a')]);
    entry(turn, [head('a')], [ME, 'a']);
    assert.equal(clientOf(turn, 'a'), NOBODY);
  });

  test('is nobody’s when another entry of the same batch has written other rows of the key', () => {
    const turn = new TurnChanges();
    const [wrote] = [applied(turn, rowOf('a', 'h1')), applied(turn, rowOf('a', 'h2'))];
    wrote(ME, 'a');
    assert.equal(clientOf(turn, 'a'), NOBODY);
  });

  test('is nobody’s when a command owns up to what was told in another turn', () => {
    const turn = new TurnChanges();
    const wrote = applied(turn, head('a'));
    assert.equal(clientOf(turn, 'a'), NOBODY);
    applied(turn, head('a'));
    wrote(ME, 'a');
    assert.equal(clientOf(turn, 'a'), NOBODY);
  });

  test('is nobody’s when that is said at once', () => {
    const turn = new TurnChanges();
    const ts = hlcTimestamp(5n);
    turn.changed(head('a'), ts, true);
    turn.wrote(ME, { ts, rows: new Map([[head('a').toString('latin1'), 'a']]) });
    assert.equal(clientOf(turn, 'a'), NOBODY);
  });

  test('is not what a command says that it wrote and nobody has told of', () => {
    const turn = new TurnChanges();
    turn.wrote(ME, { ts: TS, rows: new Map([[head('a').toString('latin1'), 'a']]) });
    assert.ok(turn.isEmpty);
  });
});
