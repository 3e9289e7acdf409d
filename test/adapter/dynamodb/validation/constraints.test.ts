import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { ITEM_API, REQUESTS } from '../../../../src/adapter/dynamodb/model/index.ts';
import { checkConstraints } from '../../../../src/adapter/dynamodb/validation/index.ts';

function complaint(name: string, tree: object): string | undefined {
  try {
    checkConstraints(REQUESTS.get(`${ITEM_API}.${name}`)!.shape, tree);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof DynamoError && error.type === 'ValidationException');
    return error.message;
  }
}

const KEY = { a: { S: 'x' } };

describe('the constraints of the model', () => {
  test('are told together, in the order of the service', () => {
    assert.equal(
      complaint('GetItem', { TableName: 'abc;', ReturnConsumedCapacity: 'hi', AttributesToGet: [] }),
      "4 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: " +
        'Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; ' +
        "Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
        "Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; " +
        "Value null at 'key' failed to satisfy constraint: Member must not be null",
    );
    assert.equal(
      complaint('Query', { TableName: 't', Limit: 0 }),
      "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
    );
  });

  test('take names and ARNs for tables of items, and say by themselves how long a name of a table is', () => {
    assert.equal(complaint('GetItem', { TableName: 'ab', Key: KEY }), undefined);
    assert.equal(complaint('GetItem', { TableName: 'arn:aws:dynamodb:r:000000000000:table/t', Key: KEY }), undefined);
    assert.equal(
      complaint('GetItem', { TableName: '', Key: KEY }),
      "2 validation errors detected: Value '' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
        "[a-zA-Z0-9_.-]+; Value '' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 1",
    );
    assert.equal(
      complaint('DescribeTable', {}),
      "The parameter 'TableName' is required but was not present in the request",
    );
    for (const name of ['ab', 'x'.repeat(256)]) {
      assert.equal(
        complaint('DescribeTable', { TableName: name }),
        'TableName must be at least 3 characters long and at most 255 characters long',
      );
    }
    assert.equal(complaint('DescribeTable', { TableName: `arn:aws:dynamodb:r:1:table/${'x'.repeat(250)}` }), undefined);
  });

  test('have paths through lists and maps', () => {
    assert.match(
      complaint('CreateTable', {
        TableName: 'abc',
        AttributeDefinitions: [{ AttributeName: 'a', AttributeType: 'X' }],
        KeySchema: [{ AttributeName: 'a' }],
      })!,
      /^2 validation errors detected: Value 'X' at 'attributeDefinitions\.1\.member\.attributeType' failed .*; Value null at 'keySchema\.1\.member\.keyType' failed to satisfy constraint: Member must not be null$/,
    );
    assert.match(
      complaint('BatchGetItem', { RequestItems: { 'a;': { Keys: [] } } })!,
      /^2 validation errors detected: Value '\{a;=KeysAndAttributes\(keys=\[\]\)\}' at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: \[Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: \[a-zA-Z0-9_\.-\]\+\]; Value '\[\]' at 'requestItems\.a;\.member\.keys'/,
    );
    assert.match(
      complaint('BatchWriteItem', { RequestItems: { abc: Array.from({ length: 26 }, () => ({})) } })!,
      /at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: \[Member must have length less than or equal to 25, Member must have length greater than or equal to 1\]$/,
    );
  });

  test('are at most ten, each of a bounded length', () => {
    const many = complaint('CreateTable', {
      TableName: 'abc',
      AttributeDefinitions: Array.from({ length: 20 }, () => ({})),
      KeySchema: [],
    })!;
    assert.match(many, /^10 validation errors detected: /);
    const long = complaint('GetItem', { TableName: 't', Key: KEY, ReturnConsumedCapacity: 'x'.repeat(100_000) })!;
    assert.ok(long.length < 3000);
  });
});
