import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { skipWithout } from '../../../support/programs.ts';
import {
  type Decoded,
  eventually,
  loggedErrors,
  RawClient,
  request,
  startTestServer,
  type TestServer,
} from '../harness.ts';

/** Commands whose replies must be Redis' to the byte, in order, on one connection each. */
const SAME_AS_REDIS: readonly (readonly string[])[] = [
  ['PING'],
  ['PING', 'hi'],
  ['PING', 'a', 'b'],
  ['ECHO'],
  ['ECHO', 'x'],
  ['FOO', 'a"b', 'c'],
  ['FOO'],
  ['größe', 'naïve', 'a\0b', 'c\r\nd'],
  ['before\0after', 'x'],
  ['CLIENT', 'größe\0x'],
  ['foo bar', 'x'.repeat(200), 'y'],
  ['f'.repeat(200), 'y'],
  ['GET'],
  ['SELECT', '99'],
  ['SELECT', 'x'],
  ['SELECT', '-1'],
  ['SELECT', '3'],
  ['AUTH', 'x'],
  ['AUTH', 'a', 'b'],
  ['AUTH', 'default', 'b'],
  ['AUTH', 'a', 'b', 'c'],
  ['HELLO', '9'],
  ['HELLO', 'x'],
  ['HELLO', '2', 'AUTH', 'a', 'b'],
  ['HELLO', '2', 'SETNAME', 'a b'],
  ['HELLO', '2', 'FOO'],
  ['HELLO', '2', 'SETNAME'],
  ['CLIENT'],
  ['CLIENT', 'foo'],
  ['CLIENT', 'GETNAME'],
  ['CLIENT', 'SETNAME', 'a b'],
  ['CLIENT', 'SETNAME', 'ann'],
  ['CLIENT', 'GETNAME'],
  ['CLIENT', 'KILL'],
  ['CLIENT', 'KILL', 'ID', '99999'],
  ['CLIENT', 'KILL', 'ID', 'x'],
  ['CLIENT', 'KILL', 'ID', '0'],
  ['CLIENT', 'KILL', '1.1.1.1:2'],
  ['CLIENT', 'KILL', 'TYPE', 'foo'],
  ['CLIENT', 'KILL', 'FOO', 'foo'],
  ['CLIENT', 'REPLY', 'foo'],
  ['CLIENT', 'REPLY', 'ON'],
  ['CLIENT', 'LIST', 'TYPE', 'x'],
  ['CLIENT', 'LIST', 'TYPE', 'pubsub'],
  ['CLIENT', 'LIST', 'ID', '1', 'x'],
  ['CLIENT', 'LIST', 'FOO'],
  ['CLIENT', 'NO-EVICT', 'x'],
  ['CLIENT', 'NO-EVICT', 'ON'],
  ['CLIENT', 'PAUSE', 'x'],
  ['CLIENT', 'PAUSE', '-1'],
  ['CLIENT', 'PAUSE', '1', 'foo'],
  ['CLIENT', 'PAUSE', '1'],
  ['CLIENT', 'UNPAUSE'],
  ['CLIENT', 'UNBLOCK', '1', 'foo'],
  ['CLIENT', 'UNBLOCK', '99999'],
  ['CLIENT', 'UNBLOCK', 'x'],
  ['CLIENT', 'TRACKING', 'OFF'],
  ['CLIENT', 'TRACKINGINFO'],
  ['CLIENT', 'GETREDIR'],
  ['COMMAND', 'foo'],
  ['COMMAND', 'COUNT', 'x'],
  ['COMMAND', 'GETKEYS'],
  ['COMMAND', 'GETKEYS', 'GET'],
  ['COMMAND', 'GETKEYS', 'FOO', 'a'],
  ['COMMAND', 'GETKEYS', 'PING'],
  ['COMMAND', 'GETKEYS', 'MSET', 'a', '1', 'b', '2'],
  ['COMMAND', 'INFO', 'nosuch'],
  ['COMMAND', 'DOCS', 'nosuch'],
  ['COMMAND', 'LIST', 'FILTERBY', 'MODULE', 'x'],
  ['COMMAND', 'LIST', 'FILTERBY', 'FOO', 'x'],
  ['COMMAND', 'LIST', 'FOO'],
  ['COMMAND', 'HELP'],
  ['CONFIG', 'GET'],
  ['CONFIG', 'GET', 'proto-max-*'],
  ['CONFIG', 'GET', 'nosuch'],
  ['CONFIG', 'SET', 'foo', 'bar'],
  ['CONFIG', 'SET', 'maxclients'],
  ['CONFIG', 'SET', 'maxclients', 'abc'],
  ['CONFIG', 'SET', 'maxclients', '0'],
  ['CONFIG', 'SET', 'databases', '3'],
  ['CONFIG', 'SET', 'timeout', '5', 'timeout', '6'],
  ['CONFIG', 'SET', 'proto-max-bulk-len', '1kb'],
  ['CONFIG', 'SET', 'proto-max-bulk-len', '512mb'],
  ['CONFIG', 'SET', 'proto-max-bulk-len', 'x'],
  ['CONFIG', 'SET', 'hash-max-listpack-entries', '-1'],
  ['CONFIG', 'SET', 'hash-max-listpack-entries', '1kb'],
  ['CONFIG', 'SET', 'hash-max-listpack-value', '1kb', 'list-compress-depth', '1', 'slowlog-log-slower-than', '-1'],
  ['CONFIG', 'GET', 'hash-max-listpack-value', 'hash-max-listpack-value'],
  ['CONFIG', 'SET', 'zset-max-ziplist-value', '7', 'lua-time-limit', '100', 'activerehashing', 'NO'],
  ['CONFIG', 'GET', 'zset-max-listpack-value'],
  ['CONFIG', 'GET', 'busy-reply-threshold'],
  ['CONFIG', 'GET', 'activerehashing'],
  ['CONFIG', 'SET', 'hash-max-listpack-value', '99999999999999999999'],
  ['CONFIG', 'SET', 'list-max-listpack-size', '-2147483649'],
  ['CONFIG', 'SET', 'lazyfree-lazy-expire', 'maybe'],
  ['CONFIG', 'SET', 'set-max-intset-entries', '9', 'list-compress-depth', 'x'],
  ['CONFIG', 'GET', 'set-max-intset-entries'],
  ['MODULE', 'LIST'],
  ['SLOWLOG', 'GET'],
  ['SLOWLOG', 'GET', '-1'],
  ['SLOWLOG', 'GET', '-2'],
  ['SLOWLOG', 'GET', 'x'],
  ['SLOWLOG', 'GET', '1', '2'],
  ['SLOWLOG', 'LEN'],
  ['SLOWLOG', 'RESET'],
  ['LATENCY', 'LATEST'],
  ['LATENCY', 'HISTORY', 'x'],
  ['LATENCY', 'RESET', 'x'],
  ['ACL', 'WHOAMI'],
  ['PUBSUB', 'CHANNELS'],
  ['PUBSUB', 'CHANNELS', 'a*'],
  ['PUBSUB', 'CHANNELS', 'a', 'b'],
  ['PUBSUB', 'NUMPAT'],
  ['PUBSUB', 'NUMSUB', 'a', 'b'],
  ['PUBSUB', 'SHARDCHANNELS'],
  ['PUBSUB', 'SHARDNUMSUB', 'a'],
  ['FAILOVER'],
  ['FAILOVER', 'FORCE', 'TO', 'a', '99999999999', 'TIMEOUT', '7'],
  ['FAILOVER', 'TO', 'a', 'x'],
  ['FAILOVER', 'TO', 'a'],
  ['FAILOVER', 'TIMEOUT', '-1'],
  ['FAILOVER', 'TIMEOUT', 'x'],
  ['FAILOVER', 'TIMEOUT', '1', 'TIMEOUT', '1'],
  ['FAILOVER', 'ABORT'],
  ['FAILOVER', 'ABORT', 'FORCE'],
  ['CONFIG', 'RESETSTAT'],
  ['CONFIG', 'RESETSTAT', 'x'],
  ['CONFIG', 'REWRITE'],
  ['CONFIG', 'HELP'],
  ['TIME', 'x'],
  ['ROLE'],
  ['WAIT', 'x', '1'],
  ['WAIT', '-9223372036854775808', '1'],
  ['WAIT', '9223372036854775808', '1'],
  ['WAIT', '1', '-1'],
  ['WAIT', '0', '1'],
  ['DEBUG', 'SLEEP', '0'],
  ['EXEC'],
  ['DISCARD'],
  ['MULTI', 'x'],
  ['MULTI'],
  ['MULTI'],
  ['WATCH', 'a'],
  ['EXEC'],
  ['MULTI'],
  ['PING'],
  ['SET', 'a'],
  ['EXEC'],
  ['MULTI'],
  ['FOO'],
  ['EXEC'],
  ['MULTI'],
  ['SET', 'k', 'v'],
  ['INCR', 'k'],
  ['ECHO', 'x'],
  ['CLIENT', 'GETNAME'],
  ['SELECT', '99'],
  ['EXEC'],
  ['UNWATCH'],
  // The empty key fits the empty pattern and no other one; and there is `*`, which is everything.
  ['SET', '', 'of the empty key'],
  ...['**', '', '?'].flatMap((pattern) => [
    ['KEYS', pattern],
    ['SCAN', '0', 'MATCH', pattern, 'COUNT', '10000'],
  ]),
  ['DEL', ''],
  ['HSET', 'fields', '', 'v'],
  ...['*', '**', '', '?'].map((pattern) => ['HSCAN', 'fields', '0', 'MATCH', pattern]),
  ['DEL', 'fields'],
  ['SCAN', 'x'],
  ['SCAN', ''],
  ['SCAN', '-'],
  ['SCAN', ' 1'],
  ['SCAN', '-1'],
  ['SCAN', '-18446744073709551616'],
  ['SCAN', '+18446744073709551615'],
  ['SCAN', '18446744073709551616'],
  ['SCAN', '0000000000000000000000000'],
  ['SCAN', '0', 'COUNT', '0'],
  ['SCAN', '0', 'COUNT', 'x'],
  ['SCAN', '0', 'FOO'],
  ['SCAN', '0', 'MATCH', '*', 'TYPE', 'string'],
  ['KEYS', '*'],
  ['DBSIZE'],
  ['RANDOMKEY'],
  ['FLUSHALL', 'FOO'],
  ['FLUSHALL', 'ASYNC', 'SYNC'],
  ['FLUSHDB', 'ASYNC'],
  ['FLUSHALL', 'SYNC'],
  ['DBSIZE'],
  ['RANDOMKEY'],
  ['RESET'],
  ['CLIENT', 'GETNAME'],
  ['HELLO', '3', 'SETNAME', 'bob'],
  ['CLIENT', 'GETNAME'],
  ['GET', 'nothing'],
  ['CLIENT', 'TRACKINGINFO'],
  ['CONFIG', 'GET', 'maxmemory'],
  ['EXEC'],
  ['MULTI'],
  ['WATCH', 'x'],
  ['DISCARD'],
  ['QUIT'],
];

