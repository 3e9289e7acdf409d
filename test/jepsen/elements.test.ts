import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BoardView, elementsChecker, viewsChecker } from '../../jepsen/checkers/elements.ts';
import type { Op, OpType, Verdict } from '../../jepsen/history.ts';
import { hashCountersChecker } from '../../jepsen/workloads/hash-counters.ts';
import { history } from './histories.ts';

type Step = [process: number, type: OpType, f: string, value: unknown];

const collection = 'key';

/** @param type how it ended; what is known besides counts only when it is `ok` */
const step = (process: number, f: string, input: object, output: object = {}, type: OpType = 'ok'): Step[] => [
  [process, 'invoke', f, { collection, ...input }],
  [process, type, f, { collection, ...input, ...(type === 'ok' ? output : {}) }],
];
const put = (process: number, name: string, value: unknown, count: number, type: OpType = 'ok'): Step[] =>
  step(process, 'put', { elements: [[name, value]] }, { count }, type);
const remove = (process: number, name: string, count: number): Step[] =>
  step(process, 'remove', { elements: [[name, null]] }, { count });
const get = (process: number, name: string, value: unknown): Step[] =>
  step(process, 'get', { elements: [[name, null]] }, { value });
const increment = (process: number, name: string, by: number, value: number, type: OpType = 'ok'): Step[] =>
  step(process, 'increment', { elements: [[name, by]] }, { value }, type);
const all = (process: number, elements: readonly (readonly [string, unknown])[]): Step[] =>
  step(process, 'all', {}, { all: elements });
const pop = (process: number, popped: string | null, type: OpType = 'ok'): Step[] =>
  step(process, 'pop', {}, { popped }, type);
const replace = (process: number, name: string, value: unknown): Step[] =>
  step(process, 'replace', { elements: [[name, value]] });
const clear = (process: number, type: OpType = 'ok'): Step[] => step(process, 'clear', {}, {}, type);

const cases: { name: string; valid: Verdict; ops: Step[][] }[] = [
  { name: 'an element is read as it was put', valid: true, ops: [put(0, 'a', 1, 1), get(1, 'a', 1)] },
  { name: 'an element is read as it was never put', valid: false, ops: [put(0, 'a', 1, 1), get(1, 'a', 2)] },
  { name: 'an element is new only once', valid: true, ops: [put(0, 'a', 1, 1), put(0, 'a', 2, 0)] },
  { name: 'an element is new twice', valid: false, ops: [put(0, 'a', 1, 1), put(0, 'a', 2, 1)] },
  { name: 'a put tells nothing when it may be lost', valid: true, ops: [put(0, 'a', 1, 1, 'info'), get(1, 'a', null)] },
  { name: 'a put tells nothing when it may be there', valid: true, ops: [put(0, 'a', 1, 1, 'info'), get(1, 'a', 1)] },
  { name: 'a put that was refused is there', valid: false, ops: [put(0, 'a', 1, 1, 'fail'), get(1, 'a', 1)] },
  { name: 'what was removed is gone', valid: true, ops: [put(0, 'a', 1, 1), remove(0, 'a', 1), get(1, 'a', null)] },
  { name: 'what was removed comes back', valid: false, ops: [put(0, 'a', 1, 1), remove(0, 'a', 1), get(1, 'a', 1)] },
  { name: 'what is not there is removed', valid: false, ops: [remove(0, 'a', 1)] },
  {
    name: 'additions are added up',
    valid: true,
    ops: [increment(0, 'a', 2, 2), increment(0, 'a', 3, 5), get(1, 'a', 5)],
  },
  { name: 'an addition is lost', valid: false, ops: [increment(0, 'a', 2, 2), increment(0, 'a', 3, 3)] },
  {
    name: 'an addition of unknown outcome counts when it is seen',
    valid: true,
    ops: [increment(0, 'a', 2, 2, 'info'), increment(1, 'a', 3, 5)],
  },
  {
    name: 'a whole read shows what is there',
    valid: true,
    ops: [
      put(0, 'a', 1, 1),
      put(0, 'b', 2, 1),
      all(1, [
        ['b', 2],
        ['a', 1],
      ]),
    ],
  },
  {
    name: 'a whole read misses an element',
    valid: false,
    ops: [put(0, 'a', 1, 1), put(0, 'b', 2, 1), all(1, [['b', 2]])],
  },
  {
    name: 'a whole read shows what nobody put',
    valid: false,
    ops: [
      put(0, 'a', 1, 1),
      all(1, [
        ['a', 1],
        ['c', 3],
      ]),
    ],
  },
  {
    name: 'a whole read shows an element twice',
    valid: false,
    ops: [
      put(0, 'a', 1, 1),
      all(1, [
        ['a', 1],
        ['a', 1],
      ]),
    ],
  },
  {
    name: 'nothing is left of what was cleared',
    valid: true,
    ops: [put(0, 'a', 1, 1), clear(0), all(1, []), put(0, 'a', 2, 1)],
  },
  {
    name: 'an element of a cleared collection is read',
    valid: false,
    ops: [put(0, 'a', 1, 1), clear(0), get(1, 'a', 1)],
  },
  {
    name: 'an element of a cleared collection comes back with another one',
    valid: false,
    ops: [
      put(0, 'a', 1, 1),
      clear(0),
      put(0, 'b', 2, 1),
      all(1, [
        ['a', 1],
        ['b', 2],
      ]),
    ],
  },
  {
    name: 'what may be cleared may stay',
    valid: true,
    ops: [put(0, 'a', 1, 1), clear(2, 'info'), get(1, 'a', 1), get(1, 'a', null)],
  },
  { name: 'what was popped is gone', valid: true, ops: [put(0, 'a', 1, 1), pop(0, 'a'), pop(1, null)] },
  { name: 'an element is popped twice', valid: false, ops: [put(0, 'a', 1, 1), pop(0, 'a'), pop(1, 'a')] },
  { name: 'nothing is popped although something is there', valid: false, ops: [put(0, 'a', 1, 1), pop(1, null)] },
  {
    name: 'nobody knows what was popped',
    valid: true,
    ops: [put(0, 'a', 1, 1), pop(2, 'a', 'info'), get(1, 'a', null)],
  },
  {
    name: 'a collection is replaced',
    valid: true,
    ops: [put(0, 'a', 1, 1), replace(0, 'b', 2), all(1, [['b', 2]]), get(1, 'a', null)],
  },
  {
    name: 'something is left of what was replaced',
    valid: false,
    ops: [put(0, 'a', 1, 1), replace(0, 'b', 2), get(1, 'a', 1)],
  },
  {
    name: 'what it was replaced by is not there',
    valid: false,
    ops: [put(0, 'a', 1, 1), replace(0, 'b', 2), all(1, [])],
  },
  {
    name: 'other collections are not touched',
    valid: true,
    ops: [
      put(0, 'a', 1, 1),
      [
        [0, 'invoke', 'clear', { collection: 'other' }],
        [0, 'ok', 'clear', { collection: 'other' }],
      ],
      get(1, 'a', 1),
    ],
  },
];

