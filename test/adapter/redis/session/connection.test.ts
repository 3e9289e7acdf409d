import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hlcTimestamp } from '../../../../src/platform/index.ts';
import { OutcomeUnknownError, TooLargeError } from '../../../../src/raftengine/errors.ts';
import { FakeKv, FakeState } from '../../../support/fake-kv.ts';
import { SteadyTime } from '../../../support/steady-time.ts';
import {
  eventually,
  type RawClient,
  request,
  type TestServer,
  type TestServerOptions,
  testServers,
} from '../harness.ts';

const servers = testServers();

async function start(options: TestServerOptions = {}): Promise<TestServer & { client: RawClient }> {
  const server = await servers.start(options);
  return { ...server, client: await server.connect() };
}

/** Two nodes over one state: the second leads, clients connect to the first. */
async function startFollower({ groups = 1, ...options }: TestServerOptions & { groups?: number } = {}) {
  const state = new FakeState();
  const kv = new FakeKv({ nodeId: 1, state, groups });
  const leaderKv = new FakeKv({ nodeId: 2, state, groups });
  const leader = await start({ ...options, kv: leaderKv });
  kv.leader = leaderKv;
  const follower = await start({ ...options, kv });
  return { ...follower, leader, leaderKv };
}

/** Real time, in which turns do not end until the test says so. */
class HeldTurns extends SteadyTime {
  private held: (() => void)[] | undefined = [];

  override endOfTurn(callback: () => void): void {
    if (this.held === undefined) super.endOfTurn(callback);
    else this.held.push(callback);
  }

  override nextTurn(callback: () => void): void {
    this.endOfTurn(callback);
  }

  release(): void {
    const { held } = this;
    this.held = undefined;
    for (const callback of held ?? []) callback();
  }
}

test('replies to all clients leave together, once all that came in a turn has been taken', async () => {
  const time = new HeldTurns();
  const server = await servers.start({ time });
  const clients = await Promise.all([server.connect(), server.connect(), server.connect()]);
  for (const client of clients) client.send(request('SET', 'a', '1'));
  await eventually(() => server.kv.submitted === 3, 'the SETs of all clients');
  // A turn of the event loop is more than what a reply that was written takes on the way.
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
  const early = clients.map((client) => client.received.length);
  time.release();
  for (const client of clients) assert.equal(await client.read(), '+OK');
  time.stop();
  assert.deepEqual(early, [0, 0, 0]);
});

