import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { bodyOf, INCARNATION_BYTES, incarnationIn } from '../../../../src/adapter/redis/keys/sub-rows.ts';

const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((value) => Buffer.from(value));

describe('the key of a sub-row', () => {
  test('says which body the row belongs to', () => {
    const incarnation = bytes(INCARNATION_BYTES, INCARNATION_BYTES);
    fc.assert(
      fc.property(bytes(0, 200), incarnation, bytes(0, 12), bytes(1, 1), (userKey, drawn, rest, kind) => {
        const head = KEYSPACES[3]!.storageKey(userKey);
        assert.deepEqual(bodyOf(Buffer.concat([head, kind, drawn, rest])), {
          headLength: head.length,
          prefixLength: head.length + 9,
          incarnation: drawn,
        });
        assert.equal(bodyOf(head), undefined, 'a head is no sub-row');
        assert.equal(bodyOf(Buffer.concat([head, kind, drawn.subarray(1)])), undefined, 'too short for an incarnation');
      }),
    );
    assert.equal(bodyOf(Buffer.from('program')), undefined);
    assert.equal(bodyOf(KEYSPACES[3]!.slotRange(5, 6).start), undefined);
  });
});

describe('the value of a head', () => {
  test('names an incarnation in the large form only', () => {
    assert.equal(incarnationIn(Buffer.from('0100010102030405060708aabb', 'hex'))?.toString('hex'), '0102030405060708');
    assert.equal(incarnationIn(Buffer.from('0100000102030405060708aabb', 'hex')), undefined, 'packed');
    assert.equal(incarnationIn(Buffer.from('01000101020304050607', 'hex')), undefined, 'cut off');
    assert.equal(incarnationIn(Buffer.alloc(0)), undefined);
  });
});
