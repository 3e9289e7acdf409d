/** How often keys are accessed, counted as Redis does under an LFU policy. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AccessFrequencies } from '../../../../src/adapter/redis/command/access-frequencies.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { type RawClient, startTestServer, type TestServer } from '../harness.ts';

const MINUTE_MS = 60_000;

describe('the counter of a key', () => {
  test('begins at five, grows with the logarithm of accesses, and falls by one a minute', () => {
    const frequencies = new AccessFrequencies(new SeededRandom(3));
    const [hot, cold] = [Buffer.from('hot'), Buffer.from('cold')];
    assert.equal(frequencies.of(cold, 0), 0);
    frequencies.touch(cold, 0);
    assert.equal(frequencies.of(cold, 0), 5);
    const after: number[] = [];
    for (const accesses of [100, 1_000, 100_000]) {
      for (let left = accesses; left > 0; left--) frequencies.touch(hot, 0);
      after.push(frequencies.of(hot, 0));
    }
    const [hundred, thousand, more] = after as [number, number, number];
    assert.ok(
      hundred > 7 && hundred < 16 && thousand > hundred && thousand < 30 && more > 100 && more <= 255,
      `${after}`,
    );
    assert.equal(frequencies.of(hot, 3 * MINUTE_MS), more - 3);
    assert.equal(frequencies.of(cold, 30 * MINUTE_MS), 0);
  });
});

describe('OBJECT FREQ', () => {
  let server: TestServer;
  let client: RawClient;
  before(async () => {
    server = await startTestServer();
    client = await server.connect();
  });
  after(() => server.stop());

  test('counts from the moment that an LFU policy is named, and instead of idle time', async () => {
    await client.call('SET', 'k', '1');
    assert.match(String(await client.call('OBJECT', 'FREQ', 'k')), /^-ERR An LFU maxmemory policy is not selected/);
    assert.equal(await client.call('OBJECT', 'IDLETIME', 'k'), 0);
    assert.match(String(await client.call('CONFIG', 'SET', 'maxmemory-policy', 'lfu')), /must be one of the following/);
    assert.equal(await client.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-LFU'), '+OK');
    assert.equal(await client.call('OBJECT', 'FREQ', 'k'), 0);
    await client.call('MGET', 'other', 'k');
    assert.equal(await client.call('OBJECT', 'FREQ', 'k'), 5);
    for (const looks of ['TTL', 'TYPE', 'EXISTS']) await client.call(looks, 'k');
    assert.equal(await client.call('OBJECT', 'FREQ', 'k'), 5, 'who looks from outside does not count');
    for (let nth = 0; nth < 50; nth++) await client.call('INCR', 'k');
    assert.ok(((await client.call('OBJECT', 'FREQ', 'k')) as number) > 5);
    assert.match(String(await client.call('OBJECT', 'IDLETIME', 'k')), /^-ERR An LFU maxmemory policy is selected/);
    assert.equal(await client.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction'), '+OK');
    assert.match(String(await client.call('OBJECT', 'FREQ', 'k')), /^-ERR An LFU/);
  });
});