describe('a pipeline', () => {
  test('starts all its commands before the first one completes, and answers in order', async () => {
    const { kv, client } = await start();
    kv.holding = true;
    const commands = Array.from({ length: 16 }, (_, index) => request('SET', `k${index}`, `v${index}`));
    client.send(Buffer.concat([...commands, request('PING'), request('GET', 'k3')]));
    await eventually(() => kv.submitted === 17, '16 SETs and a GET submitted');
    assert.equal(client.received.length, 0);
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(18), [...new Array<string>(16).fill('+OK'), '+PONG', 'v3']);
  });

  test('keeps replies of fast commands behind those of slow ones', async () => {
    const { kv, client } = await start();
    kv.holding = true;
    client.send(Buffer.concat([request('SET', 'a', '1'), request('PING')]));
    await eventually(() => kv.submitted === 1, 'the SET');
    kv.holding = false;
    client.send(request('ECHO', 'x'));
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), ['+OK', '+PONG', 'x']);
  });

  test('looks at the whole keyspace only after the writes before it', async () => {
    const { kv, client } = await start();
    kv.holding = true;
    client.send(
      Buffer.concat([request('SET', 'a', '1'), request('DBSIZE'), request('SET', 'b', '1'), request('DBSIZE')]),
    );
    await eventually(() => kv.submitted === 1, 'the first SET');
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(4), ['+OK', 1, '+OK', 2]);
  });

  test('of many more commands than may be under way is answered completely', async () => {
    const { client } = await start({ config: { maxPipelinedCommands: 8 } });
    client.send(Buffer.concat(Array.from({ length: 500 }, (_, index) => request('ECHO', String(index)))));
    assert.deepEqual(
      await client.readMany(500),
      Array.from({ length: 500 }, (_, index) => String(index)),
    );
  });

  test('of large commands is begun up to a number of bytes only, and answered completely', async () => {
    const { kv, client } = await start({ config: { maxPipelinedBytes: 10_000 } });
    kv.holding = true;
    client.send(Buffer.concat(Array.from({ length: 100 }, (_, nth) => request('SET', `k${nth}`, 'x'.repeat(1_000)))));
    await eventually(() => kv.submitted === 10, 'the first ones are begun');
    const other = await start({ kv });
    kv.holding = false;
    assert.equal(await other.client.call('EXISTS', 'k9', 'k10'), 1, 'and no others');
    kv.releaseHeld();
    assert.deepEqual([...new Set(await client.readMany(100))], ['+OK']);
  });

  test('is not read while the client does not take its replies', async () => {
    const { kv, client } = await start({ config: { maxUnreadReplyBytes: 64 * 1024 } });
    await client.call('SET', 'big', 'x'.repeat(100_000));
    client.socket.pause();
    const before = kv.submitted;
    for (let round = 0; round < 40; round++) {
      client.send(Buffer.concat(Array.from({ length: 100 }, () => request('GET', 'big'))));
    }
    let seen = -1;
    await eventually(() => {
      const still = seen === kv.submitted && kv.submitted > before;
      seen = kv.submitted;
      return still;
    }, 'reading stops');
    assert.ok(kv.submitted - before < 1_000, `${kv.submitted - before} of 4000 commands were started`);
    client.socket.resume();
    const replies = await client.readMany(300);
    assert.ok(replies.every((reply) => (reply as string).length === 100_000));
  });

  test('that ends with the end of the stream is still answered', async () => {
    const { client } = await start();
    client.socket.end(Buffer.concat([request('SET', 'a', '1'), request('DBSIZE'), request('GET', 'a')]));
    assert.equal(await client.readToEnd(), '+OK\r\n:1\r\n$1\r\n1\r\n');
  });
});

