import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  bankChecker,
  counterChecker,
  queueChecker,
  setChecker,
  ttlChecker,
  uniqueIdsChecker,
  writeSkewChecker,
} from '../../jepsen/checkers/collections.ts';
import type { Checker, Op, Verdict } from '../../jepsen/history.ts';
import { history } from './histories.ts';

const add = (
  process: number,
  value: unknown,
  type: 'ok' | 'fail' | 'info' = 'ok',
  output: unknown = value,
): [number, 'invoke' | 'ok' | 'fail' | 'info', string, unknown][] => [
  [process, 'invoke', 'add', value],
  [process, type, 'add', output],
];
const read = (process: number, value: unknown): [number, 'invoke' | 'ok', string, unknown][] => [
  [process, 'invoke', 'read', null],
  [process, 'ok', 'read', value],
];
const step = (
  process: number,
  f: string,
  input: unknown,
  output: unknown,
  type: 'ok' | 'info' | 'fail' = 'ok',
): [number, 'invoke' | 'ok' | 'info' | 'fail', string, unknown][] => [
  [process, 'invoke', f, input],
  [process, type, f, output],
];

/** @param set undefined: nobody knows */
const setSide = (process: number, side: 'left' | 'right', set: boolean | undefined) =>
  step(process, 'set', { pair: 1, side }, { pair: 1, side, set }, set === undefined ? 'info' : 'ok');
const readPair = (process: number, seen: boolean[]) => step(process, 'read', { pair: 1 }, { pair: 1, seen });

