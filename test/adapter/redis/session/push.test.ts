/** Messages that are no replies: where they stand among the replies, and what becomes of a client that does not take them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CommandSpec, defineCommands } from '../../../../src/adapter/redis/command/command.ts';
import type { RedisConfig } from '../../../../src/adapter/redis/command/config.ts';
import { DEFAULT_OUTPUT_LIMITS } from '../../../../src/adapter/redis/command/output-limits.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { EncodedReply, OK, PushReply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { encodeReply } from '../../../../src/adapter/redis/protocol/reply-writer.ts';
import { eventually, type RawClient, request, testServers } from '../harness.ts';

/** TELL id text: pushes a text to a client, null when it is gone. TELLAFTER: to the caller itself, behind the command's reply. */
const TELLING: readonly CommandSpec[] = defineCommands(
  ['tell', 'tellafter'].map((name) => ({
    name,
    arity: 3,
    flags: [],
    group: 'pubsub',
    since: '1.0.0',
    summary: 'Pushes a text to a client.',
    handler: {
      kind: 'connection',
      run: (session, args) => {
        const client = session.server.connections.get(Number(args[1]));
        if (client === undefined) return null;
        const message = new EncodedReply(encodeReply(new PushReply(['message', args[2]!]), client.resp));
        client.push(message, name === 'tell' ? undefined : session.replyPlace);
        return OK;
      },
    },
  })),
);

const servers = testServers();

async function start(config: Partial<RedisConfig> = {}) {
  const server = await servers.start({ config, commands: [...ALL_COMMANDS, ...TELLING] });
  const client = await server.connect();
  await client.call('HELLO', '3');
  const id = String(await client.call('CLIENT', 'ID'));
  return { ...server, client, id, other: await server.connect() };
}

const readAll = async (client: RawClient, count: number): Promise<string> =>
  JSON.stringify(await client.readMany(count));

describe('a message that is no reply', () => {
  test('does not wait for the replies of commands under way', async () => {
    const { kv, client, id } = await start();
    kv.holding = true;
    client.send(Buffer.concat([request('SET', 'a', '1'), request('TELL', id, 'x'), request('TELL', id, 'y')]));
    assert.equal(await readAll(client, 2), '[[">","message","x"],[">","message","y"]]');
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), ['+OK', '+OK', '+OK']);
  });

  test('goes behind the reply that it must not overtake, and before the next one', async () => {
    const { kv, client, id } = await start();
    kv.holding = true;
    const commands = [
      request('ECHO', 'a'),
      request('SET', 'a', '1'),
      request('TELLAFTER', id, 'x'),
      request('ECHO', 'b'),
    ];
    client.send(Buffer.concat(commands));
    assert.equal(await client.read(), 'a');
    kv.releaseHeld();
    assert.equal(await readAll(client, 4), '["+OK","+OK",[">","message","x"],"b"]');
  });

  test('keeps its place among messages, also when an earlier one waits for a reply', async () => {
    const { kv, client, id, other } = await start();
    kv.holding = true;
    client.send(Buffer.concat([request('SET', 'a', '1'), request('TELLAFTER', id, 'x')]));
    await eventually(() => kv.submitted === 1, 'the SET');
    await other.call('TELL', id, 'y');
    kv.releaseHeld();
    assert.equal(await readAll(client, 4), '["+OK","+OK",[">","message","x"],[">","message","y"]]');
  });

  test('is never inside a reply, and comes to a client that wants no replies', async () => {
    const { client, id, other } = await start();
    const large = 'v'.repeat(300_000);
    await client.call('SET', 'large', large);
    client.send(Buffer.concat(Array.from({ length: 50 }, () => request('GET', 'large'))));
    for (let nth = 0; nth < 50; nth++) other.send(request('TELL', id, String(nth)));
    const received = await client.readMany(100);
    assert.equal(received.filter((one) => one === large).length, 50);
    assert.deepEqual(
      received.filter((one) => Array.isArray(one)).map((one) => (one as unknown[])[2]),
      Array.from({ length: 50 }, (_, nth) => String(nth)),
    );
    client.send(Buffer.concat([request('CLIENT', 'REPLY', 'OFF'), request('TELL', id, 'z')]));
    assert.equal(await readAll(client, 1), '[[">","message","z"]]');
  });

  test('is an array to a client of RESP2', async () => {
    const { other, client } = await start();
    const id = String(await other.call('CLIENT', 'ID'));
    await client.call('TELL', id, 'x');
    assert.equal(await readAll(other, 1), '[["message","x"]]');
  });

  test('ends the connection of a client that leaves too many unread, and of no other', async () => {
    const pubsub = { hardBytes: 300_000, softBytes: 0, softSeconds: 0 };
    const { client, id, other } = await start({
      outputLimits: { ...DEFAULT_OUTPUT_LIMITS, pubsub },
      maxUnreadReplyBytes: 100_000,
    });
    client.socket.pause();
    const text = 'm'.repeat(50_000);
    let told = 0;
    while ((await other.call('TELL', id, text)) === '+OK') assert.ok(++told < 10_000, 'it is not cut off');
    assert.ok(told > 4, 'it was given what may wait');
    assert.equal(await other.call('ECHO', 'b'), 'b');
  });
});
