import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Change,
  type Compared,
  type Drained,
  indexChecker,
  streamChecker,
} from '../../jepsen/checkers/owned-items.ts';
import type { Checker, OpType } from '../../jepsen/history.ts';
import { OwnedItems, type OwnedWrite } from '../../jepsen/workloads/dynamodb/owned-items.ts';
import { SeededRandom } from '../../src/platform/index.ts';
import { history } from './histories.ts';

type Step = readonly [process: number, type: OpType, f: string, value?: unknown];

const create = (version = 1, colour: string | null = 'red'): OwnedWrite => ({
  key: 'a',
  version,
  how: 'create',
  colour,
});
const change = (version: number, colour: string | null = 'red'): OwnedWrite => ({
  ...create(version, colour),
  how: 'change',
});
const remove = (version: number): OwnedWrite => ({ key: 'a', version, how: 'delete', colour: null });

const write = (one: OwnedWrite, type: OpType = 'ok'): Step[] => [
  [0, 'invoke', 'write', one],
  [0, type, 'write', one],
];
/** A read of one moment. */
const read = (f: string, value: unknown): Step[] => [
  [1, 'invoke', f, null],
  [1, 'ok', f, value],
];
const get = (version: number | null): Step[] => read('get', ['a', version]);
const query = (colour: string, ...found: (readonly [string, number])[]): Step[] =>
  read('query', { index: 'by-colour', colour, found });
const compare = (value: Compared): Step[] => read('compare', value);
const EVERYTHING_FITS = compare({ items: [], indexes: {} });

const verdict = (checker: Checker, ...steps: readonly (readonly Step[])[]) => checker.check(history(...steps.flat()));
const problems = (...steps: readonly (readonly Step[])[]): readonly string[] =>
  verdict(indexChecker, ...steps, EVERYTHING_FITS).problems;

describe('reads of items and their indexes', () => {
  test('show the newest version that was acknowledged, and one that is being written', () => {
    assert.deepEqual(problems(write(create()), get(1), query('red', ['a', 1]), query('blue')), []);
    const open: Step[] = [[0, 'invoke', 'write', change(2, 'blue')]];
    for (const seen of [1, 2]) assert.deepEqual(problems(write(create()), open, get(seen)), []);
    assert.deepEqual(problems(write(create()), open, query('red', ['a', 1]), query('blue', ['a', 2])), []);
    assert.deepEqual(problems(write(create()), write(change(2), 'info'), get(1), get(2)), [], 'nobody knows');
    assert.deepEqual(problems(get(null), write(create()), write(remove(2)), get(null), query('red')), []);
  });

  test('show nothing older, nothing newer and nothing that was refused', () => {
    const older = [write(create()), write(change(2))];
    assert.match(problems(...older, get(1))[0]!, /a was read as version 1, possible were version 2/);
    assert.match(problems(...older, get(null))[0]!, /a was read as nothing/);
    assert.match(problems(...older, query('red', ['a', 1]))[0]!, /a is there as version 1/);
    assert.match(problems(get(1), write(create()))[0]!, /a was read as version 1, possible were version 0/);
    assert.match(problems(write(create()), write(change(2), 'fail'), get(2))[0]!, /a was read as version 2/);
    const back = [write(create()), write(change(2), 'info'), get(2), get(1)];
    assert.match(problems(...back)[0]!, /a was read as version 1, possible were version 2/);
  });

  test('find an item by what it has, once', () => {
    assert.match(problems(write(create()), query('red'))[0]!, /a is missing/);
    assert.match(problems(write(create(1, null)), query('red', ['a', 1]))[0]!, /a is there as version 1/);
    assert.match(problems(write(create()), write(remove(2)), query('red', ['a', 1]))[0]!, /a is there as version 1/);
    assert.match(problems(write(create()), query('red', ['a', 1], ['a', 1]))[0]!, /an item is there twice/);
    assert.match(
      problems(write(create()), query('red', ['a', 1], ['b', 1]))[0]!,
      /b is there, which nobody has written/,
    );
  });

  test('compared in calm, are a function of each other', () => {
    const items: Compared['items'] = [
      ['a', 2, 'red'],
      ['b', 1, null],
    ];
    const compared = (isSparse: boolean, ...rows: (readonly [string, number])[]) =>
      verdict(indexChecker, get(null), compare({ items, indexes: { one: { isSparse, rows } } })).problems;
    assert.deepEqual(compared(true, ['a', 2]), []);
    assert.deepEqual(compared(false, ['a', 2], ['b', 1]), []);
    assert.match(compared(false, ['a', 2])[0]!, /one has lost b of version 1/);
    assert.match(compared(true, ['a', 2], ['b', 1])[0]!, /one has b of version 1, and the table does not/);
    assert.match(compared(true, ['a', 1])[0]!, /one has lost a of version 2/);
    assert.match(compared(true, ['a', 2], ['a', 2])[0]!, /one has a row twice/);
  });

  test('prove nothing when nobody has read or compared', () => {
    assert.equal(verdict(indexChecker, write(create())).valid, 'unknown');
    assert.equal(verdict(indexChecker, write(create()), get(1)).valid, 'unknown');
    assert.equal(verdict(indexChecker, write(create()), get(1), EVERYTHING_FITS).valid, true);
  });
});

