/** Calls with very many ids are run in pieces, and answer as one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { PIECE_IDS as PIECE } from '../../../../src/adapter/redis/commands/pieces.ts';
import { runPieces } from '../../../../src/adapter/redis/session/pieces.ts';
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

test('what becomes of a call is unknown when a piece behind the first is not answered', async () => {
  const spec = ALL_COMMANDS.find(({ name }) => name.toLowerCase() === 'xack')!;
  const pieces = [[Buffer.from('first')], [Buffer.from('second')]];
  const lostAt = (piece: number): Promise<unknown> => {
    let asked = 0;
    const run = (): Promise<number> =>
      ++asked === piece ? Promise.reject(new Error('no leader')) : Promise.resolve(1);
    return runPieces(spec, pieces, run, { nextTurn: (callback) => callback() });
  };
  assert.equal(await lostAt(3), 2);
  await assert.rejects(lostAt(1), { message: 'no leader' });
  await assert.rejects(lostAt(2), { code: 'OUTCOME_UNKNOWN' });
});
