/** Commands and transactions whose keys belong to several groups, as clients see them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { LeaderUnavailableError } from '../../../../src/kv/contract/errors.ts';
import { OutcomeUnknownError } from '../../../../src/raftengine/errors.ts';
import { FakeKv, FakeState, momentOf, RangeMap } from '../../../support/fake-kv.ts';
import { type Decoded, eventually, type RawClient, request, startTestServer } from '../harness.ts';
import { BufferedRunner, crossGroupServers } from './several-groups.ts';

const bed = crossGroupServers();

/** Slots 15495, 3300 and 7365: three groups of three. */
const [A, B, C] = ['a', 'b', 'c'] as const;

const SCRIPT: readonly (readonly string[])[] = [
  ['MSET', A, '1', B, '2', C, 'three'],
  ['MGET', A, B, C, 'none'],
  ['MSETNX', A, 'x', 'new', 'y'],
  ['MSETNX', 'n1', 'x', 'n2', 'y', 'n3', 'z'],
  ['EXISTS', A, B, 'none', A],
  ['TOUCH', A, B, 'none'],
  ['RENAME', A, 'renamed'],
  ['RENAME', 'none', B],
  ['RENAMENX', 'renamed', B],
  ['RENAMENX', 'renamed', A],
  ['COPY', A, 'copied'],
  ['COPY', A, B],
  ['COPY', A, B, 'REPLACE'],
  ['COPY', A, C, 'DB', '1'],
  ['GET', B],
  ['LCS', B, C],
  ['LCS', C, C, 'LEN'],
  ['BITOP', 'AND', 'bits', A, C],
  ['STRLEN', 'bits'],
  ['MULTI'],
  ['INCR', A],
  ['INCRBY', B, '5'],
  ['INCR', C],
  ['SET', 'd', 'e', 'EX', '100'],
  ['EXEC'],
  ['MGET', A, B, C],
  ['WATCH', A, B, C],
  ['SET', C, 'changed'],
  ['MULTI'],
  ['SET', A, 'lost'],
  ['GET', B],
  ['EXEC'],
  ['WATCH', A, B],
  ['MULTI'],
  ['PING'],
  ['SET', A, '5'],
  ['SET', B, '6'],
  ['EXEC'],
  ['MGET', A, B],
  ['DEL', A, B, 'none'],
  ['UNLINK', C, 'copied', 'd'],
  ['DBSIZE'],
];

async function play(client: RawClient): Promise<Decoded[]> {
  const replies: Decoded[] = [];
  for (const command of SCRIPT) replies.push(await client.call(...command));
  return replies;
}