describe('a node that does not lead', () => {
  test('answers through the leader, in order, in few messages', async () => {
    const { kv, client, leaderKv } = await startFollower();
    client.send(
      Buffer.concat([
        request('SET', 'a', '1'),
        ...Array.from({ length: 50 }, () => request('INCR', 'a')),
        request('GET', 'a'),
      ]),
    );
    const replies = await client.readMany(52);
    assert.deepEqual(replies, ['+OK', ...Array.from({ length: 50 }, (_, index) => index + 2), '51']);
    assert.equal(kv.forwarded, 1);
    assert.equal(kv.submitted, 0);
    assert.equal(leaderKv.submitted, 52);
  });

  test('has several batches of a connection under way, none of which can overtake another', async () => {
    const { kv, client } = await startFollower();
    const forward = kv.forward.bind(kv);
    const held: (() => void)[] = [];
    kv.forward = (...call) => {
      held.push(() => forward(...call));
    };
    client.send(request('SET', 'a', '1'));
    await eventually(() => held.length === 1, 'the first batch');
    client.send(Buffer.concat([request('INCR', 'a'), request('PING')]));
    await eventually(() => held.length === 2, 'the second batch');
    // The leader has the second one first, which waits for its turn.
    kv.forward = forward;
    for (const send of held.toReversed()) send();
    client.send(request('INCR', 'a'));
    assert.deepEqual(await client.readMany(4), ['+OK', 2, '+PONG', 3]);
  });

  test('passes errors, nils and RESP3 replies through unchanged', async () => {
    const { client } = await startFollower();
    await client.call('HELLO', '3');
    assert.equal(await client.call('GET', 'nothing'), null);
    await client.call('SET', 'text', 'abc');
    assert.equal(await client.call('INCR', 'text'), '-ERR value is not an integer or out of range');
  });

  test('runs a transaction with WATCH on the leader', async () => {
    const { client } = await startFollower();
    await client.call('SET', 'a', '1');
    assert.equal(await client.call('WATCH', 'a', 'b'), '+OK');
    await client.call('MULTI');
    await client.call('INCR', 'a');
    await client.call('PING');
    await client.call('GET', 'a');
    assert.deepEqual(await client.call('EXEC'), [2, '+PONG', '2']);
    await client.call('WATCH', 'a');
    await client.call('SET', 'a', '7');
    await client.call('MULTI');
    await client.call('GET', 'a');
    assert.equal(await client.call('EXEC'), null);
  });

  test('speaks one protocol version through a transaction: HELLO may tell it there, and not change it', async () => {
    const { client } = await startFollower();
    await client.call('HELLO', '3');
    await client.call('MULTI');
    assert.equal(await client.call('HELLO'), '+QUEUED');
    await client.call('GET', 'nothing');
    assert.equal(((await client.call('EXEC')) as unknown[])[1], null);
    await client.call('MULTI');
    assert.match(String(await client.call('HELLO', '2')), /HELLO with a protocol version is not allowed/);
    assert.match(String(await client.call('EXEC')), /^-EXECABORT/);
  });

  test('scans, counts and flushes through the leaders of all groups', async () => {
    const { client } = await startFollower({ groups: 3 });
    for (let index = 0; index < 40; index++) await client.call('SET', `key:${index}`, 'v');
    assert.equal(await client.call('DBSIZE'), 40);
    assert.equal(((await client.call('KEYS', 'key:1?')) as string[]).length, 10);
    assert.equal(await client.call('FLUSHDB'), '+OK');
    assert.equal(await client.call('DBSIZE'), 0);
  });

  test('goes on through another node when leadership moves between two commands', async () => {
    const { kv, client, leaderKv } = await startFollower();
    assert.equal(await client.call('SET', 'a', '1'), '+OK');
    kv.leader = kv;
    leaderKv.leader = kv;
    assert.equal(await client.call('INCR', 'a'), 2);
    assert.equal(kv.submitted, 1);
  });

  test('forwards what was refused here because leadership had just gone', async () => {
    const { kv, client, leaderKv } = await startFollower();
    kv.servesLocally = () => true;
    client.send(Buffer.concat([request('SET', 'a', '1'), request('INCR', 'a'), request('INCR', 'a')]));
    assert.deepEqual(await client.readMany(3), ['+OK', 2, 3]);
    assert.equal(leaderKv.submitted, 3);
  });

  test('says so when no leader can be found', async () => {
    const { kv, client } = await start();
    kv.leader = undefined;
    assert.match((await client.call('SET', 'a', '1')) as string, /^-CLUSTERDOWN /);
    assert.match((await client.call('DBSIZE')) as string, /^-CLUSTERDOWN /);
  });

  test('says that the outcome of a write is unknown, and asks again for a read', async () => {
    const { kv, client } = await startFollower();
    kv.failNextForward = new OutcomeUnknownError('the connection to the leader was lost');
    assert.match((await client.call('SET', 'a', '1')) as string, /^-UNKNOWN the outcome of this write is unknown/);
    kv.failNextForward = new OutcomeUnknownError('the connection to the leader was lost');
    assert.equal(await client.call('GET', 'a'), null);
    assert.equal(kv.forwarded, 3);
  });
});

