import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fenceKey, itemKey, nameKey, tokenRange } from '../../../../src/adapter/dynamodb/rows/index.ts';
import { KEYSPACES_OF_ADAPTERS } from '../../../../src/adapter/keyspaces.ts';
import { KeyTextError } from '../../../../src/distribution/index.ts';

const KEYS = KEYSPACES_OF_ADAPTERS;

describe('the keyspace of DynamoDB', () => {
  test('is cut between tokens, before the heads that lie at one', () => {
    const { start, end } = tokenRange(0x010203, 0, 0x7f00_000a, 0x7f00_000b);
    const item = Buffer.concat([start, Buffer.from('01610001', 'hex')]);
    assert.deepEqual(KEYS.align(item), start);
    assert.deepEqual(KEYS.align(fenceKey(0x010203, 0x7f00_000a)), start);
    assert.deepEqual(KEYS.after(item), end);
    assert.deepEqual(KEYS.align(nameKey('orders')), nameKey('orders'));
  });

  test('has places that people can type', () => {
    for (const text of ['table:010203', 'table:010203/000000ff']) assert.equal(KEYS.format(KEYS.parse(text)!), text);
    assert.deepEqual(KEYS.parse('table:10203/000000ff'), tokenRange(0x010203, 0, 255, 256).start);
    assert.equal(KEYS.format(itemKey(0x010203, Buffer.from('a'), Buffer.alloc(0))), undefined);
    for (const text of ['table:', 'table:ff', 'table:1000000', 'table:010203/12']) {
      assert.throws(() => KEYS.parse(text), KeyTextError, text);
    }
  });
});
