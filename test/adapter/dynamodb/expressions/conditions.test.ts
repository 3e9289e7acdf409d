import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CONDITIONAL_WRITE, meets, readExpressions, SCAN } from '../../../../src/adapter/dynamodb/expressions/index.ts';
import { readItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import { documents, ExpressionWriter, holds, tests, type WireDocument } from './reference.ts';

const filled = (record: object): object | undefined => (Object.keys(record).length === 0 ? undefined : record);

describe('a condition', () => {
  test('holds exactly when the reference says so', () => {
    fc.assert(
      fc.property(tests, fc.array(documents, { minLength: 3, maxLength: 6 }), (wanted, items) => {
        const writer = new ExpressionWriter();
        const text = writer.test(wanted);
        const { condition } = readExpressions(
          {
            ConditionExpression: text,
            ExpressionAttributeNames: filled(writer.names) as undefined,
            ExpressionAttributeValues: filled(writer.values) as undefined,
          },
          CONDITIONAL_WRITE,
        );
        for (const item of items)
          assert.equal(meets(condition!, readItem(item)), holds(wanted, item), `${text} of ${JSON.stringify(item)}`);
      }),
      { numRuns: 1500 },
    );
  });

  const isMet = (text: string, item: WireDocument, values?: WireDocument): boolean => {
    const { filter } = readExpressions({ FilterExpression: text, ExpressionAttributeValues: values }, SCAN);
    return meets(filter!, readItem(item));
  };

  test('binds NOT before AND before OR', () => {
    const both = { a: { N: '1' }, b: { N: '1' } };
    const has = (name: string): string => `attribute_exists(${name})`;
    assert.ok(isMet(`${has('a')} OR ${has('c')} AND ${has('d')}`, both));
    assert.ok(!isMet(`(${has('a')} OR ${has('c')}) AND ${has('d')}`, both));
    assert.ok(isMet(`NOT ${has('c')} AND ${has('b')}`, both));
    assert.ok(!isMet(`NOT (${has('c')} OR ${has('b')})`, both));
    assert.ok(isMet(`NOT NOT ${has('a')}`, both));
  });

  test('takes what is not there as different from everything, and as nothing else', () => {
    assert.ok(isMet('a <> b', {}));
    assert.ok(isMet('a <> :v', {}, { ':v': { N: '1' } }));
    assert.ok(!isMet('a = b', {}));
    assert.ok(!isMet('a <= b', {}));
    assert.ok(!isMet('a BETWEEN b AND c', {}));
    assert.ok(isMet('NOT a = b', {}));
  });

  test('goes through parentheses round paths', () => {
    const item = { a: { M: { b: { L: [{ N: '7' }] } } } };
    assert.ok(isMet('(a).b[0] = :v', item, { ':v': { N: '7' } }));
    assert.ok(isMet('((a.b)[0]) = :v', item, { ':v': { N: '7' } }));
  });
});