describe('a transaction', () => {
  test('is one operation', async () => {
    const { kv, client } = await start();
    client.send(
      Buffer.concat([
        request('MULTI'),
        request('SET', 'a', '1'),
        request('INCR', 'a'),
        request('LPUSHX'),
        request('DISCARD'),
        request('MULTI'),
        request('SET', 'a', 'x'),
        request('INCR', 'a'),
        request('GET', 'a'),
        request('EXEC'),
        request('GET', 'a'),
      ]),
    );
    const replies = await client.readMany(11);
    assert.deepEqual(replies.slice(4), [
      '+OK',
      '+OK',
      '+QUEUED',
      '+QUEUED',
      '+QUEUED',
      ['+OK', '-ERR value is not an integer or out of range', 'x'],
      'x',
    ]);
    assert.equal(kv.submitted, 2);
  });

  test('gives the same replies when it is evaluated again', async () => {
    const { kv, client } = await start();
    kv.evaluateTwice = true;
    for (const command of [['MULTI'], ['INCR', 'n'], ['INCR', 'n']]) await client.call(...command);
    assert.deepEqual(await client.call('EXEC'), [1, 2]);
  });

  test('stays in its database behind a SELECT that is refused', async () => {
    const { client } = await start();
    await client.call('SET', 'a', '1');
    for (const other of ['16', '17', '-1', 'x', ' 1', '1.0']) {
      for (const command of [['MULTI'], ['SELECT', other], ['GET', 'a']]) await client.call(...command);
      const [refusal, value] = (await client.call('EXEC')) as string[];
      assert.match(refusal!, /^-ERR/, other);
      assert.equal(value, '1', other);
    }
  });

  test('aborts when a command was refused while queueing', async () => {
    const { kv, client } = await start();
    await client.call('MULTI');
    assert.equal(await client.call('SET', 'a'), "-ERR wrong number of arguments for 'set' command");
    assert.equal(await client.call('SET', 'a', '1'), '+QUEUED');
    assert.equal(await client.call('EXEC'), '-EXECABORT Transaction discarded because of previous errors.');
    assert.equal(kv.submitted, 0);
    assert.equal(await client.call('EXEC'), '-ERR EXEC without MULTI');
  });

  test('does nothing when a watched key changed, was created, was deleted or expired', async () => {
    const { kv, client, connect } = await start();
    const other = await connect();
    const changes: readonly (readonly [readonly string[], () => unknown])[] = [
      [['SET', 'k', '1'], () => other.call('SET', 'k', '1')],
      [['DEL', 'k'], () => other.call('SET', 'k', '1')],
      [['SET', 'k', '1'], () => other.call('DEL', 'k')],
      [['SET', 'k', '1', 'PX', '1000'], () => kv.advance(2000)],
    ];
    for (const [prepare, change] of changes) {
      await client.call(...prepare);
      await client.call('WATCH', 'k');
      await change();
      await client.call('MULTI');
      await client.call('SET', 'done', '1');
      assert.equal(await client.call('EXEC'), null);
      assert.equal(await client.call('EXISTS', 'done'), 0);
    }
  });

  test('runs when watched keys did not change, or were unwatched', async () => {
    const { client, connect } = await start();
    const other = await connect();
    await client.call('WATCH', 'k', 'absent');
    await client.call('MULTI');
    await client.call('SET', 'k', '2');
    assert.deepEqual(await client.call('EXEC'), ['+OK']);
    await client.call('WATCH', 'k');
    await client.call('UNWATCH');
    await other.call('SET', 'k', '3');
    await client.call('MULTI');
    await client.call('GET', 'k');
    assert.deepEqual(await client.call('EXEC'), ['3']);
  });

  test('is answered in one go when it was sent as a whole, and holds back nothing that came before it', async () => {
    const { kv, client } = await start();
    client.send(Buffer.concat([request('PING'), request('MULTI'), request('SET', 'p', '1'), request('EXEC')]));
    assert.deepEqual(await client.readMany(4), ['+PONG', '+OK', '+QUEUED', ['+OK']]);
    kv.holding = true;
    const before = kv.submitted;
    const whole = [request('MULTI'), request('INCR', 'p'), request('EXEC')];
    client.send(Buffer.concat([...whole, ...whole]));
    await eventually(() => kv.submitted > before, 'the transaction is under way');
    assert.equal(client.received.length, 0);
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(6), ['+OK', '+QUEUED', [2], '+OK', '+QUEUED', [3]]);
    kv.holding = true;
    client.send(Buffer.concat([request('PING'), ...whole]));
    assert.equal(await client.read(), '+PONG', 'which is no part of it');
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), ['+OK', '+QUEUED', [4]]);
  });

  test('is refused once when a key could not be watched, so that nothing is written on no condition', async () => {
    const here = await start();
    const follower = await startFollower();
    // An error of the proxy; one that the leader found while it evaluated, and sent encoded.
    const places = [
      [here, here.kv],
      [follower, follower.leaderKv],
    ] as const;
    for (const [{ client }, kv] of places) {
      await client.call('SET', 'w', '1');
      kv.failNext = new TooLargeError('too much');
      assert.match(String(await client.call('WATCH', 'w')), /^-ERR too much/);
      await client.call('MULTI');
      await client.call('SET', 'w', '2');
      assert.match(String(await client.call('EXEC')), /^-EXECABORT .*could not be watched/);
      await client.call('MULTI');
      await client.call('GET', 'w');
      assert.deepEqual(await client.call('EXEC'), ['1'], 'the next one is none of its business');
      kv.failNext = new TooLargeError('too much');
      await client.call('WATCH', 'w');
      await client.call('UNWATCH');
      await client.call('MULTI');
      assert.deepEqual(await client.call('EXEC'), []);
    }
  });

  test('reads a watched version again while a write of the same timestamp could follow', async () => {
    const { kv, client } = await start();
    kv.frozenTs = kv.state.nextTs();
    await client.call('SET', 'k', '1');
    const before = kv.submitted;
    client.send(request('WATCH', 'k'));
    await eventually(() => kv.submitted > before + 1, 'the version is read again');
    kv.frozenTs = hlcTimestamp(kv.state.nextTs());
    assert.equal(await client.read(), '+OK');
  });

  test('follows its own SELECT', async () => {
    const { client } = await start();
    await client.call('MULTI');
    for (const command of [
      ['SET', 'k', 'zero'],
      ['SELECT', '5'],
      ['SET', 'k', 'five'],
      ['GET', 'k'],
    ]) {
      await client.call(...command);
    }
    assert.deepEqual(await client.call('EXEC'), ['+OK', '+OK', '+OK', 'five']);
    assert.equal(await client.call('GET', 'k'), 'five');
    await client.call('SELECT', '0');
    assert.equal(await client.call('GET', 'k'), 'zero');
  });

  test('or a command that reaches into a database of another group is refused', async () => {
    const kv = new FakeKv({ groups: 2 });
    kv.groupOf = (key) => kv.dataGroups()[key[1]! % 2]!;
    const { client } = await start({ kv });
    await client.call('SET', 'k', 'v');
    assert.match((await client.call('MOVE', 'k', '1')) as string, /^-CROSSSLOT /);
    assert.match((await client.call('COPY', 'k', 'k', 'DB', '3')) as string, /^-CROSSSLOT /);
    assert.equal(await client.call('COPY', 'k', 'k', 'DB', '4'), 1);
    assert.equal(await client.call('MOVE', 'k', '2'), 1);
  });

  test('must stay within one group', async () => {
    const { client } = await start({ kv: new FakeKv({ groups: 4 }) });
    assert.match((await client.call('MSET', 'a', '1', 'b', '2')) as string, /^-CROSSSLOT /);
    assert.equal(await client.call('MSET', '{t}a', '1', '{t}b', '2'), '+OK');
    assert.match((await client.call('WATCH', 'a', 'b')) as string, /^-CROSSSLOT /);
    await client.call('MULTI');
    await client.call('SET', 'a', '1');
    assert.match((await client.call('SET', 'b', '1')) as string, /^-CROSSSLOT /);
    assert.match((await client.call('EXEC')) as string, /^-EXECABORT /);
  });
});

