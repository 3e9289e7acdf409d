import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BASE_INDEX,
  CorruptRowError,
  decodeFence,
  decodeItemRecord,
  decodeLeftStream,
  descriptorKey,
  encodeFence,
  encodeItemRecord,
  encodeLeftStream,
  FIRST_TABLE,
  fenceKey,
  globalIndexKey,
  indexRange,
  itemBytesIn,
  itemKey,
  LAST_INDEX,
  LAST_TABLE,
  leftStreamKey,
  localIndexKey,
  nameKey,
  partitionPrefix,
  partitionRowAt,
  requestTokenKey,
  streamPrefix,
  TOKEN_COUNT,
  tableRange,
  timedRecordKey,
  tokenIn,
  tokenOf,
  tokenPrefixIn,
  tokenRange,
  transactionRecordKey,
  ttlKey,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import type { AttributeValue } from '../../../../src/adapter/dynamodb/values/index.ts';
import { hlcTimestamp } from '../../../../src/platform/index.ts';

const TABLE = 0x4000_07;
const hashKey = Buffer.from('610001', 'hex');
const sortKey = Buffer.from('81820b00', 'hex');

const item = new Map<string, AttributeValue>([
  ['p', { type: 'S', value: 'a' }],
  ['s', { type: 'S', value: 'ä' }],
  ['n', { type: 'N', value: '-1.5' }],
  ['b', { type: 'B', value: Buffer.of(0, 255) }],
  ['t', { type: 'BOOL', value: true }],
  ['z', { type: 'NULL' }],
  [
    'l',
    {
      type: 'L',
      value: [
        { type: 'S', value: '' },
        { type: 'L', value: [] },
      ],
    },
  ],
  ['m', { type: 'M', value: new Map([['__proto__', { type: 'N', value: '1' }]]) }],
  ['ss', { type: 'SS', value: ['a', 'b'] }],
  ['ns', { type: 'NS', value: ['1', '2'] }],
  ['bs', { type: 'BS', value: [Buffer.of(1)] }],
]);

const GOLDEN = {
  item: '64400007001c69ce49016100010181820b00',
  local: '64400007001c69ce490161000102038081820b00',
  global: '64400007024313c90901800161000161000181820b00',
  fence: '6440000700800000000001',
  timed: '64400007000000000000020541000000000000010200000007',
  transaction: '64400007000000000000020542eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee0007',
  ttl: '6440000700000000000003000000006553f10061000181820b00',
  name: '64006e746162',
  descriptor: '640074400007',
  token: '6400780102030474',
  left: '64007374616200786c',
};
const GOLDEN_RECORD =
  '01010000003c070707070707070701730002c3a4016e017f7defff0162020200ff01740301017a04016c050200000500016d0601095f5f70726f746f5f5f0181820b00027373070201610162026e73080281820b008182150002627309010101';

describe('rows of DynamoDB', () => {
  test('have the keys that are on disk', () => {
    const keys = {
      item: itemKey(TABLE, hashKey, sortKey),
      local: localIndexKey(TABLE, hashKey, 3, Buffer.of(0x80), sortKey),
      global: globalIndexKey(TABLE, 2, Buffer.of(0x80), { indexSortKey: Buffer.of(0x61, 0, 1), hashKey, sortKey }),
      fence: fenceKey(TABLE, 0x8000_0000),
      timed: timedRecordKey(streamPrefix(TABLE, 0, 5), hlcTimestamp(0x0102n), 7),
      transaction: transactionRecordKey(streamPrefix(TABLE, 0, 5), Buffer.alloc(16, 0xee), 7),
      ttl: ttlKey(TABLE, 0, 1_700_000_000, { hashKey, sortKey }),
      name: nameKey('tab'),
      descriptor: descriptorKey(TABLE),
      token: requestTokenKey(0x01020304, Buffer.from('t')),
      left: leftStreamKey('tab', 'xl'),
    };
    assert.deepEqual(
      Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, key.toString('hex')])),
      GOLDEN,
    );
  });

  test('have the records that are on disk', () => {
    const record = encodeItemRecord(item, new Set(['p']), 60, Buffer.alloc(8, 7));
    assert.equal(record.toString('hex'), GOLDEN_RECORD);
    assert.equal(itemBytesIn(record), 60);
    const decoded = decodeItemRecord(record);
    assert.deepEqual(decoded.invocation, Buffer.alloc(8, 7));
    assert.deepEqual([...decoded.attributes], [...item].slice(1));
    const left = { table: TABLE, disabledMs: 5 };
    assert.equal(encodeLeftStream(left).toString('hex'), '01004000070000000000000005');
    assert.deepEqual(decodeLeftStream(encodeLeftStream(left)), left);
    assert.equal(encodeFence({ version: 3, endToken: 0x8000_0000 }).toString('hex'), '01000000000000000380000000');
  });

  test('give records back as they were, also long ones', () => {
    const long = new Map<string, AttributeValue>([['x'.repeat(300), { type: 'S', value: 'y'.repeat(200_000) }]]);
    const decoded = decodeItemRecord(encodeItemRecord(long, new Set(), 200_300));
    assert.deepEqual([...decoded.attributes], [...long]);
    assert.equal(decoded.invocation, undefined);
  });

  test('are refused when they are damaged or from elsewhere', () => {
    const record = encodeItemRecord(item, new Set(), 60);
    assert.throws(() => decodeItemRecord(Buffer.concat([Buffer.of(9), record.subarray(1)])), CorruptRowError);
    assert.throws(() => decodeItemRecord(record.subarray(0, record.length - 1)), CorruptRowError);
    const flagged = Buffer.from(record);
    flagged[1] = 0x80;
    assert.throws(() => decodeItemRecord(flagged), CorruptRowError);
  });

  test('keep the last token of a fence', () => {
    assert.deepEqual(decodeFence(encodeFence({ version: 1, endToken: TOKEN_COUNT })), {
      version: 1,
      endToken: TOKEN_COUNT,
    });
  });
});

