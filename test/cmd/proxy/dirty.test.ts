import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ProxyState, ProxyStateError, reportOf } from '../../../cmd/proxy/index.ts';
import { until } from '../../support/until.ts';
import { call, everything, ProxyBed } from './bed.ts';

describe('what a proxy does not know', () => {
  let bed: ProxyBed;
  beforeEach(async () => {
    bed = await ProxyBed.open();
  });
  afterEach(() => bed.close());

  /** What the report says of writes whose outcome is not known. */
  const suspected = () => {
    const { unanswered, lost, dropped, dirtyKeys, hasUnnamed } = reportOf(bed.proxy);
    return { unanswered, lost, dropped, dirtyKeys, hasUnnamed };
  };
  const CLEAN = { unanswered: 0, lost: 0, dropped: 0, dirtyKeys: 0, hasUnnamed: false };

  test('is none of what a client has said that closes before it is answered: the second side is told', async () => {
    await bed.start('dual-write');
    const client = await bed.connect();
    await client.call([['PING']]);
    bed.cables.redis.hold(true);
    const answered = client.call([
      ['SET', 'a', '1'],
      ['MULTI'],
      ['INCR', 'n'],
      ['SELECT', '2'],
      ['INCR', 'n'],
      ['EXEC'],
    ]);
    await until('the proxy has read it', () => bed.proxy.report.commands > 2);
    client.close();
    await assert.rejects(answered);
    bed.cables.redis.hold(false);
    await until('the client is gone', () => bed.proxy.connections === 0);
    await bed.settled();
    await call(await bed.connect(), ['SET', 'z', '1']);
    await bed.settled();
    assert.deepEqual(await everything(bed.kvorum), ['a 1', 'n 1', 'z 1']);
    assert.deepEqual(await everything(bed.kvorum, 2), ['n 1']);
    await bed.assertSame();
    assert.deepEqual(suspected(), CLEAN);
  });

  test('is remembered when the connection to the side that answers ends, and repaired', async () => {
    await bed.start('dual-write');
    bed.cables.redis.breakAfterBytes = 0;
    for (const commands of [[['SET', 'a', '1']], [['RPUSH', 'list', 'x', 'y']], [['EVAL', 'return 1', '1', 'k']]])
      await assert.rejects((await bed.connect()).call(commands));
    bed.cables.redis.breakAfterBytes = '+OK\r\n+QUEUED\r\n+QUEUED\r\n'.length;
    await assert.rejects((await bed.connect()).call([['MULTI'], ['INCR', 'n'], ['SET', 'm', '1'], ['EXEC']]));
    bed.cables.redis.breakAfterBytes = undefined;
    assert.deepEqual(await everything(bed.redis), ['a 1', 'list x,y', 'm 1', 'n 1']);
    assert.deepEqual(await everything(bed.kvorum), []);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 4, dirtyKeys: 5 });
    assert.equal(await bed.proxy.repair(), 5);
    await bed.assertSame();
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 4 });
  });

  test('may be under any key, and then all of them are compared', async () => {
    await bed.start('dual-write');
    await call(await bed.connect(), ['SET', 'a', '1'], ['SET', 'b', '1'], ['SELECT', '4'], ['SADD', 'set', 'm']);
    await bed.settled();
    bed.cables.redis.breakAfterBytes = 0;
    await assert.rejects((await bed.connect()).call([['EVAL', "redis.call('DEL', 'a', 'b')", '0']]));
    await assert.rejects(
      (await bed.connect()).call([['FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('f', function() end)"]]),
    );
    bed.cables.redis.breakAfterBytes = undefined;
    await call(await bed.connect(bed.kvorum.port), ['SELECT', '4'], ['SADD', 'set', 'n']);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 2, hasUnnamed: true });
    assert.equal(await bed.proxy.repair(), 3);
    await bed.assertSame();
    assert.deepEqual(await everything(bed.kvorum, 4), ['set m']);
    assert.deepEqual(await call(await bed.connect(bed.kvorum.port), ['FCALL', 'f', '0']), ['$-1\r\n']);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 2 });
    await call(await bed.connect(bed.kvorum.port), ['SET', 'extra', '1']);
    await bed.proxy.repair(true);
    await bed.assertSame();
  });

  test('is what the side that answers does not know either', async () => {
    const stub = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write('-UNKNOWN it may have happened\r\n'));
    });
    await new Promise<void>((resolve) => stub.listen(0, '127.0.0.1', resolve));
    const targets = [{ host: '127.0.0.1', port: (stub.address() as AddressInfo).port }];
    const redis = { targets: [{ host: '127.0.0.1', port: bed.redis.port }], security: {} };
    await bed.start('kvorum-primary', { upstreams: { kvorum: { targets, security: {} }, redis } });
    const client = await bed.connect();
    assert.match((await call(client, ['SET', 'a', '1']))[0]!, /^UNKNOWN/);
    assert.match((await call(client, ['GET', 'a']))[0]!, /^UNKNOWN/);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 1, dirtyKeys: 1 });
    client.close();
    stub.close();
  });

  test('is whether something that waited was served when its client has gone', async () => {
    await bed.start('dual-write');
    const client = await bed.connect();
    const popped = client.call([['BLPOP', 'queue', 'other', '0']]);
    await until('it waits', () => bed.proxy.report.commands === 1 && bed.proxy.isQuiet);
    client.close();
    await assert.rejects(popped);
    await until('the client is gone', () => bed.proxy.connections === 0);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 1, dirtyKeys: 2 });
  });

  test('is what finds no room in the queue of the second side, and at the end what is in the queue', async () => {
    await bed.start('dual-write', { mirrorLimits: { maxCommands: 2, maxBytes: 1_000 } });
    const client = await bed.connect();
    await call(client, ['SET', 'a', '1'], ['SET', 'b', '1']);
    await bed.settled();
    bed.cables.kvorum.close();
    await call(client, ['INCR', 'a'], ['INCR', 'b'], ['INCR', 'c'], ['FLUSHDB']);
    assert.deepEqual(suspected(), { ...CLEAN, dropped: 2, dirtyKeys: 1, hasUnnamed: true });
    await bed.proxy.stop();
    assert.deepEqual(suspected(), { ...CLEAN, dropped: 4, dirtyKeys: 3, hasUnnamed: true });
  });

  test('outlives the proxy', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvorum-proxy-'));
    try {
      const path = join(folder, 'state');
      await bed.start('dual-write', { state: await ProxyState.open(path) });
      const before = await ProxyState.open(path);
      assert.deepEqual([before.mode, before.suspicion.hasUnnamed], ['dual-write', true], 'it has not ended in order');
      const client = await bed.connect();
      bed.cables.kvorum.breakAfterBytes = 0;
      await call(client, ['SET', 'a\x00\xff', '1'], ['SET', 'b', '1']);
      await until('the second side was told', () => reportOf(bed.proxy).lost > 0);
      await bed.proxy.stop();
      bed.cables.kvorum.breakAfterBytes = undefined;
      const state = await ProxyState.open(path);
      assert.deepEqual(
        [
          state.mode,
          state.suspicion.hasUnnamed,
          state.suspicion.places.map(({ key }) => key.toString('latin1')).sort(),
        ],
        ['dual-write', false, ['a\x00\xff', 'b']],
      );
      await call(await bed.connect(bed.kvorum.port), ['DEL', 'a\x00\xff', 'b']);
      await bed.start('dual-write', { state });
      assert.equal(await bed.proxy.repair(), 2);
      await bed.assertSame();
      await bed.proxy.stop();
      assert.deepEqual((await ProxyState.open(path)).suspicion, { places: [], hasUnnamed: false });
      await assert.rejects(ProxyState.open(new URL(import.meta.url).pathname), ProxyStateError);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('is at its end what was on its way', async () => {
    await bed.start('dual-write', { drainMs: 50 });
    const client = await bed.connect();
    await client.call([['PING']]);
    bed.cables.redis.hold(true);
    const answered = client.call([['SET', 'a', '1']]);
    await until('the proxy has read it', () => bed.proxy.report.commands === 2);
    await Promise.all([bed.proxy.stop(), assert.rejects(answered)]);
    assert.deepEqual(suspected(), { ...CLEAN, unanswered: 1, dirtyKeys: 1 });
  });
});
