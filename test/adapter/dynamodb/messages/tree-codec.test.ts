import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import {
  CONDITIONAL_WRITE,
  type Condition,
  GET,
  readExpressions,
  UPDATE,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';
import {
  readCondition,
  readProjection,
  readRefusal,
  readUpdate,
  writeCondition,
  writeProjection,
  writeRefusal,
  writeUpdate,
} from '../../../../src/adapter/dynamodb/messages/index.ts';
import { CorruptRowError, ValueReader } from '../../../../src/adapter/dynamodb/rows/index.ts';
import { ByteWriter } from '../../../../src/platform/index.ts';
import { ExpressionWriter, tests } from '../expressions/reference.ts';

const written = <T>(write: (writer: ByteWriter, value: T) => void, value: T): Buffer => {
  const writer = new ByteWriter();
  write(writer, value);
  return writer.finish();
};

function read<T>(bytes: Buffer, readPart: (reader: ValueReader) => T): T {
  const reader = new ValueReader(bytes, 'a part');
  const value = readPart(reader);
  reader.end();
  return value;
}

const membersOf = (writer: ExpressionWriter): object => ({
  ...(Object.keys(writer.names).length === 0 ? {} : { ExpressionAttributeNames: writer.names }),
  ...(Object.keys(writer.values).length === 0 ? {} : { ExpressionAttributeValues: writer.values }),
});

const SAMPLE = {
  ConditionExpression:
    'attribute_exists(a.b[2]) AND (x IN (:n, y) OR NOT contains(s, :s)) AND size(l) BETWEEN :n AND z AND attribute_type(t, :t) AND q <> :n',
  ExpressionAttributeValues: { ':n': { N: '7' }, ':s': { S: 'ä' }, ':t': { S: 'NS' } },
};
const SAMPLE_UPDATE = {
  UpdateExpression: 'SET a = if_not_exists(b, :n) + :n, l = list_append(l, :l) REMOVE c[1] ADD n :n DELETE s :s',
  ExpressionAttributeValues: { ':n': { N: '7' }, ':l': { L: [] }, ':s': { SS: ['x'] } },
};
const GOLDEN = {
  condition:
    '000506030001610001620102010205000100017802010181824700000100017902090001000173010002c3a40402000100016c010181824700000100017a0700010001740803010001000171010181824700',
  update:
    '3e416e206f706572616e6420696e20746865207570646174652065787072657373696f6e2068617320616e20696e636f72726563742064617461207479706505000100016104000201000162010181824700010181824700000100016c03000100016c01050001020001630101020100016e0181824700030100017307010178',
  projection: '0201000161030001620001630103',
  refusal:
    '0000001f436f6e646974696f6e616c436865636b4661696c6564457863657074696f6e000000026e6f000000187b224974656d223a7b2270223a7b2253223a2261227d7d7d',
};

describe('what nodes tell each other about expressions', () => {
  test('has the bytes that other versions read', () => {
    const { condition } = readExpressions(SAMPLE, CONDITIONAL_WRITE);
    const { update } = readExpressions(SAMPLE_UPDATE, UPDATE);
    const { projection } = readExpressions({ ProjectionExpression: 'a, b.c[3]' }, GET);
    const refusal = new DynamoError('ConditionalCheckFailedException', 'no', { Item: { p: { S: 'a' } } });
    const bytes = {
      condition: written(writeCondition, condition!).toString('hex'),
      update: written(writeUpdate, update!).toString('hex'),
      projection: written(writeProjection, projection!).toString('hex'),
      refusal: written(writeRefusal, refusal).toString('hex'),
    };
    assert.deepEqual(bytes, GOLDEN);
    assert.deepEqual(read(Buffer.from(GOLDEN.update, 'hex'), readUpdate), update);
    assert.deepEqual(read(Buffer.from(GOLDEN.projection, 'hex'), readProjection), projection);
    const { type, message, members } = read(Buffer.from(GOLDEN.refusal, 'hex'), readRefusal);
    assert.deepEqual({ type, message, members }, { type: refusal.type, message: 'no', members: refusal.members });
  });

  test('is read as it was, whatever is asked', () => {
    fc.assert(
      fc.property(tests, (wanted) => {
        const writer = new ExpressionWriter();
        const ConditionExpression = writer.test(wanted);
        const { condition } = readExpressions({ ConditionExpression, ...membersOf(writer) }, CONDITIONAL_WRITE);
        assert.deepEqual(
          read(written(writeCondition, condition!), (reader) => readCondition(reader)),
          condition,
        );
      }),
      { numRuns: 300 },
    );
  });

  test('has chains of any length without growing deep', () => {
    const one: Condition = { kind: 'exists', path: ['a'] };
    let chain: Condition = one;
    for (let at = 0; at < 20_000; at++) chain = { kind: 'and', left: chain, right: one };
    const again = read(written(writeCondition, chain), (reader) => readCondition(reader));
    let members = 0;
    for (let node = again; node.kind === 'and'; node = node.left) members++;
    assert.equal(members, 20_000);
  });

  test('is refused when it is damaged, or deeper than anything that is written', () => {
    const { condition } = readExpressions(SAMPLE, CONDITIONAL_WRITE);
    const bytes = written(writeCondition, condition!);
    for (let length = 0; length < bytes.length; length++)
      assert.throws(() => read(bytes.subarray(0, length), (reader) => readCondition(reader)), CorruptRowError);
    const NOT = 2;
    assert.throws(() => read(Buffer.alloc(100_000, NOT), (reader) => readCondition(reader)), /too many levels/);
    const SIZE = Buffer.concat([Buffer.of(3, 0), Buffer.alloc(100_000, 2)]);
    assert.throws(() => read(SIZE, (reader) => readCondition(reader)), /too many levels/);
  });
});
