/** Calls with very many ids or elements are run in pieces, and answer as one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MOST_ELEMENTS, PIECE_IDS as PIECE, PIECE_ELEMENTS } from '../../../../src/adapter/redis/commands/pieces.ts';
import { type RawClient, request, testServers } from '../harness.ts';

const ENTRIES = 3 * PIECE;

const ids = (count: number, from = 1): string[] => Array.from({ length: count }, (_, at) => `${from + at}-0`);

describe('a call with very many ids', () => {
  const servers = testServers();

  /** A stream of entries that are pending of a consumer. */
  async function prepared(): Promise<{ readonly client: RawClient; readonly submitted: () => number }> {
    const server = await servers.start();
    const client = await server.connect();
    for (const id of ids(ENTRIES)) client.send(request('XADD', 's', id, 'f', 'v'));
    for (const id of ids(ENTRIES)) assert.equal(await client.read(), id);
    await client.call('XGROUP', 'CREATE', 's', 'g', '0');
    // It gives a part at a time.
    while ((await client.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '500', 'STREAMS', 's', '>')) !== null);
    const before = server.kv.submitted;
    return { client, submitted: () => server.kv.submitted - before };
  }

  test('answers with the sum of its pieces, and what comes behind it sees all of them', async () => {
    const { client, submitted } = await prepared();
    client.send(request('XACK', 's', 'g', ...ids(2 * PIECE + 1), '5000-0'));
    client.send(request('XPENDING', 's', 'g'));
    assert.equal(await client.read(), 2 * PIECE + 1);
    assert.deepEqual(await client.read(), [PIECE - 1, `${2 * PIECE + 2}-0`, `${ENTRIES}-0`, [['c', `${PIECE - 1}`]]]);
    assert.equal(submitted(), 4);
    assert.equal(await client.call('XDEL', 's', ...ids(PIECE + 1)), PIECE + 1);
    assert.equal(await client.call('XLEN', 's'), ENTRIES - PIECE - 1);
  });

  test('answers with the elements of all pieces in their order, each with the options of the call', async () => {
    const { client, submitted } = await prepared();
    const claimed = await client.call('XCLAIM', 's', 'g', 'd', '0', ...ids(ENTRIES), 'RETRYCOUNT', '7', 'JUSTID');
    assert.deepEqual(claimed, ids(ENTRIES));
    assert.equal(submitted(), 3);
    const [last] = (await client.call('XPENDING', 's', 'g', `${ENTRIES}-0`, '+', '1')) as [unknown[]];
    assert.deepEqual([last[1], last[3]], ['d', 7]);
  });

  test('is refused as a whole when one of its ids is none, or its key is something else', async () => {
    const { client, submitted } = await prepared();
    const wrong = await client.call('XACK', 's', 'g', ...ids(2 * PIECE), 'no-id');
    assert.match(String(wrong), /^-ERR Invalid stream ID/);
    assert.equal(submitted(), 1);
    assert.equal(((await client.call('XPENDING', 's', 'g')) as unknown[])[0], ENTRIES);
    await client.call('SET', 'text', 'v');
    assert.match(String(await client.call('XDEL', 'text', ...ids(2 * PIECE))), /^-WRONGTYPE/);
    assert.match(String(await client.call('XCLAIM', 's', 'none', 'd', '0', ...ids(2 * PIECE))), /^-NOGROUP/);
  });

  test('takes effect at once in a transaction', async () => {
    const { client, submitted } = await prepared();
    await client.call('MULTI');
    assert.equal(await client.call('XACK', 's', 'g', ...ids(ENTRIES)), '+QUEUED');
    assert.deepEqual(await client.call('EXEC'), [ENTRIES]);
    assert.equal(submitted(), 1);
  });
});

describe('a call with very many elements', () => {
  const servers = testServers();
  const count = MOST_ELEMENTS + 1;
  const pieces = Math.ceil(count / PIECE_ELEMENTS);
  const names = Array.from({ length: count }, (_, at) => `element ${at}`);

  test('answers as one, whatever kind of value they are in', async () => {
    const server = await servers.start();
    const client = await server.connect();
    const paired = names.flatMap((name, at) => [`${at}`, name]);
    const calls: [string[], unknown, string[]][] = [
      [['SADD', 'set', ...names], count, ['SCARD', 'set']],
      [['HSET', 'hash', ...paired], count, ['HLEN', 'hash']],
      [['ZADD', 'order', 'NX', 'CH', ...paired], count, ['ZCARD', 'order']],
      [['RPUSH', 'list', ...names], count, ['LLEN', 'list']],
    ];
    for (const [call, reply, size] of calls) {
      const before = server.kv.submitted;
      assert.equal(await client.call(...call), reply);
      assert.equal(server.kv.submitted - before, pieces, call[0]);
      assert.equal(await client.call(...size), count);
    }
    assert.equal(await client.call('LINDEX', 'list', '-1'), names.at(-1));
    assert.equal(await client.call('HMSET', 'other', ...paired), '+OK');
    assert.equal(await client.call('ZREM', 'order', ...names), count);
    assert.equal(await client.call('EXISTS', 'order'), 0);
  });

  test('is taken at once when there are not so many, and refused as a whole when it is wrong', async () => {
    const server = await servers.start();
    const client = await server.connect();
    const before = server.kv.submitted;
    assert.equal(await client.call('SADD', 'set', ...names.slice(1)), count - 1);
    assert.equal(server.kv.submitted - before, 1);
    const scored = names.flatMap((name, at) => [at === count - 1 ? 'no score' : `${at}`, name]);
    assert.match(String(await client.call('ZADD', 'order', ...scored)), /^-ERR value is not a valid float/);
    assert.match(String(await client.call('HSET', 'hash', ...names, ...names, 'odd')), /^-ERR wrong number/);
    assert.equal(await client.call('EXISTS', 'order', 'hash'), 0);
  });
});
