/** Lists, sets and SORT over keys of several groups: the same replies as in one, and few rounds of reading. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import { RangeMap } from '../../../support/fake-kv.ts';
import { type Decoded, eventually, type RawClient, request } from '../harness.ts';
import { crossGroupServers } from './several-groups.ts';

const bed = crossGroupServers();

/** Three groups of three: the slots of these tags are in different ones. */
const [A, B, C] = ['{a}', '{b}', '{c}'] as const;
const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, nth) => String(from + nth));

const SCRIPT: readonly (readonly string[])[] = [
  ['RPUSH', `${A}l`, ...numbers(40)],
  ['LMOVE', `${A}l`, `${B}l`, 'LEFT', 'RIGHT'],
  ['LMOVE', `${A}l`, `${B}l`, 'RIGHT', 'LEFT'],
  ['LMOVE', 'none', `${B}l`, 'RIGHT', 'LEFT'],
  ['RPOPLPUSH', `${A}l`, `${C}l`],
  ['RPOPLPUSH', `${A}l`, `${A}l`],
  ['LMPOP', '3', 'none', `${C}l`, `${A}l`, 'LEFT', 'COUNT', '3'],
  ['LMPOP', '3', 'none', `${C}l`, `${A}l`, 'RIGHT', 'COUNT', '30'],
  ['LRANGE', `${A}l`, '0', '-1'],
  ['LRANGE', `${B}l`, '0', '-1'],
  ['SADD', `${A}s`, ...numbers(60)],
  ['SADD', `${B}s`, ...numbers(60, 30)],
  ['SADD', `${C}s`, ...numbers(5, 50), 'x'],
  ['SINTER', `${A}s`, `${B}s`, `${C}s`],
  ['SUNION', `${A}s`, `${B}s`, `${C}s`, 'none'],
  ['SDIFF', `${A}s`, `${B}s`],
  ['SDIFF', `${A}s`, 'none'],
  ['SINTERCARD', '2', `${A}s`, `${B}s`, 'LIMIT', '7'],
  ['SINTERSTORE', `${C}t`, `${A}s`, `${B}s`],
  ['SUNIONSTORE', `${B}t`, `${A}s`, `${C}s`],
  ['SDIFFSTORE', `${A}t`, `${B}s`, `${A}s`],
  ['SDIFFSTORE', `${A}s`, `${A}s`, `${C}s`],
  ['SMEMBERS', `${C}t`],
  ['SMEMBERS', `${B}t`],
  ['SMEMBERS', `${A}t`],
  ['SMEMBERS', `${A}s`],
  ['SMOVE', `${A}s`, `${B}s`, '3'],
  ['SMOVE', `${A}s`, `${B}s`, 'none'],
  ['SMOVE', 'none', `${B}s`, '3'],
  ['SISMEMBER', `${B}s`, '3'],
  ['SET', `${A}l2`, 'text'],
  ['SINTER', `${A}s`, `${A}l2`, 'none'],
  ['LMOVE', `${B}l`, `${A}l2`, 'LEFT', 'LEFT'],
  ['LLEN', `${B}l`],
  ['RPUSH', `${A}ids`, '1', '2', '3', '4'],
  ['MSET', 'w1', '40', 'w2', '30', 'w3', '20', 'w4', '10'],
  ['HSET', 'h1', 'name', 'one', 'weight', '2'],
  ['HSET', 'h2', 'name', 'two', 'weight', '1'],
  ['HSET', 'h3', ...numbers(200).flatMap((n) => [`f${n}`, n]), 'name', 'three'],
  ['SORT', `${A}ids`, 'BY', 'w*'],
  ['SORT', `${A}ids`, 'BY', 'w*', 'GET', '#', 'GET', 'h*->name', 'GET', 'w*', 'DESC', 'LIMIT', '0', '3'],
  ['SORT', `${A}ids`, 'BY', 'h*->weight', 'GET', 'h*->name', 'STORE', `${C}sorted`],
  ['LRANGE', `${C}sorted`, '0', '-1'],
  ['SORT_RO', `${A}ids`, 'BY', 'nosort', 'GET', 'h*->name'],
  ['SORT', `${A}ids`, 'DESC', 'STORE', `${B}sorted`],
  ['LRANGE', `${B}sorted`, '0', '-1'],
  ['SORT', 'none', 'BY', 'w*', 'STORE', `${B}sorted`],
  ['EXISTS', `${B}sorted`],
  ['MULTI'],
  ['SORT', `${A}ids`, 'BY', 'w*'],
  ['EXEC'],
  ['MULTI'],
  ['LMOVE', `${B}l`, `${A}ids`, 'LEFT', 'RIGHT'],
  ['SUNIONSTORE', `${B}u`, `${A}s`, `${B}s`],
  ['SADD', `${B}u`, 'more'],
  ['SREM', `${B}u`, ...numbers(20)],
  ['SCARD', `${B}u`],
  ['SORT', `${B}u`, 'ALPHA', 'LIMIT', '0', '5'],
  ['LPOS', `${A}ids`, '3'],
  ['EXEC'],
];

