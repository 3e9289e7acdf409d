/** Clients that wait for entries of streams, over a key-value layer in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { eventually, type RawClient, request, startTestServer, type TestServer } from '../harness.ts';

describe('a client that waits for entries', () => {
  let bed: TestServer;
  let waiter: RawClient;
  let other: RawClient;

  beforeEach(async () => {
    bed = await startTestServer();
    [waiter, other] = await Promise.all([bed.connect(), bed.connect()]);
  });
  afterEach(() => bed.stop());

  const run = (line: string) => other.call(...line.split(' '));

  async function waiting(client: RawClient, line: string): Promise<void> {
    const before = bed.kv.waiterCount;
    client.send(request(...line.split(' ')));
    await eventually(() => bed.kv.waiterCount === before + 1, `${line} waits`);
  }

  const entry = (id: string) => [id, ['f', 'v']];

  test('is given those behind the last one that there was when it began', async () => {
    await run('XADD s 3-0 f v');
    await waiting(waiter, 'XREAD BLOCK 0 STREAMS t s $ $');
    await run('DEL s');
    await run('XADD s 2-0 f v');
    await run('XADD s 4-0 f v');
    assert.deepEqual(await waiter.read(), [['s', [entry('4-0')]]], 'the id was resolved once');
  });

  test('is told that its time is over', async () => {
    assert.equal(await waiter.call('XREAD', 'BLOCK', '5', 'STREAMS', 's', '$'), null);
    await run('XGROUP CREATE s g $ MKSTREAM');
    assert.equal(await waiter.call('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '5', 'STREAMS', 's', '>'), null);
    assert.equal(bed.kv.waiterCount, 0);
  });

  test('does not wait inside a transaction', async () => {
    await waiter.call('MULTI');
    await waiter.call('XREAD', 'BLOCK', '0', 'STREAMS', 's', '0');
    assert.deepEqual(await waiter.call('EXEC'), [null]);
  });

  test('gets what others get too, unless they share a group', async () => {
    await run('XGROUP CREATE s g $ MKSTREAM');
    const third = await bed.connect();
    const fourth = await bed.connect();
    await waiting(third, 'XREAD BLOCK 0 STREAMS s $');
    await waiting(waiter, 'XREADGROUP GROUP g one BLOCK 0 STREAMS s >');
    await waiting(fourth, 'XREADGROUP GROUP g other BLOCK 0 COUNT 1 STREAMS s >');
    await run('XADD s 1-0 f v');
    assert.deepEqual(await third.read(), [['s', [entry('1-0')]]]);
    assert.deepEqual(await waiter.read(), [['s', [entry('1-0')]]]);
    await run('XADD s 2-0 f v');
    assert.deepEqual(await fourth.read(), [['s', [entry('2-0')]]]);
    assert.deepEqual(await run('XPENDING s g'), [
      2,
      '1-0',
      '2-0',
      [
        ['one', '1'],
        ['other', '1'],
      ],
    ]);
  });

  test('gets the entries of a whole transaction, a thousand at most unless it says how many', async () => {
    await waiting(waiter, 'XREAD BLOCK 0 STREAMS s 0');
    await run('MULTI');
    for (let id = 1; id <= 1_001; id++) await run(`XADD s ${id} f v`);
    await run('EXEC');
    const [[, entries]] = (await waiter.read()) as [[string, unknown[]]];
    assert.equal(entries.length, 1_000);
  });

  for (const [change, error] of [
    ['DEL s', 'UNBLOCKED the stream key no longer exists'],
    ['SET s x', 'UNBLOCKED the stream key no longer exists'],
    ['RENAME s t', 'UNBLOCKED the stream key no longer exists'],
    ['XGROUP DESTROY s g', 'NOGROUP the consumer group this client was blocked on no longer exists'],
  ]) {
    test(`of a group is told when ${change} takes the group away`, async () => {
      await run('XGROUP CREATE s g $ MKSTREAM');
      const third = await bed.connect();
      await waiting(third, 'XREAD BLOCK 0 STREAMS s $');
      await waiting(waiter, 'XREADGROUP GROUP g c BLOCK 0 STREAMS s >');
      await run(change!);
      assert.equal(await waiter.read(), `-${error}`);
      await run('DEL s');
      await run('XADD s 9-0 f v');
      assert.deepEqual(await third.read(), [['s', [entry('9-0')]]], 'who is in no group waits on');
    });
  }

  test('of a group is served by another stream in the place of its own', async () => {
    await run('XGROUP CREATE s g $ MKSTREAM');
    await run('XGROUP CREATE t g 0 MKSTREAM');
    await run('XADD t 1-0 f v');
    await waiting(waiter, 'XREADGROUP GROUP g c BLOCK 0 STREAMS s >');
    await run('COPY t s REPLACE');
    assert.deepEqual(await waiter.read(), [['s', [entry('1-0')]]]);
  });

  test('leaves its own history to be read without a wait', async () => {
    await run('XGROUP CREATE s g $ MKSTREAM');
    assert.deepEqual(await waiter.call('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0', 'STREAMS', 's', '0'), [
      ['s', []],
    ]);
  });
});