const cases: { checker: Checker; name: string; valid: Verdict; ops: Op[] }[] = [
  {
    checker: setChecker,
    name: 'all acknowledged elements are read',
    valid: true,
    ops: history(...add(0, 1), ...add(0, 2), ...read(1, [1, 2])),
  },
  {
    checker: setChecker,
    name: 'an acknowledged element is missing',
    valid: false,
    ops: history(...add(0, 1), ...add(0, 2), ...read(1, [2])),
  },
  {
    checker: setChecker,
    name: 'an unknown element may be missing',
    valid: true,
    ops: history(...add(0, 1, 'info'), ...read(1, [])),
  },
  {
    checker: setChecker,
    name: 'an unknown element may be there',
    valid: true,
    ops: history(...add(0, 1, 'info'), ...read(1, [1])),
  },
  {
    checker: setChecker,
    name: 'a refused element is there',
    valid: false,
    ops: history(...add(0, 1, 'fail'), ...read(1, [1])),
  },
  {
    checker: setChecker,
    name: 'an element comes from nowhere',
    valid: false,
    ops: history(...add(0, 1), ...read(1, [1, 9])),
  },
  {
    checker: setChecker,
    name: 'an unknown element was read and is missing later',
    valid: false,
    ops: history(...add(0, 1, 'info'), ...read(1, [1]), ...read(2, [])),
  },
  {
    checker: setChecker,
    name: 'an element is read before anybody adds it',
    valid: false,
    ops: history(...read(1, [1]), ...add(0, 1)),
  },
  { checker: setChecker, name: 'nothing was read', valid: 'unknown', ops: history(...add(0, 1)) },
  {
    checker: counterChecker,
    name: 'reads stay between the bounds',
    valid: true,
    ops: history(...add(0, 1, 'ok', 1), ...add(0, 2, 'ok', 3), ...read(1, 3)),
  },
  {
    checker: counterChecker,
    name: 'an acknowledged addition is lost',
    valid: false,
    ops: history(...add(0, 1, 'ok', 1), ...add(0, 2, 'ok', 3), ...read(1, 1)),
  },
  {
    checker: counterChecker,
    name: 'an addition counts twice',
    valid: false,
    ops: history(...add(0, 1, 'ok', 1), ...read(1, 2)),
  },
  {
    checker: counterChecker,
    name: 'an unknown addition counts or not',
    valid: true,
    ops: history(...add(0, 1, 'info', null), ...read(1, 0), ...read(1, 1)),
  },
  {
    checker: counterChecker,
    name: 'an unknown addition was read and is gone later',
    valid: false,
    ops: history(...add(0, 1, 'info', null), ...read(1, 1), ...read(2, 0)),
  },
  {
    checker: counterChecker,
    name: 'an unknown addition was read and another does not come on top of it',
    valid: false,
    ops: history(...add(0, 1, 'info', null), ...read(1, 1), ...add(2, 2, 'ok', 2), ...read(1, 3)),
  },
  {
    checker: counterChecker,
    name: 'an unknown addition is read before it was asked for',
    valid: false,
    ops: history(...read(1, 1), ...add(0, 1, 'info', null)),
  },
  {
    checker: counterChecker,
    name: 'two additions return the same value',
    valid: false,
    ops: history(
      [0, 'invoke', 'add', 1],
      [1, 'invoke', 'add', 1],
      [0, 'ok', 'add', 1],
      [1, 'ok', 'add', 1],
      ...read(2, 2),
    ),
  },
  {
    checker: uniqueIdsChecker,
    name: 'ids differ',
    valid: true,
    ops: history(...step(0, 'generate', null, 1), ...step(1, 'generate', null, 2)),
  },
  {
    checker: uniqueIdsChecker,
    name: 'an id comes twice',
    valid: false,
    ops: history(...step(0, 'generate', null, 1), ...step(1, 'generate', null, 1)),
  },
  {
    checker: queueChecker,
    name: 'everything is dequeued once',
    valid: true,
    ops: history(
      ...step(0, 'enqueue', 1, 1),
      ...step(0, 'enqueue', 2, 2),
      ...step(1, 'dequeue', null, 1),
      ...step(1, 'drain', null, [2]),
    ),
  },
  {
    checker: queueChecker,
    name: 'an element is dequeued twice',
    valid: false,
    ops: history(...step(0, 'enqueue', 1, 1), ...step(1, 'dequeue', null, 1), ...step(1, 'drain', null, [1])),
  },
  {
    checker: queueChecker,
    name: 'an element is lost',
    valid: false,
    ops: history(...step(0, 'enqueue', 1, 1), ...step(1, 'drain', null, [])),
  },
  {
    checker: queueChecker,
    name: 'an unknown dequeue excuses one loss',
    valid: true,
    ops: history(...step(0, 'enqueue', 1, 1), ...step(1, 'dequeue', null, null, 'info'), ...step(2, 'drain', null, [])),
  },
  {
    checker: queueChecker,
    name: 'an unknown dequeue does not excuse two losses',
    valid: false,
    ops: history(
      ...step(0, 'enqueue', 1, 1),
      ...step(0, 'enqueue', 2, 2),
      ...step(1, 'dequeue', null, null, 'info'),
      ...step(2, 'drain', null, []),
    ),
  },
  {
    checker: queueChecker,
    name: 'an unknown drain may have taken everything',
    valid: true,
    ops: history(
      ...step(0, 'enqueue', 1, 1),
      ...step(0, 'enqueue', 2, 2),
      ...step(1, 'drain', null, null, 'info'),
      ...step(2, 'drain', null, []),
    ),
  },
  {
    checker: queueChecker,
    name: 'an unknown enqueue is dequeued, or is not',
    valid: true,
    ops: history(
      ...step(0, 'enqueue', 1, 1, 'info'),
      ...step(2, 'enqueue', 2, 2, 'info'),
      ...step(1, 'dequeue', null, null),
      ...step(1, 'drain', null, [1]),
    ),
  },
  {
    checker: queueChecker,
    name: 'an unknown enqueue is dequeued before it was asked for',
    valid: false,
    ops: history(...step(1, 'dequeue', null, 1), ...step(0, 'enqueue', 1, 1, 'info'), ...step(1, 'drain', null, [])),
  },
  {
    checker: queueChecker,
    name: 'the queue is found empty while an acknowledged element is in it',
    valid: false,
    ops: history(...step(0, 'enqueue', 1, 1), ...step(1, 'dequeue', null, null), ...step(1, 'drain', null, [1])),
  },
  {
    checker: queueChecker,
    name: 'the queue was not drained',
    valid: 'unknown',
    ops: history(...step(0, 'enqueue', 1, 1)),
  },
  { checker: bankChecker(10), name: 'the total is kept', valid: true, ops: history(...read(0, { a: 4, b: 6 })) },
  { checker: bankChecker(10), name: 'money appears', valid: false, ops: history(...read(0, { a: 5, b: 6 })) },
  { checker: bankChecker(10), name: 'a balance is negative', valid: false, ops: history(...read(0, { a: -1, b: 11 })) },
  {
    checker: ttlChecker(0),
    name: 'a key lives as long as it should',
    valid: true,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 5 }, null),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
      [2, 'invoke', 'read', 'a'],
      [2, 'info', 'read', null],
      [3, 'invoke', 'read', 'a'],
      [3, 'info', 'read', null],
      ...step(4, 'read', 'k', { key: 'k', present: false }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a set of unknown outcome never shows, or comes late and lives its time from then',
    valid: true,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 5 }, null, 'info'),
      ...step(2, 'set', { key: 'l', ttlMs: 5 }, null, 'info'),
      ...step(1, 'read', 'k', { key: 'k', present: false }),
      ...step(1, 'read', 'k', { key: 'k', present: false }),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a set of unknown outcome is read, and its key vanishes early',
    valid: false,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 50 }, null, 'info'),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
      ...step(1, 'read', 'k', { key: 'k', present: false }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a set of unknown outcome is read, and its key outlives its time',
    valid: false,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 1 }, null, 'info'),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
      ...step(1, 'read', 'a', { key: 'a', present: false }),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a key that nobody set is there',
    valid: false,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 50 }, null),
      ...step(1, 'read', 'k', { key: 'k', present: true }),
      ...step(1, 'read', 'a', { key: 'a', present: true }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a key vanishes early',
    valid: false,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 50 }, null),
      ...step(1, 'read', 'k', { key: 'k', present: false }),
    ),
  },
  {
    checker: ttlChecker(0),
    name: 'a key outlives its time',
    valid: false,
    ops: history(
      ...step(0, 'set', { key: 'k', ttlMs: 1 }, null),
      [2, 'invoke', 'read', 'a'],
      [2, 'info', 'read', null],
      ...step(1, 'read', 'k', { key: 'k', present: true }),
    ),
  },
  {
    checker: writeSkewChecker,
    name: 'one side wins, and the other sees it',
    valid: true,
    ops: history(...setSide(0, 'left', true), ...setSide(1, 'right', false), ...readPair(2, [true, false])),
  },
  {
    checker: writeSkewChecker,
    name: 'an unknown side is never set, and the other is',
    valid: true,
    ops: history(...setSide(0, 'left', undefined), ...setSide(1, 'right', true), ...readPair(2, [false, true])),
  },
  {
    checker: writeSkewChecker,
    name: 'both sides are acknowledged',
    valid: false,
    ops: history(...setSide(0, 'left', true), ...setSide(1, 'right', true)),
  },
  {
    checker: writeSkewChecker,
    name: 'one side is acknowledged twice',
    valid: false,
    ops: history([0, 'invoke', 'set', { pair: 1, side: 'left' }], ...setSide(1, 'left', true), [
      0,
      'ok',
      'set',
      { pair: 1, side: 'left', set: true },
    ]),
  },
  {
    checker: writeSkewChecker,
    name: 'a side was unknown and was read, and is acknowledged for another who asked later',
    valid: false,
    ops: history(...setSide(0, 'left', undefined), ...readPair(2, [true, false]), ...setSide(1, 'left', true)),
  },
  {
    checker: writeSkewChecker,
    name: 'both sides are read',
    valid: false,
    ops: history(...setSide(0, 'left', true), ...readPair(2, [true, true])),
  },
  {
    checker: writeSkewChecker,
    name: 'one side was unknown and was read, and the other is acknowledged',
    valid: false,
    ops: history(...setSide(0, 'left', undefined), ...readPair(2, [true, false]), ...setSide(1, 'right', true)),
  },
  {
    checker: writeSkewChecker,
    name: 'an acknowledged side is not read',
    valid: false,
    ops: history(...setSide(0, 'left', true), ...readPair(2, [false, false])),
  },
  {
    checker: writeSkewChecker,
    name: 'a side that was read is not read again',
    valid: false,
    ops: history(...setSide(0, 'left', undefined), ...readPair(2, [true, false]), ...readPair(3, [false, false])),
  },
  {
    checker: writeSkewChecker,
    name: 'nothing was raced for',
    valid: 'unknown',
    ops: history(...readPair(2, [false, false])),
  },
];

describe('the counting checkers', () => {
  for (const { checker, name, valid, ops } of cases) {
    test(`${checker.name}: says ${valid === true ? 'valid' : valid === false ? 'invalid' : 'unknown'} when ${name}`, () => {
      const verdict = checker.check(ops);
      assert.equal(verdict.valid, valid, verdict.problems.join('\n'));
    });
  }
});