/** Streams that break the protocol, and some that nearly do; both servers must say the same and close or not close. */
const STREAMS: readonly string[] = [
  '*x\r\n',
  '*\r\n',
  '*01\r\nx',
  '*-5\r\n*1\r\n$4\r\nPING\r\n',
  '*99999999999\r\n',
  '*1\r\nPING\r\n',
  '*1\r\n$-1\r\n',
  '*1\r\n$x\r\n',
  '*1\r\n$536870913\r\n',
  `*${'1'.repeat(70_000)}`,
  `*1\r\n$${'1'.repeat(70_000)}`,
  'a'.repeat(70_000),
  'set "a\r\n',
  'set "a"b\r\n',
  '"PI\\x4eG" \r\n',
  "PING\r\nECHO 'a b'\nPING\r\n",
  '\r\n\r\n \r\nPING\r\n',
  '*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n',
  'GET / HTTP/1.0\r\n',
  '*2\r\n$4\r\nECHO\r\n$0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: x\r\n\r\nSET pwned 1\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\n\r\nSET pwned 1\r\n',
  'MULTI\r\n*1\r\n$4\r\nPoSt\r\nPING\r\n',
  'host\r\nposts\r\n',
  'PING\r\nPING\0\r\nPING\r\n',
  '*1\0\r\nPING\r\n',
  '*1\r\n$4\0\r\nPING\r\n',
  `$\0${`${'A'.repeat(1_024)}\r\n`.repeat(68)}`,
  `\0\n${'A'.repeat(70_000)}`,
  `*\0${'\r\n'.repeat(35_000)}`,
  `*1\r\n$\0${'\r\n'.repeat(35_000)}`,
];

