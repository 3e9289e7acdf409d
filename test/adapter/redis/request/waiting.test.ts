/** What passes by itself is waited for, in the order of the connection: clients of Redis retry next to nothing by themselves. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { KeyVersionPressureError, WriteBackpressureError } from '../../../../src/kv/admission/errors.ts';
import { CeilingExpiredError, ConflictError, RemoteError } from '../../../../src/kv/contract/errors.ts';
import { BusyError } from '../../../../src/raftengine/errors.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { SteadyTime } from '../../../support/steady-time.ts';
import { eventually, type RawClient, request, type TestServer, testServers } from '../harness.ts';

const servers = testServers();
/** Commands time out by it: a machine that stands still for a moment is no reason to refuse. */
let time: SteadyTime;
beforeEach(() => {
  time = new SteadyTime();
});
afterEach(() => time.stop());

interface WaitingClient {
  readonly leader: FakeKv;
  readonly server: TestServer;
  readonly client: RawClient;
}

/** A client of the node that leads, or of one that forwards to it. */
async function start(isForwarded: boolean, commandTimeoutMs: number): Promise<WaitingClient> {
  const leader = new FakeKv({ time });
  const leading = await servers.start({ kv: leader, time, config: { commandTimeoutMs } });
  if (!isForwarded) return { leader, server: leading, client: await leading.connect() };
  const kv = new FakeKv({ nodeId: 2, state: leader.state, time });
  kv.leader = leader;
  const server = await servers.start({ kv, time, config: { commandTimeoutMs } });
  return { leader, server, client: await server.connect() };
}

const lockedThere = (): Error => new RemoteError('LOCKED', 'wait', 'a transaction holds a lock');
const PASSING: readonly (readonly [string, () => Error])[] = [
  ['a full queue', () => new BusyError('too many operations wait for the group; try again later')],
  ['a clock without a ceiling', () => new CeilingExpiredError('the group has no ceiling for its timestamps yet')],
  ['a conflict', () => new ConflictError('the operation lost 8 times')],
  ['a lock', lockedThere],
  ['a store that is behind', () => new WriteBackpressureError('the store is behind with its writes', 20)],
];