describe('commands across groups', () => {
  test('answer what they answer in one group', async () => {
    const one = await bed({ groups: 1 });
    const several = await bed();
    const expected = await play(one.client);
    assert.deepEqual(await play(several.client), expected);
    assert.equal(one.runner.requests.length, 0);
    assert.ok(several.runner.requests.length > 15);
  });

  test('say beforehand whether they will write', async () => {
    const { client, runner } = await bed();
    await client.call('MGET', A, B);
    await client.call('MSET', A, '1', B, '2');
    assert.deepEqual(
      runner.requests.map(({ isReadOnly, keys }) => [isReadOnly, keys.length]),
      [
        [true, 2],
        [false, 2],
      ],
    );
  });

  test('wait for what the connection asked before, and hold what it asks afterwards', async () => {
    const { client, kv, runner } = await bed();
    kv.holding = true;
    runner.holding = true;
    const pipeline = [
      ['SET', A, 'first'],
      ['MSET', A, 'second', B, 'b'],
      ['APPEND', A, '+'],
      ['MGET', A, B],
      ['GET', B],
    ];
    client.send(Buffer.concat(pipeline.map((command) => request(...command))));
    await eventually(() => kv.submitted === 1, 'the first command is under way');
    assert.equal(runner.requests.length, 0);
    kv.releaseHeld();
    await eventually(() => runner.requests.length === 1, 'the second one runs');
    assert.equal(kv.submitted, 1);
    runner.release();
    assert.deepEqual(await client.readMany(5), ['+OK', '+OK', 7, ['second+', 'b'], 'b']);
  });

  test('hold what follows an EXEC across groups, and let what follows one in a group go on', async () => {
    const { client, kv, runner } = await bed();
    runner.holding = true;
    const transaction = [['MULTI'], ['INCR', A], ['INCR', B], ['EXEC'], ['GET', A]];
    client.send(Buffer.concat(transaction.map((command) => request(...command))));
    await eventually(() => runner.requests.length === 1, 'EXEC runs');
    assert.equal(kv.submitted, 0);
    runner.release();
    assert.deepEqual(await client.readMany(5), ['+OK', '+QUEUED', '+QUEUED', [1, 1], '1']);
  });

  test('are refused on a connection that follows redirects', async () => {
    const { client, runner } = await bed({ redirects: true });
    assert.match(String(await client.call('MSET', A, '1', B, '2')), /^-CROSSSLOT /);
    await client.call('MULTI');
    await client.call('SET', A, '1');
    assert.match(String(await client.call('SET', B, '1')), /^-CROSSSLOT /);
    assert.match(String(await client.call('EXEC')), /^-EXECABORT /);
    assert.match(String(await client.call('WATCH', A, B)), /^-CROSSSLOT /);
    assert.equal(runner.requests.length, 0);
  });

  test('run on such a connection when they are of one slot that was cut', async () => {
    const { client, kv, runner } = await bed({ redirects: true });
    const [first, second] = kv.dataGroups();
    const owners = new RangeMap(first!);
    owners.assign(KEYSPACES[0]!.storageKey(Buffer.from('{t}b')), undefined, second!);
    kv.state.owners = owners;
    kv.learn();
    assert.equal(await client.call('MSET', '{t}a', '1', '{t}b', '2'), '+OK');
    assert.deepEqual(await client.call('MGET', '{t}a', '{t}b'), ['1', '2']);
    assert.equal(await client.call('WATCH', '{t}a', '{t}b'), '+OK');
    await client.call('MULTI');
    await client.call('INCR', '{t}a');
    await client.call('INCR', '{t}b');
    assert.deepEqual(await client.call('EXEC'), [2, 3]);
    assert.ok(runner.requests.length >= 3);
    assert.match(String(await client.call('MSET', '{t}b', '1', A, '2')), /^-CROSSSLOT /);
  });

  test('run across groups when a move has torn their keys apart on the way', async () => {
    const { client, kv, runner } = await bed();
    const owners = RangeMap.spread(kv.dataGroups());
    // This node believes that one group has everything; the truth comes with the refusal.
    kv.directory = new RangeMap(kv.dataGroups()[0]!);
    kv.state.owners = owners;
    kv.state.givesHints = false;
    client.send(
      Buffer.concat(
        [
          ['SET', A, 'x'],
          ['MSET', A, '1', B, '2'],
          ['GET', A],
        ].map((command) => request(...command)),
      ),
    );
    await eventually(() => kv.submitted >= 1, 'something was asked');
    kv.learn();
    assert.deepEqual(await client.readMany(3), ['+OK', '+OK', '1']);
    assert.equal(runner.requests.length, 1);
  });

  test('run scripts across groups from the moment that they find a key elsewhere', async () => {
    const { client, kv, runner } = await bed();
    kv.state.owners = RangeMap.spread(kv.dataGroups());
    assert.equal(await client.call('EVAL', "return redis.call('incr', KEYS[1])", '1', A), 1);
    assert.equal(runner.requests.length, 0, 'one group was enough');
    const both = "redis.call('set', KEYS[1], 'a') redis.call('set', ARGV[1], 'b') return redis.call('get', ARGV[1])";
    assert.equal(await client.call('EVAL', both, '1', A, B), 'b');
    assert.equal(await client.call('EVAL', "return redis.call('get', 'b') .. redis.call('get', 'a')", '0'), 'ba');
    assert.equal(runner.requests.length, 2);
    assert.deepEqual(
      runner.requests.map(({ isReadOnly }) => isReadOnly),
      [false, false],
    );
    assert.deepEqual(await client.call('MGET', A, B), ['a', 'b']);
    await client.call('MULTI');
    await client.call('EVAL', both, '1', C, A);
    await client.call('INCR', 'n');
    assert.deepEqual(await client.call('EXEC'), ['b', 1]);
  });

  test('find scripts that were loaded, wherever they lie', async () => {
    const { client, kv } = await bed();
    kv.state.owners = RangeMap.spread(kv.dataGroups());
    const sha = String(await client.call('SCRIPT', 'LOAD', 'return ARGV[1]'));
    assert.equal(await client.call('EVALSHA', sha, '1', A, 'x'), 'x');
    assert.deepEqual(await client.call('SCRIPT', 'EXISTS', sha, 'f'.repeat(40)), [1, 0]);
    assert.equal(await client.call('SCRIPT', 'FLUSH'), '+OK');
    assert.match(String(await client.call('EVALSHA', sha, '1', A, 'x')), /^-NOSCRIPT /);
    assert.equal(await client.call('DBSIZE'), 0);
  });

  test('say when the outcome is unknown', async () => {
    const { client, runner } = await bed();
    runner.failNext = new OutcomeUnknownError('nobody knows');
    assert.match(String(await client.call('MSET', A, '1', B, '2')), /^-UNKNOWN /);
    runner.failNext = new OutcomeUnknownError('nobody knows');
    assert.match(String(await client.call('MGET', A, B)), /^-CLUSTERDOWN /);
    assert.deepEqual(await client.call('MGET', A, B), [null, null]);
  });
});