let ours: TestServer;
before(async () => {
  ours = await startTestServer({ quorumReplicas: () => 1 });
});
after(async () => {
  await ours.stop();
  assert.deepEqual(loggedErrors, []);
});

describe('compared with redis-server', { skip: skipWithout('redis-server') }, () => {
  let redis: ChildProcess;
  let redisPort: number;

  before(async () => {
    redisPort = await freePort();
    redis = spawn('redis-server', ['--port', String(redisPort), '--save', '', '--bind', '127.0.0.1'], {
      stdio: 'ignore',
    });
    const deadline = Date.now() + 10_000;
    for (;;) {
      try {
        (await RawClient.connect(redisPort)).close();
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
  after(async () => {
    redis.kill();
    await once(redis, 'exit');
  });

  test('connection, server and transaction commands answer the same', async () => {
    const client = await ours.connect();
    const peer = await RawClient.connect(redisPort);
    // On a loaded machine anything may have been slow, the greeting too.
    for (const each of [client, peer]) {
      await each.call('CONFIG', 'SET', 'slowlog-log-slower-than', '60000000');
      await each.call('SLOWLOG', 'RESET');
    }
    const ourReplies: [string, Decoded][] = [];
    const theirReplies: [string, Decoded][] = [];
    for (const command of SAME_AS_REDIS) {
      // The first words are enough to find it.
      const label = command.map((word) => word.slice(0, 30)).join(' ');
      ourReplies.push([label, comparable(command, await client.call(...command))]);
      theirReplies.push([label, comparable(command, await peer.call(...command))]);
    }
    peer.close();
    const differing = ourReplies
      .map((row, index) => ({ ours: row, theirs: theirReplies[index] }))
      .filter((pair) => !isDeepStrictEqual(pair.ours, pair.theirs));
    assert.deepEqual(differing, []);
  });

  test('broken streams get the same errors and the same end', async () => {
    for (const stream of STREAMS) {
      const answers: string[] = [];
      for (const port of [ours.server.port, redisPort]) {
        const client = await RawClient.connect(port);
        client.send(Buffer.from(stream, 'latin1'));
        // Behind an overlong line it would be a race which of the two a server sees first.
        if (stream.length < 1_000) client.send(request('QUIT'));
        client.socket.end();
        answers.push(await client.readToEnd());
      }
      assert.equal(answers[0], answers[1], JSON.stringify(stream.slice(0, 40)));
    }
  });

  test('command metadata agrees: arity, flags, key positions, categories', async () => {
    const client = await ours.connect();
    const peer = await RawClient.connect(redisPort);
    const all = ALL_COMMANDS.map(({ name }) => name);
    const known = (await peer.call('COMMAND', 'INFO', ...all)) as (Decoded[] | null)[];
    // Commands of a later Redis, and those with options of one, which take more arguments.
    const names = all.filter((name, at) => known[at] !== null && name !== 'zrank' && name !== 'zrevrank');
    const our = (await client.call('COMMAND', 'INFO', ...names)) as Decoded[][];
    const their = (await peer.call('COMMAND', 'INFO', ...names)) as Decoded[][];
    peer.close();
    const essence = (rows: readonly (readonly Decoded[])[]): Decoded[] =>
      rows.map(([name, arity, flags, first, last, step, categories]) => [
        name!,
        arity!,
        [...(flags as string[])].sort(),
        first!,
        last!,
        step!,
        [...(categories as string[])].sort(),
      ]);
    const theirs = essence(their);
    const differing = essence(our)
      .map((row, index) => ({ ours: row, theirs: theirs[index] }))
      .filter((pair) => !isDeepStrictEqual(pair.ours, pair.theirs));
    assert.deepEqual(differing, []);
  });
});

/** Hides what differs between two servers by nature. */
function comparable(command: readonly string[], reply: Decoded): Decoded {
  const [first, second] = command.map((word) => word.toUpperCase());
  if (first === 'HELLO' && typeof reply !== 'string')
    return reply instanceof Map ? [...reply.keys()] : (reply as Decoded[]).length;
  if (first === 'WAIT' && typeof reply === 'number') return 'a count';
  // Which keys lie behind a cursor that nobody gave out depends on a seed.
  if (first === 'SCAN' && Array.isArray(reply) && /^[-+]/.test(second!)) return 'a page';
  // The syntax agrees, what is said about it does not have to.
  if (second === 'HELP') return (reply as string[]).slice(1).filter((line) => /^\+[A-Z(]/.test(line));
  return reply;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe('the server', () => {
  test('answers HELLO with what clients look for', async () => {
    const client = await ours.connect();
    const map = (await client.call('HELLO', '3')) as Map<string, Decoded>;
    assert.equal(map.get('version'), '7.0.15');
    assert.equal(map.get('proto'), 3);
    assert.equal(map.get('mode'), 'standalone');
    assert.equal(map.get('role'), 'master');
  });

  test('shows clients in CLIENT LIST and ends them with CLIENT KILL', async () => {
    const client = await ours.connect();
    const victim = await ours.connect();
    await victim.call('CLIENT', 'SETNAME', 'victim');
    await victim.call('CLIENT', 'SETINFO', 'LIB-NAME', 'lib');
    const id = (await victim.call('CLIENT', 'ID')) as number;
    const list = (await client.call('CLIENT', 'LIST')) as string;
    assert.match(list, new RegExp(`id=${id} addr=127.0.0.1:\\d+ .*name=victim .*cmd=client\\|id .*lib-name=lib`));
    assert.equal(await client.call('CLIENT', 'KILL', 'ID', String(id)), 1);
    await victim.readToEnd();
    assert.doesNotMatch((await client.call('CLIENT', 'LIST')) as string, /name=victim/);
  });

  test('sends no replies while they are off, and skips one', async () => {
    const client = await ours.connect();
    client.send(
      Buffer.concat([
        request('CLIENT', 'REPLY', 'OFF'),
        request('PING', '1'),
        request('SET', 'a', '1'),
        request('CLIENT', 'REPLY', 'ON'),
        request('CLIENT', 'REPLY', 'SKIP'),
        request('GET', 'a'),
        request('ECHO', 'x'),
      ]),
    );
    assert.deepEqual(await client.readMany(2), ['+OK', 'x']);
  });

  test('holds commands back while clients are paused', async () => {
    const client = await ours.connect();
    const other = await ours.connect();
    assert.equal(await client.call('CLIENT', 'PAUSE', '60000', 'WRITE'), '+OK');
    other.send(Buffer.concat([request('PING'), request('SET', 'paused', '1'), request('PING', 'after')]));
    assert.equal(await other.read(), '+PONG');
    assert.equal(await client.call('EXISTS', 'paused'), 0);
    assert.equal(await client.call('CLIENT', 'UNPAUSE'), '+OK');
    assert.deepEqual(await other.readMany(2), ['+OK', 'after']);
    await client.call('CLIENT', 'PAUSE', '30', 'ALL');
    assert.equal(await other.call('PING'), '+PONG');
  });

  test('holds back PFCOUNT of one sketch, which notes its answer, while writes are paused', async () => {
    const client = await ours.connect();
    const other = await ours.connect();
    await client.call('PFADD', 'paused sketch', 'a');
    const stale = await client.call('GET', 'paused sketch');
    assert.equal(await client.call('CLIENT', 'PAUSE', '60000', 'WRITE'), '+OK');
    const key = 'paused sketch';
    other.send(Buffer.concat([request('PFCOUNT', key, key), request('PFCOUNT', key), request('PING', 'after')]));
    assert.equal(await other.read(), 1, 'of several nothing is noted');
    assert.equal(await client.call('GET', key), stale);
    assert.equal(await client.call('CLIENT', 'UNPAUSE'), '+OK');
    assert.deepEqual(await other.readMany(2), [1, 'after']);
    assert.notEqual(await client.call('GET', key), stale);
  });

  test('refuses clients beyond the limit', async () => {
    const small = await startTestServer({ config: { maxClients: 1 } });
    const first = await small.connect();
    await first.call('PING');
    const second = await RawClient.connect(small.server.port);
    assert.equal(await second.readToEnd(), '-ERR max number of clients reached\r\n');
    assert.equal(await first.call('PING'), '+PONG');
    await small.stop();
  });

  test('reports itself in INFO', async () => {
    const client = await ours.connect();
    await client.call('FLUSHALL');
    await client.call('SET', 'a', '1');
    const all = (await client.call('INFO')) as string;
    for (const field of ['redis_version:7.0.15', 'role:master', 'cluster_enabled:0', 'db0:keys=1,', 'aof_enabled:1']) {
      assert.ok(all.includes(field), field);
    }
    const one = (await client.call('INFO', 'clients')) as string;
    assert.match(one, /^# Clients\r\nconnected_clients:\d+\r\n/);
    assert.doesNotMatch(one, /# Server/);
  });

  test('changes settings at runtime', async () => {
    const client = await ours.connect();
    assert.equal(await client.call('CONFIG', 'SET', 'proto-max-bulk-len', '2mb', 'timeout', '100'), '+OK');
    assert.deepEqual(await client.call('CONFIG', 'GET', 'proto-max-bulk-len', 'timeout'), [
      'proto-max-bulk-len',
      '2097152',
      'timeout',
      '100',
    ]);
    assert.match(
      (await client.call('CONFIG', 'SET', 'timeout', '7', 'maxclients', '0')) as string,
      /^-ERR CONFIG SET failed/,
    );
    assert.deepEqual(await client.call('CONFIG', 'GET', 'timeout'), ['timeout', '100']);
    await client.call('CONFIG', 'SET', 'proto-max-bulk-len', '512mb', 'timeout', '0');
  });

  test('sleeps in DEBUG SLEEP only when it is allowed to', async () => {
    const debug = await startTestServer({ config: { debugCommands: true } });
    const client = await debug.connect();
    const started = performance.now();
    client.send(Buffer.concat([request('DEBUG', 'SLEEP', '0.05'), request('PING')]));
    assert.deepEqual(await client.readMany(2), ['+OK', '+PONG']);
    assert.ok(performance.now() - started >= 45);
    await debug.stop();
  });

  test('tells how many replicas beside the leader hold every acknowledged write', async () => {
    const client = await ours.connect();
    client.send(Buffer.concat([request('SET', 'a', '1'), request('WAIT', '2', '0')]));
    assert.deepEqual(await client.readMany(2), ['+OK', 1]);
    for (const command of [['MULTI'], ['WAIT', '2', '0'], ['WAITAOF', '1', '1', '0']]) await client.call(...command);
    assert.deepEqual(await client.call('EXEC'), [1, [1, 1]]);
    assert.equal(await client.call('WAITAOF', '2', '0', '0'), '-ERR value is out of range, must be between 0 and 1');
  });

  test('closes idle connections when told to, but none that is busy or waits', async () => {
    const impatient = await startTestServer({ config: { idleTimeoutSeconds: 1 } });
    const [idle, writer, reader, waiter, pauser] = await Promise.all(
      Array.from({ length: 5 }, () => impatient.connect()),
    );
    await idle!.call('PING');
    // A command that takes its time to arrive, a reply that takes its time to come, a command that CLIENT PAUSE holds back.
    const slow = request('SET', 'slow', 'x'.repeat(100));
    let sent = 0;
    const piece = setInterval(() => {
      if (sent < slow.length - 1) writer!.send(slow.subarray(sent, ++sent));
    }, 100);
    await pauser!.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    waiter!.send(request('SET', 'paused', '1'));
    impatient.kv.holding = true;
    reader!.send(request('GET', 'slow'));
    assert.equal(await idle!.readToEnd(), '');
    const second = await impatient.connect();
    await second.call('PING');
    assert.equal(await second.readToEnd(), '', 'a second one has come and gone');
    clearInterval(piece);
    writer!.send(slow.subarray(sent));
    impatient.kv.holding = false;
    impatient.kv.releaseHeld();
    assert.equal(await reader!.read(), null);
    const unpauser = await impatient.connect();
    assert.equal(await unpauser.call('CLIENT', 'UNPAUSE'), '+OK');
    assert.deepEqual([await writer!.read(), await waiter!.read()], ['+OK', '+OK']);
    await impatient.stop();
  });

  test('counts clients that CLIENT PAUSE holds back as blocked', async () => {
    const client = await ours.connect();
    const paused = await ours.connect();
    await client.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    await paused.call('PING');
    const seen = ours.server.counters().stats.inputBytes;
    paused.send(request('SET', 'a', '1'));
    await eventually(() => ours.server.counters().stats.inputBytes > seen, 'the second command arrives');
    assert.match(String(await client.call('INFO', 'clients')), /blocked_clients:1\r\n/);
    await client.call('CLIENT', 'UNPAUSE');
    assert.equal(await paused.read(), '+OK');
    assert.match(String(await client.call('INFO', 'clients')), /blocked_clients:0\r\n/);
  });

  test('runs nothing that comes with an HTTP request', async () => {
    const browser = await ours.connect();
    browser.send('POST / HTTP/1.1\r\nHost: x\r\n\r\nSET pwned 1\r\n');
    assert.equal(await browser.readToEnd(), '');
    assert.equal(await (await ours.connect()).call('GET', 'pwned'), null);
  });

  test('counts commands and expired keys in INFO, until CONFIG RESETSTAT', async () => {
    const client = await ours.connect();
    ours.kv.expiredKeys = 7;
    await client.call('CONFIG', 'RESETSTAT');
    await client.call('ECHO', 'x');
    ours.kv.expiredKeys = 10;
    assert.match(String(await client.call('INFO', 'stats')), /expired_keys:3\r\n/);
    const counted = String(await client.call('INFO', 'commandstats'));
    assert.match(counted, /^# Commandstats\r\n/);
    assert.match(counted, /\r\ncmdstat_echo:calls=1,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=0\r\n/);
    assert.match(String(await client.call('INFO', 'everything')), /cmdstat_echo/);
    assert.doesNotMatch(String(await client.call('INFO')), /cmdstat/);
  });

  test('lets replies under way leave when it stops', async () => {
    const server = await startTestServer();
    const client = await server.connect();
    server.kv.holding = true;
    client.send(request('SET', 'a', '1'));
    await eventually(() => server.kv.submitted === 1, 'the SET');
    const stopped = server.server.stop();
    server.kv.releaseHeld();
    assert.equal(await client.readToEnd(), '+OK\r\n');
    await stopped;
  });

  test('answers when it stops what clients have sent, also in two pieces, and lets a transaction be finished', async () => {
    const server = await startTestServer();
    const [piece, writer] = [await server.connect(), await server.connect()];
    assert.equal(await writer.call('MULTI'), '+OK');
    const [whole, half] = [request('SET', 'a', '1'), request('GET', 'a')];
    piece.send(Buffer.concat([whole, half.subarray(0, 5)]));
    assert.equal(await piece.read(), '+OK');
    const stopped = server.server.stop();
    piece.send(half.subarray(5));
    assert.equal(await piece.readToEnd(), '$1\r\n1\r\n');
    writer.send(Buffer.concat([request('SET', 'b', '2'), request('EXEC')]));
    assert.equal(await writer.readToEnd(), '+QUEUED\r\n*1\r\n+OK\r\n');
    await stopped;
  });

  test('says nothing to what waits for keys when it stops, and runs nothing behind it', async () => {
    const server = await startTestServer();
    const client = await server.connect();
    client.send(Buffer.concat([request('BLPOP', 'list', '0'), request('SET', 'a', '1')]));
    await eventually(() => server.kv.submitted >= 1, 'the BLPOP');
    await server.server.stop();
    assert.equal(await client.readToEnd(), '');
  });
});

describe('client libraries', () => {
  test('ioredis connects, pipelines and runs transactions', async () => {
    const client = new Redis({ port: ours.server.port, host: '127.0.0.1', lazyConnect: true });
    await client.connect();
    assert.equal(await client.set('io', '1'), 'OK');
    assert.equal(await client.incr('io'), 2);
    const piped = await client.pipeline().get('io').append('io', 'x').get('io').exec();
    assert.deepEqual(piped, [
      [null, '2'],
      [null, 2],
      [null, '2x'],
    ]);
    assert.deepEqual(await client.multi().set('io', '5').incr('io').exec(), [
      [null, 'OK'],
      [null, 6],
    ]);
    const seen: string[] = [];
    for await (const keys of client.scanStream({ match: 'io*' })) seen.push(...(keys as string[]));
    assert.deepEqual(seen, ['io']);
    await client.quit();
  });

  for (const RESP of [2, 3] as const) {
    test(`node-redis connects with RESP${RESP}, names itself and runs commands`, async () => {
      const client = createClient({ RESP, name: 'node', socket: { port: ours.server.port, host: '127.0.0.1' } });
      await client.connect();
      assert.equal(await client.set('nr', 'v', { EX: 100 }), 'OK');
      assert.equal(await client.get('nr'), 'v');
      assert.deepEqual(await Promise.all([client.strLen('nr'), client.exists('nr'), client.get('none')]), [1, 1, null]);
      assert.deepEqual(await client.multi().set('nr', '1').incr('nr').exec(), ['OK', 2]);
      assert.equal((await client.clientInfo()).name, 'node');
      assert.equal((await client.configGet('maxmemory')).maxmemory, '0');
      await client.close();
    });
  }
});