describe('the key space of DynamoDB', () => {
  const isIn = (key: Buffer, { start, end }: { start: Buffer; end: Buffer }): boolean =>
    Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0;

  test('has a table with its indexes in one range', () => {
    for (const table of [FIRST_TABLE, TABLE, LAST_TABLE]) {
      const range = tableRange(table);
      const keys = [
        fenceKey(table, 0),
        itemKey(table, hashKey, sortKey),
        localIndexKey(table, hashKey, 5, sortKey, sortKey),
        globalIndexKey(table, LAST_INDEX, hashKey, { indexSortKey: sortKey, hashKey, sortKey }),
        ttlKey(table, 0xffff_ffff, 1, { hashKey, sortKey }),
      ];
      for (const key of keys) assert.ok(isIn(key, range));
      assert.ok(isIn(keys[3]!, indexRange(table, LAST_INDEX)));
      assert.ok(isIn(keys[1]!, indexRange(table, BASE_INDEX)));
    }
    assert.ok(!isIn(itemKey(TABLE, hashKey, sortKey), tableRange(TABLE - 1)));
    assert.ok(!isIn(itemKey(TABLE, hashKey, sortKey), tableRange(TABLE + 1)));
    assert.ok(!isIn(nameKey('a'), tableRange(FIRST_TABLE)));
  });

  test('has every row in the range of its token', () => {
    for (let n = 0; n < 200; n++) {
      const key = itemKey(TABLE, Buffer.from(`key ${n}`), sortKey);
      const token = tokenOf(Buffer.from(`key ${n}`));
      assert.equal(tokenIn(key), token);
      for (const segments of [1, 2, 7, 1000]) {
        const holders = Array.from({ length: segments }, (_, at) => at).filter((at) => {
          const from = Math.ceil((at * TOKEN_COUNT) / segments);
          const to = Math.ceil(((at + 1) * TOKEN_COUNT) / segments);
          return isIn(key, tokenRange(TABLE, BASE_INDEX, from, to));
        });
        assert.equal(holders.length, 1);
      }
    }
  });

  test('may be cut where a token begins, before its heads', () => {
    const key = itemKey(TABLE, hashKey, sortKey);
    const cut = tokenPrefixIn(key)!;
    assert.ok(Buffer.compare(cut, fenceKey(TABLE, tokenOf(hashKey))) < 0);
    assert.ok(Buffer.compare(cut, key) < 0);
    assert.equal(tokenPrefixIn(nameKey('a')), undefined);
  });

  test('tells rows of a partition apart', () => {
    assert.deepEqual(partitionRowAt(itemKey(TABLE, hashKey, sortKey), hashKey.length), { kind: 'item' });
    assert.deepEqual(partitionRowAt(localIndexKey(TABLE, hashKey, 4, sortKey, sortKey), hashKey.length), {
      kind: 'localIndex',
      localIndex: 4,
    });
    assert.deepEqual(partitionRowAt(fenceKey(TABLE, 0), hashKey.length), { kind: 'head' });
    assert.ok(itemKey(TABLE, hashKey, sortKey).indexOf(partitionPrefix(TABLE, BASE_INDEX, hashKey)) === 0);
  });

  test('spreads similar keys over all tokens', () => {
    const quarters = [0, 0, 0, 0];
    for (let n = 0; n < 4000; n++) quarters[tokenOf(Buffer.from(`user#${n}`)) >>> 30]!++;
    for (const count of quarters) assert.ok(count > 800 && count < 1200, String(quarters));
  });
});