describe('a stream', () => {
  const drain = (changes: readonly Change[], items: Drained['items']): Step[] => read('drain', { changes, items });
  const tail = (...changes: readonly Change[]): Step[] => [
    [1, 'invoke', 'tail', 7],
    [1, 'ok', 'tail', { changes }],
  ];
  const streamProblems = (...steps: readonly (readonly Step[])[]) => verdict(streamChecker, ...steps).problems;
  const writes = [write(create()), write(change(2))];
  const both: readonly Change[] = [
    ['a', null, 1],
    ['a', 1, 2],
  ];

  test('has every change once and in order, and leads to the table', () => {
    const gone: Change = ['a', 2, null];
    assert.deepEqual(streamProblems(...writes, drain(both, [['a', 2]])), []);
    assert.deepEqual(streamProblems(...writes, write(remove(3)), drain([...both, gone], [])), []);
    assert.deepEqual(streamProblems(...writes, write(change(3), 'info'), drain(both, [['a', 2]])), []);
    assert.deepEqual(streamProblems(...writes, tail(both[0]!), tail(), tail(both[1]!), drain(both, [['a', 2]])), []);
  });

  test('is wrong when a change is missing, there twice, in another order or nobody has made it', () => {
    assert.match(streamProblems(...writes, drain([both[0]!], [['a', 2]]))[0]!, /a has no change to version 2/);
    assert.match(streamProblems(...writes, drain([both[1]!], [['a', 2]]))[0]!, /a was 1 before a change, and null/);
    assert.match(
      streamProblems(...writes, drain([...both, both[1]!], [['a', 2]]))[0]!,
      /a was 1 before a change, and 2/,
    );
    assert.match(streamProblems(write(create()), drain(both, [['a', 2]]))[0]!, /a becomes 2, which nobody has written/);
    assert.match(
      streamProblems(write(create()), write(change(2), 'fail'), drain(both, [['a', 2]]))[0]!,
      /a becomes 2, which nobody has written or which was refused/,
    );
    const gone: readonly Change[] = [...both, ['a', 2, null]];
    assert.match(streamProblems(...writes, drain(gone, []))[0]!, /a is deleted, and nobody has done that/);
    assert.match(
      streamProblems(...writes, write(remove(3)), drain(both, []))[0]!,
      /a has no change to version 3 \(delete\)/,
    );
  });

  test('is wrong when it does not lead to the table', () => {
    const lost = streamProblems(...writes, write(change(3), 'info'), drain(both, [['a', 3]]));
    assert.match(lost.join(), /does not lead to a 3.*leads to a 2, and the table does not have that/);
  });

  test('is the same for a reader that goes along', () => {
    const along = (...changes: readonly Change[]) =>
      streamProblems(...writes, tail(...changes), drain(both, [['a', 2]]));
    assert.match(along(both[1]!).join(), /reader 7: a was 1 before a change, and null/);
    assert.match(along(both[0]!, both[0]!).join(), /reader 7: has seen other changes of a than the stream has/);
    assert.equal(verdict(streamChecker, ...writes, tail(both[0]!)).valid, 'unknown');
  });
});

describe('items that one client each writes', () => {
  test('rise by one version, end for ever, and are given up when nobody knows whether they are there', () => {
    const random = new SeededRandom(3);
    const items = new OwnedItems(2);
    const last = new Map<string, OwnedWrite>();
    for (let round = 0; round < 500; round++) {
      const one = items.next(round % 3, random);
      const before = last.get(one.key);
      assert.equal(one.version, (before?.version ?? 0) + 1);
      assert.equal(one.how === 'create', before === undefined);
      assert.ok(before?.how !== 'delete', 'its name is not used again');
      const isDone = random.next() < 0.8;
      items.settle(one, isDone);
      last.set(one.key, one);
      if (!isDone && one.how === 'create') last.set(one.key, { ...one, how: 'delete' });
    }
    assert.ok([...last.values()].filter(({ how }) => how === 'delete').length > 10);
    assert.ok(last.has(items.any(random)!));
  });
});
