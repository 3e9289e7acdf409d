import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { ITEM_API, REQUESTS } from '../../../../src/adapter/dynamodb/model/index.ts';
import { checkConstraints } from '../../../../src/adapter/dynamodb/validation/index.ts';
import { typedTree } from '../../../../src/adapter/dynamodb/wire/typed-tree.ts';

const shapeOf = (name: string) => REQUESTS.get(`${ITEM_API}.${name}`)!.shape;
const typed = (name: string, json: string): object => typedTree(shapeOf(name), JSON.parse(json));

function refusal(name: string, json: string): string {
  try {
    typed(name, json);
  } catch (error) {
    assert.ok(error instanceof DynamoError);
    return `${error.type}: ${error.message}`;
  }
  return assert.fail('the tree was taken');
}

const item = (value: string): string => refusal('PutItem', `{"TableName":"t","Item":{"a":${value}}}`);
const SERIALIZATION = 'SerializationException: ';

describe('the tree of a request', () => {
  test('has no members that the model does not know, and none that are null', () => {
    assert.deepEqual(typed('GetItem', '{"TableName":"t","X":1,"ConsistentRead":null,"__proto__":{"Key":{}}}'), {
      TableName: 't',
    });
    assert.deepEqual(typed('PutItem', '{"Item":{"a":{"S":"x","N":null,"Q":1,"__proto__":{"N":"1"}}}}'), {
      Item: { a: { S: 'x' } },
    });
  });

  test('keeps every name of an attribute, those of all objects too', () => {
    const text =
      '{"Item":{"__proto__":{"S":"p"},"constructor":{"M":{"__proto__":{"NULL":true}}},"toString":{"N":"1"}}}';
    const tree = typed('PutItem', text) as { Item: object };
    assert.deepEqual(Object.keys(tree.Item), ['__proto__', 'constructor', 'toString']);
    assert.equal(JSON.stringify(tree), text);
    assert.equal(({} as { S?: unknown }).S, undefined);
  });

  test('takes words for booleans, and fractions of whole numbers away', () => {
    assert.deepEqual(typed('GetItem', '{"ConsistentRead":"yes"}'), { ConsistentRead: true });
    assert.deepEqual(typed('GetItem', '{"ConsistentRead":"0"}'), { ConsistentRead: false });
    assert.deepEqual(typed('Query', '{"Limit":3.9}'), { Limit: 3 });
  });

  test('is refused in the words of the service where a type is another', () => {
    assert.equal(refusal('GetItem', '[]'), `${SERIALIZATION}Start of list found where not expected`);
    assert.equal(refusal('GetItem', '"x"'), `${SERIALIZATION}Unexpected value type in payload`);
    assert.equal(refusal('GetItem', '{"TableName":1}'), `${SERIALIZATION}NUMBER_VALUE cannot be converted to String`);
    assert.equal(
      refusal('GetItem', '{"TableName":1.5}'),
      `${SERIALIZATION}DECIMAL_VALUE cannot be converted to String`,
    );
    assert.equal(refusal('GetItem', '{"TableName":true}'), `${SERIALIZATION}TRUE_VALUE cannot be converted to String`);
    assert.equal(
      refusal('GetItem', '{"TableName":[]}'),
      `${SERIALIZATION}Unrecognized collection type class java.lang.String`,
    );
    assert.equal(
      refusal('GetItem', '{"TableName":{}}'),
      `${SERIALIZATION}Start of structure or map found where not expected`,
    );
    assert.equal(refusal('Query', '{"Limit":"1"}'), `${SERIALIZATION}STRING_VALUE cannot be converted to Integer`);
    assert.equal(refusal('Query', '{"Limit":1e20}'), `${SERIALIZATION}NUMBER_VALUE cannot be converted to Integer`);
    assert.equal(
      refusal('GetItem', '{"Key":[]}'),
      `${SERIALIZATION}Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>`,
    );
    assert.equal(refusal('GetItem', '{"Key":3}'), `${SERIALIZATION}Unexpected field type`);
    assert.equal(
      refusal('GetItem', '{"ConsistentRead":"maybe"}'),
      `${SERIALIZATION}Unexpected token received from parser`,
    );
    assert.equal(
      refusal('BatchWriteItem', '{"RequestItems":[]}'),
      `${SERIALIZATION}Unrecognized collection type java.util.Map<java.lang.String, java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>>`,
    );
    assert.match(
      refusal('BatchWriteItem', '{"RequestItems":{"t":1}}'),
      /^SerializationException: class sun\.reflect\.generics/,
    );
    assert.equal(refusal('CreateTable', '{"KeySchema":["x"]}'), `${SERIALIZATION}Unexpected value type in payload`);
  });

  test('has attribute values of the right kind: numbers are strings, bytes are base64', () => {
    assert.equal(item('{"N":3}'), `${SERIALIZATION}NUMBER_VALUE cannot be converted to String`);
    assert.equal(item('"x"'), `${SERIALIZATION}Unexpected value type in payload`);
    assert.equal(
      item('[]'),
      `${SERIALIZATION}Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue`,
    );
    assert.equal(item('{"B":1}'), `${SERIALIZATION}only base-64-encoded strings are convertible to bytes`);
    assert.equal(
      item('{"B":"abcde"}'),
      `${SERIALIZATION}Base64 encoded length is expected a multiple of 4 bytes but found: 5`,
    );
    for (const wrong of ['ab!=', '====', 'a===', 'AAB=', 'AA B', 'A=AA', 'AA-_']) {
      assert.equal(item(`{"B":"${wrong}"}`), `${SERIALIZATION}Invalid last non-pad Base64 character dectected`, wrong);
    }
    assert.equal(item('{"SS":"x"}'), `${SERIALIZATION}Unexpected field type`);
    assert.equal(item('{"BS":["AA=="],"L":[{"M":{"b":{"B":"A"}}}]}').slice(0, 38), `${SERIALIZATION}Base64 encoded`);
    assert.match(item('{"SS":[null]}'), /^ValidationException: .*may not have a null string as a member$/);
    assert.deepEqual(typed('PutItem', '{"Item":{"a":{"B":"AAEC"},"b":null,"c":{"L":[null]}}}'), {
      Item: { a: { B: 'AAEC' }, b: {}, c: { L: [{}] } },
    });
  });

  test('is refused when a value is nested without end, and does not end the stack', () => {
    const deep = (levels: number) => `${'{"L":['.repeat(levels)}{"S":"x"}${']}'.repeat(levels)}`;
    assert.match(item(deep(20_000)), /^ValidationException: Nesting Levels have exceeded supported limits/);
    assert.doesNotThrow(() => typed('PutItem', `{"Item":{"a":${deep(100)}}}`));
  });

  test('is made or refused, never anything else, whatever the JSON is', () => {
    const word = fc.constantFrom(
      'S',
      'N',
      'B',
      'L',
      'M',
      'SS',
      'BS',
      'NULL',
      'Keys',
      'Key',
      'Item',
      'TableName',
      '__proto__',
      'RequestItems',
      'TransactItems',
      'Put',
      'KeySchema',
      'Limit',
      'Tags',
    );
    const tree = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom(null, true, 0, 1.5, -1e300, '', 'AAAA', 'x', 'ALL'),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.array(fc.tuple(word, tie('node')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
      ),
    })).node;
    const shape = fc.constantFrom(...REQUESTS.values());
    fc.assert(
      fc.property(shape, tree, (request, value) => {
        try {
          const made = typedTree(request.shape, value);
          checkConstraints(request.shape, made);
        } catch (error) {
          assert.ok(error instanceof DynamoError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