describe('scripts over several groups', () => {
  const ADD = "redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('APPEND', KEYS[2], ARGV[1])";

  test('run where the group of their first key is led, whatever node their client is on', async (t) => {
    const state = new FakeState();
    const [here, there] = [1, 2].map((nodeId) => new FakeKv({ groups: 3, state, nodeId })) as [FakeKv, FakeKv];
    here.leaders.set(here.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(A))), there);
    const runners = [new BufferedRunner(state), new BufferedRunner(state)] as const;
    const [server, other] = await Promise.all(
      [here, there].map((kv, at) => startTestServer({ kv, transactions: runners[at]! })),
    );
    t.after(() => Promise.all([server!.stop(), other!.stop()]));
    const client = await server!.connect();
    const runs = () => runners.map(({ requests }) => requests.length);
    assert.equal(await client.call('EVAL', ADD, '2', A, B, '0'), 1);
    assert.deepEqual(runs(), [0, 1]);
    assert.equal(await client.call('EVAL', ADD, '2', B, A, '1'), 2);
    assert.deepEqual(runs(), [1, 1], 'this node leads the group of that key');
    const failing =
      "redis.call('APPEND', KEYS[1], '2') redis.call('APPEND', KEYS[2], '2') return redis.call('INCR', 'x', 'y')";
    assert.match(String(await client.call('EVAL', failing, '2', A, B)), /^-ERR Wrong number of args/);
    assert.deepEqual(runs(), [1, 2]);
    assert.deepEqual(await client.call('MGET', A, B), ['012', '012'], 'what it has written before stays');
    const before = runs();
    const counting =
      "redis.call('APPEND', KEYS[2], '3') return redis.call('APPEND', KEYS[1], #redis.call('KEYS', '*'))";
    assert.equal(await client.call('EVAL', counting, '2', A, B), 4);
    assert.ok(runs()[0]! > before[0]!, 'what the other node cannot do alone is done here');
    const asked = runs();
    here.failNextForward = new LeaderUnavailableError('nobody leads');
    assert.equal(await client.call('EVAL', ADD, '2', A, B, '4'), 5);
    assert.deepEqual(runs(), [asked[0]! + 1, asked[1]!]);
    here.failNextForward = new OutcomeUnknownError('nobody knows');
    assert.match(String(await client.call('EVAL', ADD, '2', A, B, '5')), /^-UNKNOWN /);
    assert.equal(await client.call('GET', B), '01234');
    // One that is refused there is run here, and so is all that was asked behind it.
    const pipeline = [
      ['EVAL', ADD, '2', A, B, '6'],
      ['EVAL', counting, '2', A, B],
      ['EVAL', ADD, '2', A, B, '7'],
    ];
    client.send(Buffer.concat(pipeline.map((command) => request(...command))));
    const [six, counted, seven] = await client.readMany(3);
    assert.deepEqual([six, counted, seven], [6, 7, 8]);
    assert.equal(await client.call('GET', B), '01234637');
  });
});