/** What a set answers has no order. */
const UNORDERED = new Set(['SMEMBERS', 'SINTER', 'SUNION', 'SDIFF']);

async function play(client: RawClient): Promise<Decoded[]> {
  const replies: Decoded[] = [];
  for (const command of SCRIPT) {
    const reply = await client.call(...command);
    replies.push(UNORDERED.has(command[0]!) && Array.isArray(reply) ? reply.map(String).sort() : reply);
  }
  return replies;
}

const ALL_IN_ROWS: BodyLimits = {
  ...DEFAULT_BODY_LIMITS,
  packedBytes: 0,
  packedElements: 0,
  pageBytes: 64,
  inlineBytes: 24,
};

describe('collections across groups', () => {
  test('answer what they answer in one group', async () => {
    for (const bodyLimits of [DEFAULT_BODY_LIMITS, ALL_IN_ROWS]) {
      const one = await bed({ groups: 1, bodyLimits });
      const several = await bed({ bodyLimits });
      const expected = await play(one.client);
      assert.deepEqual(await play(several.client), expected);
      assert.equal(one.runner.requests.length, 0);
      assert.ok(several.runner.requests.length > 25);
    }
  });

  test('are read in few rounds, however large they are', async () => {
    const { client, runner } = await bed();
    const long = 'v'.repeat(300);
    await client.call('RPUSH', `${A}l`, ...numbers(5_000));
    await client.call('RPUSH', `${A}long`, ...numbers(500).map((n) => long + n));
    await client.call('SADD', `${A}s`, ...numbers(5_000));
    await client.call('SADD', `${A}long names`, ...numbers(500).map((n) => long + n));
    await client.call('SADD', `${B}s`, ...numbers(3_000, 4_000));
    await client.call('ZADD', `${A}z`, ...numbers(5_000).flatMap((n) => [n, `m${n}`]));
    for (const n of numbers(50))
      await client.call('MSET', ...numbers(100, Number(n) * 100).flatMap((id) => [`w${id}`, id]));
    for (const n of numbers(3_000)) client.send(request('HSET', `h${n}`, 'f', n));
    await client.readMany(3_000);
    await client.call('RPUSH', `${A}few`, ...numbers(60));
    const fields = numbers(150).flatMap((n) => [`f${n}`, n]);
    for (const n of numbers(60)) await client.call('HSET', `large${n}`, ...fields);
    const rounds = async (...command: string[]): Promise<number> => {
      const before = runner.requests.length;
      const reply = await client.call(...command);
      assert.ok(runner.requests.length > before, `${command[0]} runs across groups`);
      assert.doesNotMatch(String(reply), /^-/);
      return runner.rounds;
    };
    const inMulti = async (...command: string[]): Promise<number> => {
      await client.call('MULTI');
      await client.call('GET', `${B}x`);
      assert.equal(await client.call(...command), '+QUEUED');
      return rounds('EXEC');
    };
    const taken = {
      sortByStrings: await rounds('SORT', `${A}l`, 'BY', 'w*', 'LIMIT', '0', '10'),
      sortByFields: await rounds('SORT', `${A}s`, 'BY', 'h*->f', 'GET', 'h*->f', 'LIMIT', '0', '3000'),
      sortByLargeHashes: await rounds('SORT', `${A}few`, 'BY', 'large*->f7', 'GET', 'large*->f8'),
      intersection: await rounds('SINTER', `${A}s`, `${B}s`),
      union: await rounds('SUNIONSTORE', `${B}u`, `${A}s`, `${B}s`),
      difference: await rounds('SDIFF', `${A}s`, `${B}s`),
      wholeList: await inMulti('LRANGE', `${A}l`, '0', '-1'),
      partOfList: await inMulti('LRANGE', `${A}l`, '2500', '2600'),
      longValues: await inMulti('LRANGE', `${A}long`, '0', '-1'),
      longMembers: await inMulti('SMEMBERS', `${A}long names`),
      position: await inMulti('LPOS', `${A}l`, '4000'),
      additions: await inMulti('SADD', `${A}s`, ...numbers(300, 4_900)),
      removals: await inMulti('SREM', `${A}s`, ...numbers(50).map((n) => String(Number(n) * 97))),
      randomMembers: await inMulti('SRANDMEMBER', `${A}s`, '100'),
      randomRepeated: await inMulti('SRANDMEMBER', `${A}s`, '-100'),
      pop: await inMulti('SPOP', `${A}s`),
      pops: await inMulti('SPOP', `${A}s`, '300'),
      range: await inMulti('ZRANGE', `${A}z`, '0', '-1'),
      rank: await inMulti('ZRANK', `${A}z`, 'm2600'),
      trim: await inMulti('LTRIM', `${A}l`, '10', '-10'),
    };
    for (const [name, count] of Object.entries(taken)) assert.ok(count <= 15, `${name} takes ${count} rounds`);
  });

  test('are sorted in one group when a hash tag keeps all that patterns find with the key', async () => {
    const { client, runner } = await bed();
    await client.call('RPUSH', `${A}ids`, '1', '2');
    await client.call('MSET', `${A}w1`, '2', `${A}w2`, '1');
    assert.deepEqual(await client.call('SORT', `${A}ids`, 'BY', `${A}w*`, 'GET', '#'), ['2', '1']);
    assert.equal(runner.requests.length, 0);
    await client.call('MULTI');
    await client.call('SORT', `${A}ids`, 'BY', `${A}w*`);
    assert.deepEqual(await client.call('EXEC'), [['2', '1']]);
    assert.equal(runner.requests.length, 0);
    // The tag is of no use where an element could complete another one in front of it, or where it belongs to another group.
    for (const pattern of ['w*', `*${A}`, `${B}w*`]) await client.call('SORT', `${A}ids`, 'BY', pattern);
    assert.equal(runner.requests.length, 3);
  });

  test('are sorted across groups when this node did not know that there are several', async () => {
    const { client, kv, runner } = await bed();
    await client.call('MSET', 'w1', '2', 'w2', '1');
    await client.call('RPUSH', `${A}ids`, '1', '2');
    const before = runner.requests.length;
    const owners = RangeMap.spread(kv.dataGroups());
    kv.directory = new RangeMap(owners.at(Buffer.from([0x72, 0, 0x3c, 0x87])).group);
    kv.state.owners = owners;
    kv.state.givesHints = false;
    const groups = kv.dataGroups;
    kv.dataGroups = () => [kv.directory.at(Buffer.alloc(0)).group];
    client.send(request('SORT_RO', `${A}ids`, 'BY', 'w*'));
    await eventually(() => kv.submitted >= 3, 'the group was asked, and refused');
    kv.dataGroups = groups;
    kv.learn();
    assert.deepEqual(await client.read(), ['2', '1']);
    assert.equal(runner.requests.length, before + 1);
  });

  test('are not sorted by keys of other slots on a connection that follows redirects', async () => {
    const { client, runner } = await bed({ redirects: true });
    await client.call('RPUSH', `${A}ids`, '1', '2');
    await client.call('SET', `${A}w1`, '3');
    const denied = (option: string) => `-ERR ${option} option of SORT denied in Cluster mode.`;
    assert.equal(await client.call('SORT', `${A}ids`, 'BY', 'w*'), denied('BY'));
    assert.equal(await client.call('SORT', `${A}ids`, 'GET', 'w*'), denied('GET'));
    assert.equal(await client.call('SORT_RO', `${A}ids`, 'BY', 'nosort', 'GET', `${B}w*`), denied('GET'));
    assert.equal(await client.call('SORT', `${A}ids`, 'junk', 'BY', 'w*'), '-ERR syntax error');
    assert.deepEqual(await client.call('SORT', `${A}ids`, 'BY', `${A}w*`, 'GET', '#', 'GET', `${A}w*`), [
      '2',
      null,
      '1',
      '3',
    ]);
    assert.deepEqual(await client.call('SORT', `${A}ids`, 'BY', 'nosort', 'GET', 'no key'), [null, null]);
    await client.call('MULTI');
    assert.equal(await client.call('SORT', `${A}ids`, 'BY', 'w*'), denied('BY'));
    assert.match(String(await client.call('EXEC')), /^-EXECABORT /);
    assert.equal(runner.requests.length, 0);
  });
});
