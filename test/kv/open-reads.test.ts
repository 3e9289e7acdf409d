import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenReads } from '../../src/kv/leader/open-reads.ts';
import { hlcTimestamp } from '../../src/platform/index.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));

test('the oldest read under way is known until it ends, however it ends', async () => {
  const reads = new OpenReads();
  const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const old = reads.during(ts(10), () => first.promise);
  const young = reads.during(ts(20), () => second.promise);
  assert.equal(reads.oldest(), 10n);
  first.reject(new Error('it was refused'));
  await assert.rejects(old, /refused/);
  assert.equal(reads.oldest(), 20n);
  second.resolve('rows');
  assert.equal(await young, 'rows');
  assert.equal(reads.oldest(), undefined);
});
