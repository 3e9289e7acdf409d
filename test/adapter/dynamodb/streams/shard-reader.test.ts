import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  encodeStreamRecord,
  streamPrefix,
  timedRecordKey,
  transactionRecordKey,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import { startOf } from '../../../../src/adapter/dynamodb/streams/sequence.ts';
import { readShard, transactionPlace } from '../../../../src/adapter/dynamodb/streams/shard-reader.ts';
import { readItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import type { KvCluster, KvRange, ScanOptions, ScanRow } from '../../../../src/kv/index.ts';
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../../../src/platform/index.ts';

const PREFIX = streamPrefix(0x010000, 0, 0);
const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));

const record = (p: number): Buffer =>
  encodeStreamRecord({
    key: readItem({ p: { N: String(p) } }),
    ...{ wasThere: false, isThere: true, isByExpiry: false, oldImage: undefined, newImage: undefined },
  });

/** Rows of a shard; `between` runs once, between the first scan and the second. */
class Rows {
  readonly rows = new Map<string, ScanRow>();
  between: () => void = () => undefined;
  private scans = 0;

  put(key: Buffer, p: number, commitTs: HlcTimestamp): void {
    this.rows.set(key.toString('hex'), { key, value: record(p), commitTs, expireTs: NEVER });
  }

  delete(key: Buffer): void {
    this.rows.delete(key.toString('hex'));
  }

  /** What `readShard` asks of a cluster. */
  async *scan({ start, end }: KvRange, { limit = Number.POSITIVE_INFINITY }: ScanOptions) {
    if (++this.scans === 2) this.between();
    const rows = [...this.rows.values()]
      .filter(({ key }) => Buffer.compare(start, key) <= 0 && Buffer.compare(key, end) < 0)
      .sort((a, b) => Buffer.compare(a.key, b.key))
      .slice(0, limit);
    yield { rows, start, end, ts: ts(100 * this.scans), stalenessMs: 0 };
  }
}

const read = async (
  rows: Rows,
  limit = 100,
  untilTs?: number,
): Promise<{ readonly found: string[]; readonly isAtEnd: boolean }> => {
  const signal = new AbortController().signal;
  const part = {
    prefix: PREFIX,
    from: startOf(ts(1)),
    limit,
    untilTs: untilTs === undefined ? undefined : ts(untilTs),
  };
  const page = await readShard(rows as unknown as KvCluster, part, 0, signal);
  const found = page.records.map(({ record: { key } }) => (key.get('p') as { readonly value: string }).value);
  return { found, isAtEnd: page.isAtEnd };
};

describe('a read of a shard', () => {
  const transaction = transactionRecordKey(PREFIX, Buffer.alloc(16, 7), 0);

  test('has a record once that is moved between its two looks', async () => {
    const rows = new Rows();
    rows.put(timedRecordKey(PREFIX, ts(10), 1), 1, ts(10));
    rows.put(timedRecordKey(PREFIX, ts(30), 2), 3, ts(30));
    rows.put(transaction, 2, ts(20));
    rows.between = () => {
      const { number } = transactionPlace(PREFIX, transaction, ts(20));
      rows.delete(transaction);
      rows.put(timedRecordKey(PREFIX, ts(20), number), 2, ts(40));
    };
    assert.deepEqual(await read(rows), { found: ['1', '2', '3'], isAtEnd: true });
  });

  test('leaves what is committed after its first look to the next one', async () => {
    const rows = new Rows();
    rows.put(timedRecordKey(PREFIX, ts(10), 1), 1, ts(10));
    rows.between = () => {
      // Of a transaction that was committed at 120: what came at 110 may be one that was not seen.
      rows.put(timedRecordKey(PREFIX, ts(120), 2), 2, ts(120));
      rows.put(transaction, 3, ts(110));
    };
    assert.deepEqual((await read(rows)).found, ['1']);
  });

  test('answers no record of a transaction before others that it has not read yet', async () => {
    const rows = new Rows();
    for (const at of [10, 20, 30]) rows.put(timedRecordKey(PREFIX, ts(at), at), at, ts(at));
    rows.put(transaction, 40, ts(40));
    assert.deepEqual(await read(rows, 2), { found: ['10', '20'], isAtEnd: false });
  });

  test('ends where the shard does, and not before everything up to there can be seen', async () => {
    const rows = new Rows();
    for (const at of [10, 20, 30]) rows.put(timedRecordKey(PREFIX, ts(at), at), at, ts(at));
    rows.put(transaction, 25, ts(25));
    assert.deepEqual(await read(rows, 100, 30), { found: ['10', '20', '25'], isAtEnd: true });
    const late = new Rows();
    for (const at of [10, 20, 30]) late.put(timedRecordKey(PREFIX, ts(at), at), at, ts(at));
    assert.deepEqual(await read(late, 2, 30), { found: ['10', '20'], isAtEnd: false });
    // Its first look is of the moment 100: what is committed between that and the end may still come.
    const early = new Rows();
    early.put(timedRecordKey(PREFIX, ts(10), 1), 10, ts(10));
    assert.deepEqual(await read(early, 100, 200), { found: ['10'], isAtEnd: false });
  });
});