describe('short writes over several groups', () => {
  test('run where the group of their smallest key is led, long ones where their client is', async (t) => {
    const state = new FakeState();
    const [here, there] = [1, 2].map((nodeId) => new FakeKv({ groups: 3, state, nodeId })) as [FakeKv, FakeKv];
    here.leaders.set(here.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(B))), there);
    const runners = [new BufferedRunner(state), new BufferedRunner(state)] as const;
    const [server, other] = await Promise.all(
      [here, there].map((kv, at) => startTestServer({ kv, transactions: runners[at]! })),
    );
    t.after(() => Promise.all([server!.stop(), other!.stop()]));
    const client = await server!.connect();
    const runs = () => runners.map(({ requests }) => requests.length);
    assert.equal(await client.call('MSET', A, '1', B, '1'), '+OK');
    assert.equal(await client.call('MSETNX', A, '2', B, '2'), 0);
    assert.deepEqual(runs(), [0, 2]);
    assert.equal(await client.call('MSET', A, '3', C, '3'), '+OK');
    assert.deepEqual(runs(), [1, 2], 'this node leads the group of the smaller one');
    assert.equal(await client.call('MSET', A, 'x'.repeat(200_000), B, '4'), '+OK');
    assert.deepEqual(runs(), [2, 2]);
    here.failNextForward = new LeaderUnavailableError('nobody leads');
    const before = runs();
    assert.equal(await client.call('MSET', A, '8', B, '8'), '+OK');
    assert.deepEqual(runs(), [before[0]! + 1, before[1]]);
    here.failNextForward = new OutcomeUnknownError('nobody knows');
    assert.match(String(await client.call('MSET', A, '9', B, '9')), /^-UNKNOWN /);
    assert.deepEqual(await client.call('MGET', A, B), ['8', '8']);
  });
});

describe('commands over several groups of one connection', () => {
  const ADD = "redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('APPEND', KEYS[2], ARGV[1])";

  test('share transactions, in their order, whatever their keys are', async () => {
    const { client, runner } = await bed();
    runner.holding = true;
    const pipeline = [
      ['MSET', A, 'a', B, 'b'],
      ['EVAL', ADD, '2', B, A, '1'],
      ['MSET', C, 'c', 'e', 'e'],
      ['EVAL', ADD, '2', A, C, '2'],
      ['GET', A],
      ['MSET', A, 'x', B, 'y'],
      ['MGET', A, B, C],
    ];
    client.send(Buffer.concat(pipeline.map((command) => request(...command))));
    await eventually(() => runner.requests.length === 1, 'the first ones run');
    runner.release();
    const replies = await client.readMany(pipeline.length);
    assert.deepEqual(replies, ['+OK', 2, '+OK', 2, 'a12', '+OK', ['x', 'y', 'c2']]);
    const writes = runner.requests.filter(({ isReadOnly }) => isReadOnly !== true);
    assert.ok(writes.length <= 3, `${writes.length} transactions for five commands`);
  });

  test('keep their order when one of them cannot run with others', async () => {
    const { client } = await bed();
    const counting =
      "redis.call('APPEND', KEYS[2], '3') return redis.call('APPEND', KEYS[1], #redis.call('KEYS', '*'))";
    const pipeline = [
      ['EVAL', ADD, '2', A, B, '1'],
      ['EVAL', counting, '2', A, B],
      ['EVAL', ADD, '2', A, B, '4'],
      ['EVAL', ADD, '2', C, B, '5'],
    ];
    client.send(Buffer.concat(pipeline.map((command) => request(...command))));
    assert.deepEqual(await client.readMany(4), [1, 2, 3, 4]);
    assert.deepEqual(await client.call('MGET', A, B, C), ['124', '1345', '5']);
  });
});

