import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type BoundKeyCondition,
  bindKeyCondition,
  type KeySchemaAttributes,
  meetsRange,
  QUERY,
  rangeOf,
  readExpressions,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';
import {
  keyComponent,
  readValue,
  type ScalarValue,
  type WireAttributeValue,
} from '../../../../src/adapter/dynamodb/values/index.ts';

const TABLE: KeySchemaAttributes = { hash: [{ name: 'p', type: 'S' }], range: [{ name: 'r', type: 'N' }] };
const PARTITION_ONLY: KeySchemaAttributes = { hash: [{ name: 'p', type: 'S' }], range: [] };
const INDEX: KeySchemaAttributes = {
  hash: [
    { name: 'h1', type: 'S' },
    { name: 'h2', type: 'S' },
  ],
  range: [
    { name: 'r1', type: 'S' },
    { name: 'r2', type: 'S' },
    { name: 'r3', type: 'B' },
  ],
};

function bound(
  text: string,
  values: Readonly<Record<string, WireAttributeValue>> | undefined,
  schema = TABLE,
): BoundKeyCondition {
  const { keyConditions } = readExpressions({ KeyConditionExpression: text, ExpressionAttributeValues: values }, QUERY);
  return bindKeyCondition(keyConditions!, schema);
}

const VALUES = { ':s': { S: 'a' }, ':t': { S: 'b' }, ':n': { N: '1' }, ':m': { N: '5' }, ':e': { S: '' } };

function refusal(text: string, schema: KeySchemaAttributes): string {
  const used = Object.entries(VALUES).filter(([name]) => text.includes(name));
  try {
    bound(text, used.length === 0 ? undefined : Object.fromEntries(used), schema);
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
}

const scalar = (wire: WireAttributeValue): ScalarValue => readValue(wire) as ScalarValue;

describe('a key condition', () => {
  test('is bound to the key in any order and direction', () => {
    const expected = { hash: [scalar({ S: 'a' })], range: [], last: { operator: '>', values: [scalar({ N: '1' })] } };
    assert.deepEqual(bound('p = :s AND r > :n', { ':s': { S: 'a' }, ':n': { N: '1.0' } }), expected);
    assert.deepEqual(bound(':n < r AND (:s = p)', { ':s': { S: 'a' }, ':n': { N: '1' } }), expected);
    const many = bound(
      'begins_with(r2, :x) AND h2 = :b AND r1 = :c AND h1 = :a',
      { ':a': { S: 'a' }, ':b': { S: 'b' }, ':c': { S: 'c' }, ':x': { S: 'x' } },
      INDEX,
    );
    assert.deepEqual(many, {
      hash: [scalar({ S: 'a' }), scalar({ S: 'b' })],
      range: [scalar({ S: 'c' })],
      last: { operator: 'begins_with', values: [scalar({ S: 'x' })] },
    });
  });

  test('is refused when it is none, or none of this key', () => {
    const invalid = 'Invalid condition in KeyConditionExpression: ';
    const cases: readonly (readonly [string, KeySchemaAttributes, string])[] = [
      ['p = :s', TABLE, 'accepted'],
      ['p = :s AND r BETWEEN :n AND :m', TABLE, 'accepted'],
      ['(p = :s)', TABLE, 'accepted'],
      ['((p = :s))', TABLE, 'Invalid KeyConditionExpression: The expression has redundant parentheses;'],
      ['r = :n', TABLE, 'Query condition missed key schema element: p'],
      ['p = :s AND x = :n', TABLE, 'Query condition missed key schema element: r'],
      ['p = :s AND x = :n', PARTITION_ONLY, 'Query key condition not supported'],
      ['p > :s', TABLE, 'Query key condition not supported'],
      [
        'p = :n',
        TABLE,
        'One or more parameter values were invalid: Condition parameter type does not match schema type',
      ],
      [
        'p = :e',
        TABLE,
        'One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p',
      ],
      ['p = :s OR r = :n', TABLE, 'Invalid operator used in KeyConditionExpression: OR'],
      ['NOT p = :s', TABLE, 'Invalid operator used in KeyConditionExpression: NOT'],
      ['p IN (:s)', TABLE, 'Invalid operator used in KeyConditionExpression: IN'],
      ['p <> :s', TABLE, 'Invalid operator used in KeyConditionExpression: <>'],
      ['attribute_exists(p)', TABLE, 'Invalid operator used in KeyConditionExpression: attribute_exists'],
      ['contains(p, :s)', TABLE, 'Invalid operator used in KeyConditionExpression: contains'],
      [
        'size(p) = :n',
        TABLE,
        'Invalid KeyConditionExpression: The function is not allowed in a key condition expression; function: size',
      ],
      ['p = :s AND p = :t', TABLE, 'KeyConditionExpressions must only contain one condition per key'],
      ['p.x = :s', TABLE, 'KeyConditionExpressions cannot have conditions on nested attributes'],
      ['p = r', TABLE, `${invalid}Multiple attribute names used in one condition`],
      [':s = :t', TABLE, `${invalid}No key attribute specified`],
      [':n BETWEEN r AND :m', TABLE, `${invalid}BETWEEN operator must have the key attribute as its first operand`],
      ['begins_with(:s, r)', TABLE, `${invalid}begins_with operator must have the key attribute as its first operand`],
      ['h1 = :s', INDEX, 'Query condition missed key schema element: h2'],
      ['h1 = :s AND h2 = :t AND r2 = :s', INDEX, 'Query condition missed key schema element: r1'],
      ['h1 = :s AND h2 = :t AND r1 > :s AND r2 = :s', INDEX, 'Query key condition not supported'],
    ];
    for (const [text, schema, problem] of cases) assert.equal(refusal(text, schema), problem, text);
  });

  test('has the range of exactly the keys that meet it', () => {
    const numbers = fc.integer({ min: -30, max: 30 }).map((n): WireAttributeValue => ({ N: String(n / 2) }));
    const binaries = fc
      .array(fc.constantFrom(0, 1, 254, 255), { maxLength: 3 })
      .map((bytes): WireAttributeValue => ({ B: Buffer.from(bytes).toString('base64') }));
    const ranges = fc.constantFrom('<', '<=', '>', '>=', 'between', 'begins_with', '=');
    const partition = Buffer.from('d-partition');
    const check = (operator: string, [a, b]: WireAttributeValue[], key: WireAttributeValue): void => {
      const values = [scalar(a!), scalar(b!)].sort((x, y) => Buffer.compare(keyComponent(x), keyComponent(y)));
      const last = { operator: operator as '<', values };
      const condition: BoundKeyCondition =
        operator === '=' ? { hash: [], range: [values[0]!], last: undefined } : { hash: [], range: [], last };
      const { start, end } = rangeOf(partition, condition);
      const row = Buffer.concat([partition, keyComponent(scalar(key)), Buffer.from('rest')]);
      const isWithin = Buffer.compare(start, row) <= 0 && Buffer.compare(row, end) < 0;
      const meets =
        operator === '=' ? keyComponent(values[0]!).equals(keyComponent(scalar(key))) : meetsRange(last, scalar(key));
      assert.equal(isWithin, meets, JSON.stringify([operator, a, b, key]));
    };
    const options = { numRuns: 3000 };
    fc.assert(fc.property(ranges, fc.array(binaries, { minLength: 2, maxLength: 2 }), binaries, check), options);
    fc.assert(
      fc.property(
        ranges.filter((operator) => operator !== 'begins_with'),
        fc.array(numbers, { minLength: 2, maxLength: 2 }),
        numbers,
        check,
      ),
      options,
    );
  });
});