for (const isForwarded of [false, true]) {
  describe(`on a node that ${isForwarded ? 'forwards' : 'leads'}`, () => {
    for (const [what, make] of PASSING) {
      test(`${what} is waited for, and the pipeline behind it stays in order`, async () => {
        const { leader, client } = await start(isForwarded, 5_000);
        let refusals = 0;
        leader.state.refuseWrite = () => (refusals++ < 5 ? make() : undefined);
        const commands = Array.from({ length: 50 }, (_, nth) => request('APPEND', 'k', String(nth % 10)));
        client.send(Buffer.concat([...commands, request('GET', 'k')]));
        const lengths = Array.from({ length: 50 }, (_, nth) => nth + 1);
        assert.deepEqual(await client.readMany(51), [...lengths, '0123456789'.repeat(5)]);
      });
    }

    test('says why when what passes does not pass in time, and that nothing was changed', async () => {
      const { leader, client } = await start(isForwarded, 200);
      const texts: [() => Error, RegExp][] = [
        [
          () => new BusyError('too many operations wait for the group; try again later'),
          /^-TRYAGAIN too many operations/,
        ],
        [lockedThere, /^-TRYAGAIN a transaction held the keys too long; nothing was changed/],
        [
          () => new CeilingExpiredError('the group has no ceiling yet; try again'),
          /^-TRYAGAIN the group has no ceiling/,
        ],
        [
          () => new WriteBackpressureError('the store is behind', 1),
          /^-BACKPRESSURE writes are held back: the store is behind; nothing was changed, try again in 100 ms/,
        ],
      ];
      for (const [make, expected] of texts) {
        leader.state.refuseWrite = make;
        client.send(Buffer.concat([request('SET', 'a', '1'), request('SET', 'b', '1'), request('PING')]));
        const [first, second, pong] = await client.readMany(3);
        assert.match(String(first), expected);
        assert.match(String(second), expected, 'whatever stood behind it hears the reason, too');
        assert.equal(pong, '+PONG');
        leader.state.refuseWrite = undefined;
        assert.equal(await client.call('EXISTS', 'a', 'b'), 0);
        assert.equal(await client.call('SET', 'c', '1'), '+OK');
      }
    });

    test('waits once while nothing is let in, not with every command: reads on the same connection go on', async () => {
      const { leader, client } = await start(isForwarded, 200);
      leader.state.refuseWrite = () => new WriteBackpressureError('the disk is full', 1_000);
      const pairs = Array.from({ length: 300 }, (_, nth) => [request('SET', `k${nth}`, '1'), request('PING')]);
      client.send(Buffer.concat(pairs.flat()));
      const replies = await client.readMany(600);
      assert.equal(replies.filter((reply) => /^-BACKPRESSURE/.test(String(reply))).length, 300);
      assert.equal(replies.filter((reply) => reply === '+PONG').length, 300);
    });

    test('a read behind a write that is held back is answered, and makes nobody wait longer', async () => {
      const { leader, client } = await start(isForwarded, 200);
      leader.state.refuseWrite = () => new WriteBackpressureError('the disk is full', 1_000);
      const pairs = Array.from({ length: 100 }, (_, nth) => [
        request('SET', `k${nth}`, '1'),
        request('GET', `k${nth}`),
      ]);
      const beganMs = time.monotonicMs();
      client.send(Buffer.concat(pairs.flat()));
      const replies = await client.readMany(200);
      assert.equal(replies.filter((reply) => /^-BACKPRESSURE/.test(String(reply))).length, 100);
      assert.equal(replies.filter((reply) => reply === null).length, 100);
      assert.ok(time.monotonicMs() - beganMs < 100 * 200, 'the writes have waited together');
    });

    test('a key that has too much history is refused at once: that does not pass soon', async () => {
      const { leader, client } = await start(isForwarded, 60_000);
      leader.state.refuseWrite = () => new KeyVersionPressureError(20);
      assert.match(String(await client.call('SET', 'k', '1')), /^-BACKPRESSURE the key is overwritten faster/);
    });

    test('a bulk load is slowed by not being read, for longer than one command may take', async () => {
      const { leader, server, client } = await start(isForwarded, 1_000);
      // Three in two milliseconds are let in, of 3,000 twice: all together take four timeouts.
      const beganMs = time.monotonicMs();
      let taken = 0;
      leader.state.refuseWrite = () => {
        if (taken >= (time.monotonicMs() - beganMs) * 1.5) return new WriteBackpressureError('it is behind', 20);
        taken++;
        return undefined;
      };
      const large = Array.from({ length: 3_000 }, (_, nth) => request('SET', `large${nth}`, 'x'.repeat(5_000)));
      client.send(Buffer.concat(large));
      await eventually(() => taken > 0, 'some are let in');
      const early = server.server.counters().stats.inputBytes;
      assert.ok(early < large.length * 5_000, 'not all of it was read');
      assert.deepEqual([...new Set(await client.readMany(large.length))], ['+OK']);
      // Of these all are read, and wait.
      const small = Array.from({ length: 3_000 }, (_, nth) => request('SET', `small${nth}`, 'x'));
      client.send(Buffer.concat(small));
      assert.deepEqual([...new Set(await client.readMany(small.length))], ['+OK']);
      assert.equal(await client.call('DBSIZE'), 6_000);
    });
  });
}

test('a bulk load leaves others their share', async () => {
  const { leader, server, client } = await start(false, 5_000);
  let tokens = 0;
  let isRefilling = true;
  const refill = (): void => {
    tokens = Math.min(20, tokens + 5);
    if (isRefilling) time.after(5, refill);
  };
  refill();
  leader.state.refuseWrite = () => (tokens-- > 0 ? undefined : new WriteBackpressureError('it is behind', 20));
  client.send(Buffer.concat(Array.from({ length: 5_000 }, (_, nth) => request('SET', `bulk${nth}`, 'x'))));
  await eventually(() => leader.submitted > 100, 'the load is under way');
  const other = await server.connect();
  for (let nth = 0; nth < 10; nth++) assert.equal(await other.call('SET', `other${nth}`, 'x'), '+OK');
  assert.ok(leader.state.values.size < 5_000, 'the load is still under way');
  isRefilling = false;
  leader.state.refuseWrite = undefined;
  assert.deepEqual([...new Set(await client.readMany(5_000))], ['+OK']);
});

test('what stands behind batches that are answered keeps its time for the search of a leader', async () => {
  const { server, client } = await start(true, 400);
  server.kv.forwardTakesMs = 150;
  client.send(Buffer.concat(Array.from({ length: 6_000 }, (_, nth) => request('SET', `k${nth}`, 'x'))));
  assert.deepEqual([...new Set(await client.readMany(6_000))], ['+OK']);
  assert.ok(server.kv.forwarded >= 5);
  for (const patienceMs of server.kv.patienceMs) assert.ok(patienceMs > 200, `${patienceMs} ms of 400`);
});
