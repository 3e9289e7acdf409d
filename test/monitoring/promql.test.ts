import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePromQl } from './promql.ts';

test('an expression tells which series it asks for, and by which labels it keeps them apart', () => {
  const source =
    'histogram_quantile(0.99, sum by (instance, le) (rate(a_bucket{code!="OK", way=~"x|y"}[5m]))) > 0.25 or b == 0';
  const { selectors, groupings } = parsePromQl(source);
  assert.deepEqual(
    selectors.map(({ metric, isRange }) => [metric, isRange]),
    [
      ['a_bucket', true],
      ['b', false],
    ],
  );
  assert.deepEqual(
    selectors[0]!.matchers.map(({ label, operator, value }) => `${label}${operator}${value}`),
    ['code!=OK', 'way=~x|y'],
  );
  assert.deepEqual(
    groupings.map(({ label, of }) => [label, of[0]!.metric]),
    [
      ['instance', 'a_bucket'],
      ['le', 'a_bucket'],
    ],
  );
});

test('what is no expression is refused', () => {
  const wrong = [
    '',
    'a >',
    'rate(a)',
    'rate(a[5])',
    'sum by instance (a)',
    'a{b=c}',
    'a{b="c"',
    'foo(a)',
    'a b',
    '(a',
    'a))',
    'a ~ 2',
  ];
  for (const source of wrong) assert.throws(() => parsePromQl(source), SyntaxError, source);
  for (const source of ['a', '-a + 2 * b', 'topk(3, sum by (x) (a)) > 1', 'a / on (x) b', 'time() - a > -3600']) {
    assert.doesNotThrow(() => parsePromQl(source), source);
  }
});
