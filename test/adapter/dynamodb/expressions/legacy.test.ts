import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  bindKeyCondition,
  CONDITIONAL_WRITE,
  type ExpressionMembers,
  type ExpressionUse,
  meets,
  QUERY,
  readExpressions,
  SCAN,
  UPDATE,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';
import { readItem, type WireAttributeValue } from '../../../../src/adapter/dynamodb/values/index.ts';

const ITEM = readItem({
  n: { N: '5' },
  s: { S: 'hello' },
  set: { SS: ['a', 'b'] },
  list: { L: [{ N: '1' }, { S: 'x' }] },
  'a.b': { N: '1' },
});

const isKept = (name: string, operator: string, ...values: WireAttributeValue[]): boolean => {
  const ScanFilter = { [name]: { ComparisonOperator: operator, AttributeValueList: values } };
  return meets(readExpressions({ ScanFilter }, SCAN).filter!, ITEM);
};

const refusal = (members: ExpressionMembers, use: ExpressionUse): string => {
  try {
    readExpressions(members, use);
    return 'accepted';
  } catch (error) {
    return (error as Error).message.replace('One or more parameter values were invalid: ', '.. ');
  }
};

describe('a parameter of the older kind', () => {
  test('means what the expression means', () => {
    const cases: readonly (readonly [boolean, string, string, ...WireAttributeValue[]])[] = [
      [true, 'n', 'EQ', { N: '5.0' }],
      [false, 'n', 'NE', { N: '5' }],
      [true, 'x', 'NE', { N: '5' }],
      [true, 'n', 'LE', { N: '5' }],
      [false, 'n', 'LT', { N: '5' }],
      [true, 'n', 'GE', { N: '5' }],
      [false, 'n', 'GT', { N: '5' }],
      [true, 'n', 'IN', { N: '4' }, { N: '5' }],
      [true, 'n', 'BETWEEN', { N: '1' }, { N: '5' }],
      [true, 'x', 'NULL'],
      [true, 'n', 'NOT_NULL'],
      [true, 's', 'CONTAINS', { S: 'ell' }],
      [true, 'set', 'CONTAINS', { S: 'a' }],
      [true, 'list', 'CONTAINS', { S: 'x' }],
      [true, 's', 'NOT_CONTAINS', { S: 'z' }],
      [true, 's', 'BEGINS_WITH', { S: 'he' }],
      [true, 'a.b', 'EQ', { N: '1' }],
      [true, 'set', 'EQ', { SS: ['b', 'a'] }],
    ];
    for (const [expected, name, operator, ...values] of cases)
      assert.equal(isKept(name, operator, ...values), expected, `${name} ${operator}`);
  });

  test('is joined by AND, or by OR when that is said', () => {
    const members = (ConditionalOperator?: string): ExpressionMembers => ({
      ConditionalOperator,
      Expected: { n: { Value: { N: '5' } }, s: { Exists: false } },
    });
    assert.ok(!meets(readExpressions(members(), CONDITIONAL_WRITE).condition!, ITEM));
    assert.ok(!meets(readExpressions(members('AND'), CONDITIONAL_WRITE).condition!, ITEM));
    assert.ok(meets(readExpressions(members('OR'), CONDITIONAL_WRITE).condition!, ITEM));
    const thousands = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`x${at}`, { Exists: false }]));
    assert.ok(meets(readExpressions({ Expected: thousands }, CONDITIONAL_WRITE).condition!, ITEM));
  });

  test('can be a key condition', () => {
    const KeyConditions = {
      r: { ComparisonOperator: 'BETWEEN', AttributeValueList: [{ N: '1' }, { N: '2' }] },
      p: { ComparisonOperator: 'EQ', AttributeValueList: [{ S: 'a' }] },
    };
    const schema = { hash: [{ name: 'p', type: 'S' as const }], range: [{ name: 'r', type: 'N' as const }] };
    assert.deepEqual(bindKeyCondition(readExpressions({ KeyConditions }, QUERY).keyConditions!, schema), {
      hash: [{ type: 'S', value: 'a' }],
      range: [],
      last: {
        operator: 'between',
        values: [
          { type: 'N', value: '1' },
          { type: 'N', value: '2' },
        ],
      },
    });
  });

  test('is refused with the text of the service', () => {
    const filter = (
      ComparisonOperator: string,
      ...AttributeValueList: WireAttributeValue[]
    ): [ExpressionMembers, ExpressionUse] => [{ ScanFilter: { a: { ComparisonOperator, AttributeValueList } } }, SCAN];
    const expected = (a: object): [ExpressionMembers, ExpressionUse] => [{ Expected: { a } }, CONDITIONAL_WRITE];
    const update = (a: object): [ExpressionMembers, ExpressionUse] => [{ AttributeUpdates: { a } }, UPDATE];
    const one = { N: '1' };
    const cases: readonly (readonly [[ExpressionMembers, ExpressionUse], string])[] = [
      [filter('EQ'), '.. Invalid number of argument(s) for the EQ ComparisonOperator'],
      [filter('NULL', one), '.. Invalid number of argument(s) for the NULL ComparisonOperator'],
      [filter('BETWEEN', one), '.. Invalid number of argument(s) for the BETWEEN ComparisonOperator'],
      [filter('LT', { SS: ['a'] }), '.. ComparisonOperator LT is not valid for SS AttributeValue type'],
      [filter('BEGINS_WITH', one), '.. ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type'],
      [filter('IN', one, { S: 'a' }), '.. AttributeValues inside AttributeValueList must be of same type'],
      [
        filter('BETWEEN', { N: '2' }, one),
        'The BETWEEN condition was provided a range where the lower bound is greater than the upper bound',
      ],
      [expected({}), '.. Value must be provided when Exists is null for Attribute: a'],
      [expected({ Exists: true }), '.. Value must be provided when Exists is true for Attribute: a'],
      [expected({ Exists: false, Value: one }), '.. Value cannot be used when Exists is false for Attribute: a'],
      [
        expected({ Exists: true, ComparisonOperator: 'EQ', Value: one }),
        '.. Exists and ComparisonOperator cannot be used together for Attribute: a',
      ],
      [
        expected({ Value: one, AttributeValueList: [one] }),
        '.. Value and AttributeValueList cannot be used together for Attribute: a',
      ],
      [
        expected({ AttributeValueList: [one] }),
        '.. AttributeValueList can only be used with a ComparisonOperator for Attribute: a',
      ],
      [
        expected({ ComparisonOperator: 'EQ' }),
        '.. Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a',
      ],
      [expected({ ComparisonOperator: 'GT', Value: one }), 'accepted'],
      [update({ Action: 'PUT' }), '.. Only DELETE action is allowed when no attribute value is specified'],
      [update({ Action: 'ADD', Value: { S: 'a' } }), '.. ADD action is not supported for the type S'],
      [update({ Action: 'DELETE', Value: one }), '.. DELETE action with value is not supported for the type N'],
      [update({ Value: { NS: [] } }), '.. An number set  may not be empty'],
      [
        [{ KeyConditions: { p: { ComparisonOperator: 'NE', AttributeValueList: [one] } } }, QUERY],
        'Attempted conditional constraint is not an indexable operation',
      ],
    ];
    for (const [[members, use], text] of cases) assert.equal(refusal(members, use), text);
  });
});
