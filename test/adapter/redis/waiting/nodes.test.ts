/** Clients of one node that wait where another one leads. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { nodeId } from '../../../../src/platform/index.ts';
import { NotLeaderError } from '../../../../src/raftengine/errors.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { eventually, type RawClient, request, startTestServer, type TestServer } from '../harness.ts';

describe('a client that waits where another node leads', () => {
  let leader: TestServer;
  let follower: TestServer;
  let waiter: RawClient;
  let writer: RawClient;

  beforeEach(async () => {
    const kv = new FakeKv({ nodeId: 1 });
    const other = new FakeKv({ nodeId: 2, state: kv.state });
    other.leader = kv;
    [leader, follower] = await Promise.all([startTestServer({ kv }), startTestServer({ kv: other })]);
    [waiter, writer] = await Promise.all([follower.connect(), leader.connect()]);
  });
  afterEach(() => Promise.all([leader.stop(), follower.stop()]));

  const waits = (kv: FakeKv, count: number) => eventually(() => kv.waiterCount === count, `${count} wait`);

  test('is served there, in line with clients of all nodes', async () => {
    const local = await leader.connect();
    waiter.send(request('BLPOP', 'a', '0'));
    await waits(leader.kv, 1);
    local.send(request('BLPOP', 'a', '0'));
    await waits(leader.kv, 2);
    await writer.call('RPUSH', 'a', '1', '2');
    assert.deepEqual(await waiter.read(), ['a', '1']);
    assert.deepEqual(await local.read(), ['a', '2']);
  });

  test('leaves the line there when its time is over or it goes away', async () => {
    assert.equal(await waiter.call('BLPOP', 'a', '0.02'), null);
    assert.equal(leader.kv.waiterCount, 0);
    waiter.send(request('BLPOP', 'a', '0'));
    await waits(leader.kv, 1);
    waiter.close();
    await waits(leader.kv, 0);
  });

  test('is not served while the connection to its node is lost', async () => {
    waiter.send(request('BLPOP', 'a', '0'));
    await waits(leader.kv, 1);
    // The question that stays open has arrived, too.
    await eventually(() => follower.kv.forwarded === 2, 'it is asked for');
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    leader.kv.losePeer(nodeId(2));
    assert.equal(await writer.call('RPUSH', 'a', '1'), 1);
    assert.equal(await writer.call('LPOP', 'a'), '1');
    assert.equal(leader.kv.waiterCount, 1);
  });

  test('stands in line at the next leader, with its age', async () => {
    waiter.send(request('BLPOP', 'a', '0'));
    await waits(leader.kv, 1);
    leader.kv.leader = follower.kv;
    follower.kv.leader = follower.kv;
    leader.kv.failWaiters(new NotLeaderError(nodeId(2)));
    await waits(follower.kv, 1);
    await writer.call('RPUSH', 'a', '1');
    assert.deepEqual(await waiter.read(), ['a', '1']);
  });
});