describe('requests that wait for each other', () => {
  const ADD = "redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('APPEND', KEYS[2], ARGV[1])";
  const add = (text: string): string[] => ['EVAL', ADD, '2', A, B, text];

  test('run together, one behind the other', async () => {
    const { runner, client, connect } = await bed();
    const commands = [add('1'), ['RENAME', 'none', B], add('2'), add('3')];
    const others = await Promise.all(commands.map(() => connect()));
    const watcher = await connect();
    runner.holding = true;
    const first = client.call(...add('0'));
    await eventually(() => runner.requests.length === 1, 'the first is under way');
    const replies = commands.map((command, at) => others[at]!.call(...command));
    const countOf = (list: string, command: string): number => list.split(`cmd=${command} `).length - 1;
    for (let list = ''; countOf(list, 'eval') < 4 || countOf(list, 'rename') < 1; )
      list = String(await watcher.call('CLIENT', 'LIST'));
    runner.release();
    assert.equal(await first, 1);
    const [one, renamed, two, three] = await Promise.all(replies);
    assert.deepEqual([one, two, three].toSorted(), [2, 3, 4]);
    assert.equal(renamed, '-ERR no such key');
    assert.equal(runner.requests.length, 2, 'what waited for the first has run as one');
    const [a, b] = (await client.call('MGET', A, B)) as string[];
    assert.equal(a, b);
    assert.equal([...a!].toSorted().join(''), '0123');
  });

  test('run by themselves when that cannot be done together', async () => {
    const { runner, client, connect } = await bed();
    const others = await Promise.all([connect(), connect()]);
    const watcher = await connect();
    runner.holding = true;
    const first = client.call(...add('0'));
    await eventually(() => runner.requests.length === 1, 'the first is under way');
    const counting = others[0]!.call(
      'EVAL',
      "redis.call('APPEND', KEYS[1], #redis.call('KEYS', '*')) return 'counted'",
      '2',
      A,
      B,
    );
    const adding = others[1]!.call(...add('1'));
    for (let list = ''; list.split('cmd=eval ').length < 4; ) list = String(await watcher.call('CLIENT', 'LIST'));
    runner.release();
    assert.deepEqual(await Promise.all([first, counting, adding]).then(([, ...rest]) => rest.length), 2);
    const [a, b] = (await client.call('MGET', A, B)) as string[];
    assert.deepEqual([[...a!].toSorted().join(''), b], ['012', '01']);
  });
});

test('clients that follow redirects may name very many keys of one slot, and none of another group', async () => {
  const state = new FakeState();
  const kv = new FakeKv({ groups: 3, state });
  let released = 0;
  const moments = {
    snapshot: async () => {
      const moment = momentOf(state);
      const get = (keys: readonly Buffer[]) => Promise.all(keys.map((key) => moment.get(key)));
      return { ts: moment.startTs, get, release: () => void released++ };
    },
  };
  const server = await startTestServer({ kv, moments, config: { clusterRedirects: true } });
  const client = await server.connect();
  const names = Array.from({ length: 5_000 }, (_, nth) => `{a}${nth}`);
  await client.call('SET', names[4_999]!, 'last');
  const values = (await client.call('MGET', ...names)) as (string | null)[];
  assert.deepEqual([values.length, values[0], values.at(-1)], [5_000, null, 'last']);
  assert.equal(await client.call('EXISTS', ...names, names[4_999]!), 2);
  assert.match(String(await client.call('MGET', ...names, '{b}0')), /^-CROSSSLOT/);
  assert.equal(released, 3);
  await server.stop();
});