describe('the checker of elements', () => {
  for (const { name, valid, ops } of cases) {
    test(`says ${valid ? 'valid' : 'invalid'} when ${name}`, () => {
      const verdict = elementsChecker.check(history(...ops.flat()));
      assert.equal(verdict.valid, valid, verdict.problems.join('\n'));
    });
  }
});

const board: BoardView = {
  all: [
    ['b', 1],
    ['c', 1],
    ['a', 2],
    ['d', 5],
  ],
  size: 4,
  ranks: [
    ['c', 1],
    ['d', 3],
    ['e', null],
  ],
  slice: { from: 1, to: 2, names: ['c', 'a'] },
  scores: { min: 1, max: 2, count: 3, names: ['a', 'c', 'b'] },
};

describe('the checker of views', () => {
  const views: [string, Verdict, BoardView][] = [
    ['everything fits', true, board],
    [
      'a member is out of order',
      false,
      { ...board, all: [board.all[1]!, board.all[0]!, board.all[2]!, board.all[3]!] },
    ],
    ['the size is another', false, { ...board, size: 5 }],
    ['a rank is another', false, { ...board, ranks: [['a', 1]] }],
    ['a member has no rank', false, { ...board, ranks: [['a', null]] }],
    ['who is not there has a rank', false, { ...board, ranks: [['e', 4]] }],
    ['positions are others', false, { ...board, slice: { from: 1, to: 2, names: ['b', 'c'] } }],
    ['a count is another', false, { ...board, scores: { ...board.scores, count: 2 } }],
    ['a range is another', false, { ...board, scores: { ...board.scores, names: ['a', 'c'] } }],
  ];
  for (const [name, valid, view] of views) {
    test(`says ${valid ? 'valid' : 'invalid'} when ${name}`, () => {
      const ops: Op[] = history(...step(0, 'all', {}, { all: view.all, view }));
      assert.equal(viewsChecker.check(ops).valid, valid);
    });
  }
});

describe('the checker of views of other collections', () => {
  for (const [name, valid, whole] of [
    ['fits', true, { names: ['a', 'b'], size: 2 }],
    ['has another size', false, { names: ['a', 'b'], size: 3 }],
    ['shows a name twice', false, { names: ['a', 'a'], size: 2 }],
  ] as const) {
    test(`says ${valid ? 'valid' : 'invalid'} when it ${name}`, () => {
      assert.equal(viewsChecker.check(history(...step(0, 'look', {}, { whole }))).valid, valid);
    });
  }
});

describe('the checker of counters in a hash', () => {
  const add = (process: number, counter: string, by: number, after: number): Step[] => [
    [process, 'invoke', 'add', [counter, by]],
    [process, 'ok', 'add', [counter, after]],
  ];
  const read = (process: number, first: number): Step[] => {
    const values = { 'counter-0': first, 'counter-1': 7, 'counter-2': 0, 'counter-3': 0, 'counter-4': 0 };
    return [
      [process, 'invoke', 'read', null],
      [process, 'ok', 'read', values],
    ];
  };

  test('takes each counter by itself', () => {
    const ops = [add(0, 'counter-0', 2, 2), add(1, 'counter-1', 7, 7), add(0, 'counter-0', 1, 3)];
    assert.equal(hashCountersChecker.check(history(...ops.flat(), ...read(0, 3))).valid, true);
    assert.equal(hashCountersChecker.check(history(...ops.flat(), ...read(0, 2))).valid, false);
  });

  test('notices an addition that was taken for another', () => {
    const ops = [add(0, 'counter-0', 2, 2), add(1, 'counter-1', 7, 7), add(0, 'counter-0', 2, 2)];
    assert.equal(hashCountersChecker.check(history(...ops.flat(), ...read(0, 4))).valid, false);
  });
});
