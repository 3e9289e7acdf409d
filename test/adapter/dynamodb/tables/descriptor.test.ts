import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CorruptRowError, TOKEN_COUNT } from '../../../../src/adapter/dynamodb/rows/index.ts';
import {
  decodeDescriptor,
  encodeDescriptor,
  maintainedIndexes,
  openStream,
  segmentEnd,
  segmentOf,
  type TableDescriptor,
  ttlAttribute,
} from '../../../../src/adapter/dynamodb/tables/index.ts';

const TABLE: TableDescriptor = {
  id: 0x010000,
  name: 'orders',
  version: 3,
  status: 'ACTIVE',
  tableId: '00000000-0000-4000-8000-000000000000',
  createdMs: 1_800_000_000_000,
  key: { hash: [{ name: 'p', type: 'S' }], range: [] },
  attributes: [{ name: 'p', type: 'S' }],
  billing: 'PAY_PER_REQUEST',
  throughput: { read: 0, write: 0 },
  isDeletionProtected: false,
  localIndexes: [],
  globalIndexes: [],
  segments: [
    { start: 0, createdMs: 1 },
    { start: 100, createdMs: 2 },
    { start: 0x8000_0000, createdMs: 3 },
  ],
  streams: [],
};

describe('the descriptor of a table', () => {
  test('has the bytes that are on disk', () => {
    const bytes = encodeDescriptor(TABLE);
    assert.equal(bytes[0], 1);
    assert.equal(bytes.toString('utf8', 1), JSON.stringify(TABLE));
    assert.deepEqual(decodeDescriptor(bytes), TABLE);
    assert.throws(() => decodeDescriptor(Buffer.concat([Buffer.of(2), bytes.subarray(1)])), CorruptRowError);
  });

  test('knows the segment of every token', () => {
    const starts = [0, 99, 100, 0x7fff_ffff, 0x8000_0000, TOKEN_COUNT - 1].map(
      (token) => segmentOf(TABLE, token).start,
    );
    assert.deepEqual(starts, [0, 0, 100, 100, 0x8000_0000, 0x8000_0000]);
    assert.deepEqual(
      TABLE.segments.map((segment) => segmentEnd(TABLE, segment)),
      [100, 0x8000_0000, TOKEN_COUNT],
    );
  });

  test('says what writes maintain', () => {
    assert.equal(openStream(TABLE), undefined);
    const stream = { generation: 0, viewType: 'KEYS_ONLY', label: 'x', enabledMs: 1 } as const;
    assert.equal(openStream({ ...TABLE, streams: [stream] }), stream);
    assert.equal(openStream({ ...TABLE, streams: [{ ...stream, disabledMs: 2 }] }), undefined);
    const ttl = { attribute: 'expires', changedMs: 1 };
    assert.equal(ttlAttribute({ ...TABLE, ttl: { ...ttl, state: 'ENABLING' } }), 'expires');
    assert.equal(ttlAttribute({ ...TABLE, ttl: { ...ttl, state: 'DISABLED' } }), undefined);
    const index = {
      number: 1,
      name: 'i',
      key: TABLE.key,
      projection: { kind: 'ALL' },
      isBackfilling: false,
      throughput: { read: 0, write: 0 },
    } as const;
    const indexes = [
      { ...index, state: 'CREATING' },
      { ...index, state: 'DELETING' },
    ] as const;
    assert.deepEqual(maintainedIndexes({ ...TABLE, globalIndexes: indexes }), [indexes[0]]);
  });
});