describe('SCAN', () => {
  async function scanAll(client: RawClient, ...options: string[]): Promise<string[]> {
    const seen: string[] = [];
    let cursor = '0';
    let calls = 0;
    do {
      const [next, keys] = (await client.call('SCAN', cursor, ...options)) as [string, string[]];
      seen.push(...keys);
      cursor = next;
      assert.ok(++calls < 10_000, 'a scan ends');
    } while (cursor !== '0');
    return seen;
  }

  async function fill(client: RawClient, count: number, name: (index: number) => string): Promise<string[]> {
    const names = Array.from({ length: count }, (_, index) => name(index));
    client.send(Buffer.concat(names.map((key) => request('SET', key, 'v'))));
    await client.readMany(count);
    return names.sort();
  }

  for (const groups of [1, 3]) {
    test(`visits every key exactly once over ${groups} group(s) at rest`, async () => {
      const { client } = await start({ kv: new FakeKv({ groups }) });
      const names = await fill(client, 300, (index) => `key:${index}`);
      assert.deepEqual((await scanAll(client)).sort(), names);
      assert.deepEqual((await scanAll(client, 'COUNT', '1000')).sort(), names);
      assert.deepEqual(
        (await scanAll(client, 'MATCH', 'key:1*', 'TYPE', 'string')).sort(),
        names.filter((name) => name.startsWith('key:1')),
      );
      assert.deepEqual(await scanAll(client, 'TYPE', 'list'), []);
    });
  }

  test('goes on with a cursor that another node gave out', async () => {
    const state = new FakeState();
    const first = await start({ kv: new FakeKv({ state }) });
    const second = await start({ kv: new FakeKv({ state }) });
    const names = await fill(first.client, 100, (index) => `{tag}${index}`);
    const seen: string[] = [];
    let cursor = '0';
    let turn = 0;
    do {
      const client = turn++ % 2 === 0 ? first.client : second.client;
      const [next, keys] = (await client.call('SCAN', cursor, 'COUNT', '7')) as [string, string[]];
      seen.push(...keys);
      cursor = next;
      assert.ok(turn < 200, 'a scan ends');
    } while (cursor !== '0');
    assert.deepEqual(seen.sort(), names);
  });

  test('misses no key that stays when the key behind the cursor is deleted', async () => {
    const state = new FakeState();
    const first = await start({ kv: new FakeKv({ state }) });
    const second = await start({ kv: new FakeKv({ state }) });
    const names = await fill(first.client, 30, (index) => `{tag}${index}`);
    const [cursor, keys] = (await first.client.call('SCAN', '0', 'COUNT', '10')) as [string, string[]];
    const behind = names.filter((name) => !keys.includes(name));
    for (const name of behind.slice(0, 5)) await first.client.call('DEL', name);
    const [end, rest] = (await second.client.call('SCAN', cursor, 'COUNT', '10')) as [string, string[]];
    assert.equal(end, '0');
    for (const name of behind.slice(5)) assert.ok(rest.includes(name), name);
  });

  test('refuses what Redis refuses', async () => {
    const { client } = await start();
    assert.equal(await client.call('SCAN', 'x'), '-ERR invalid cursor');
    assert.equal(await client.call('SCAN', '0', 'COUNT', '0'), '-ERR syntax error');
    assert.equal(await client.call('SCAN', '0', 'COUNT', 'x'), '-ERR value is not an integer or out of range');
    assert.equal(await client.call('SCAN', '0', 'MATCH'), '-ERR syntax error');
    assert.equal(await client.call('SCAN', '0', 'FOO', 'x'), '-ERR syntax error');
  });

  test('keeps databases apart', async () => {
    const { client } = await start();
    await client.call('SET', 'zero', '1');
    await client.call('SELECT', '15');
    await client.call('SET', 'fifteen', '1');
    assert.deepEqual(await scanAll(client), ['fifteen']);
    assert.deepEqual(await client.call('KEYS', '*'), ['fifteen']);
    assert.equal(await client.call('RANDOMKEY'), 'fifteen');
    await client.call('FLUSHALL');
    assert.equal(await client.call('RANDOMKEY'), null);
    await client.call('SELECT', '0');
    assert.equal(await client.call('DBSIZE'), 0);
  });
});
