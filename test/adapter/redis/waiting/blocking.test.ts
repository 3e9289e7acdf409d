/** Clients that wait for keys, over a key-value layer in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { eventually, type RawClient, request, startTestServer, type TestServer } from '../harness.ts';

describe('a client that waits for keys', () => {
  let bed: TestServer;
  let waiter: RawClient;
  let other: RawClient;

  beforeEach(async () => {
    bed = await startTestServer();
    [waiter, other] = await Promise.all([bed.connect(), bed.connect()]);
  });
  afterEach(() => bed.stop());

  const waits = (count = 1) => eventually(() => bed.kv.waiterCount === count, `${count} wait`);

  async function waiting(client: RawClient, ...args: string[]): Promise<void> {
    const before = bed.kv.waiterCount;
    client.send(request(...args));
    await waits(before + 1);
  }

  test('gets what another one pushes', async () => {
    await waiting(waiter, 'BLPOP', 'a', 'b', '0');
    assert.equal(await other.call('RPUSH', 'b', '1', '2'), 2);
    assert.deepEqual(await waiter.read(), ['b', '1']);
    assert.equal(await other.call('LLEN', 'b'), 1);
    assert.equal(bed.kv.waiterCount, 0);
  });

  test('is told that its time is over, and is in line no longer', async () => {
    assert.equal(await waiter.call('BLPOP', 'a', '0.01'), null);
    assert.equal(bed.kv.waiterCount, 0);
    assert.equal(await other.call('RPUSH', 'a', '1'), 1);
    assert.equal(await other.call('LLEN', 'a'), 1);
  });

  test('is served in the order in which it came', async () => {
    const third = await bed.connect();
    await waiting(waiter, 'BLPOP', 'a', '0');
    await waiting(third, 'BRPOP', 'a', '0');
    await other.call('RPUSH', 'a', '1', '2', '3');
    assert.deepEqual(await waiter.read(), ['a', '1']);
    assert.deepEqual(await third.read(), ['a', '3']);
  });

  test('runs what it sent behind when it has its answer, and not before', async () => {
    waiter.send(Buffer.concat([request('BLPOP', 'a', '0'), request('BLPOP', 'a', '0'), request('PING')]));
    await waits();
    await other.call('RPUSH', 'a', '1');
    assert.deepEqual(await waiter.read(), ['a', '1']);
    await waits();
    await other.call('RPUSH', 'a', '2');
    assert.deepEqual(await waiter.readMany(2), [['a', '2'], '+PONG']);
  });

  test('leaves the line when it goes away', async () => {
    await waiting(waiter, 'BLPOP', 'a', '0');
    waiter.close();
    await waits(0);
    assert.equal(await other.call('RPUSH', 'a', '1'), 1);
    assert.equal(await other.call('LLEN', 'a'), 1);
  });

  test('is unblocked by another one, as if its time were over or with an error', async () => {
    const id = String(await waiter.call('CLIENT', 'ID'));
    assert.equal(await other.call('CLIENT', 'UNBLOCK', id), 0);
    await waiting(waiter, 'BLPOP', 'a', '0');
    assert.match(String(await other.call('INFO', 'clients')), /blocked_clients:1\r\n/);
    assert.match(String(await other.call('CLIENT', 'LIST', 'ID', id)), / flags=b /);
    assert.equal(await other.call('CLIENT', 'UNBLOCK', id), 1);
    assert.equal(await waiter.read(), null);
    await waiting(waiter, 'BLMOVE', 'a', 'b', 'LEFT', 'RIGHT', '0');
    assert.equal(await other.call('CLIENT', 'UNBLOCK', id, 'ERROR'), 1);
    assert.equal(await waiter.read(), '-UNBLOCKED client unblocked via CLIENT UNBLOCK');
    assert.equal(await other.call('CLIENT', 'UNBLOCK', id), 0);
  });
});
