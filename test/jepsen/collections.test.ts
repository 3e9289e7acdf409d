import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bankChecker,
  counterChecker,
  queueChecker,
  setChecker,
  ttlChecker,
  uniqueIdsChecker,
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
];

describe('the counting checkers', () => {
  for (const { checker, name, valid, ops } of cases) {
    it(`${checker.name}: says ${valid === true ? 'valid' : valid === false ? 'invalid' : 'unknown'} when ${name}`, () => {
      const verdict = checker.check(ops);
      assert.equal(verdict.valid, valid, verdict.problems.join('\n'));
    });
  }
});
