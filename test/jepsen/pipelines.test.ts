import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type PipelinedOp, pipelinesChecker } from '../../jepsen/checkers/pipelines.ts';
import { history } from './histories.ts';

const append = (element: number, ...keys: string[]): PipelinedOp => ['append', keys, element];
const refused = (element: number, ...keys: string[]): PipelinedOp => ['refused', keys, element];
const read = (key: string, ...list: number[]): PipelinedOp => ['r', key, list];

type Outcome = 'ok' | 'fail' | 'info';

/** Pipelines one after the other, each by a process of its own. */
const check = (...pipelines: readonly (readonly [Outcome, ...PipelinedOp[]])[]) =>
  pipelinesChecker.check(
    history(
      ...pipelines.flatMap(([type, ...ops], process): [number, 'invoke' | Outcome, string, unknown][] => [
        [
          process,
          'invoke',
          'pipeline',
          ops.map((op) => (op[0] === 'r' ? ['r', op[1], null] : append(op[2], ...op[1]))),
        ],
        [process, type, 'pipeline', ops],
      ]),
    ),
  );

describe('pipelines', () => {
  test('are valid when every key sees them in order, with others in between', () => {
    const verdict = check(
      ['ok', append(1, 'a', 'b'), append(2, 'a'), read('a', 1, 9, 2)],
      ['ok', append(9, 'a'), read('b', 1), read('a', 1, 9, 2)],
    );
    assert.deepEqual(verdict.problems, []);
    assert.equal(verdict.valid, true);
  });

  const wrong = {
    'a command goes ahead of one before it': [['ok', append(1, 'a', 'b'), append(2, 'a'), read('a', 2, 1)]],
    'somebody else sees it so': [
      ['ok', append(1, 'a', 'b'), append(2, 'a')],
      ['ok', read('a', 2, 1)],
    ],
    'a read misses what is before it': [['ok', append(1, 'a', 'b'), read('a')]],
    'a read shows what is behind it': [['ok', read('a', 1), append(1, 'a')]],
    'an element is there twice': [['ok', append(1, 'a'), read('a', 1, 1)]],
    'an element is there that was refused': [['ok', refused(1, 'a'), read('a', 1)]],
    'an element is there whose pipeline failed': [
      ['fail', append(1, 'a')],
      ['ok', read('a', 1)],
    ],
    'an element is from nowhere': [['ok', read('a', 7)]],
  } satisfies Record<string, [Outcome, ...PipelinedOp[]][]>;
  for (const [what, pipelines] of Object.entries(wrong)) {
    test(`are not when ${what}`, () => {
      assert.equal(check(...(pipelines as [Outcome, ...PipelinedOp[]][])).valid, false);
    });
  }

  test('may have what was refused missing, and what nobody knows of late', () => {
    assert.equal(
      check(
        ['ok', refused(1, 'a'), append(2, 'a'), read('a', 2)],
        ['info', append(3, 'a'), append(4, 'a')],
        ['ok', read('a', 2, 4, 3)],
      ).valid,
      true,
    );
  });
});
