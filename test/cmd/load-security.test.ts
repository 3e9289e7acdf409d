import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type LoadOptions, runLoad } from '../../cmd/load/index.ts';
import { securityOf } from '../../cmd/redis/index.ts';
import { type RedisServer, startRedisServer } from '../../src/adapter/redis/server/server.ts';
import { SystemClock, SystemRandom, SystemScheduler } from '../../src/platform/index.ts';
import { CertificateStore, Passwords, Secret } from '../../src/security/index.ts';
import { type Issued, TestAuthority } from '../security/authority.ts';
import { FakeKv } from '../support/fake-kv.ts';
import { skipWithout } from '../support/programs.ts';

const LOAD: Omit<LoadOptions, 'targets'> = {
  operation: 'set',
  connections: 3,
  pipeline: 4,
  requests: 60,
  maxSeconds: 10,
  valueBytes: 10,
  keys: 10,
};

describe('a load on nodes that ask who it is', { skip: skipWithout('openssl') }, () => {
  const authority = new TestAuthority();
  const own: Issued = authority.issue('redis');
  const me: Issued = authority.issue('load', { usage: 'clientAuth' });
  const passwordFile = authority.path('password');
  let server: RedisServer;
  before(async () => {
    writeFileSync(passwordFile, 's3cret\nolder\n');
    const clock = new SystemClock();
    server = await startRedisServer({
      kv: new FakeKv(),
      host: '127.0.0.1',
      port: 0,
      clock,
      scheduler: new SystemScheduler(),
      random: new SystemRandom(),
      passwords: (await Passwords.open({ password: new Secret('s3cret') }))!,
      tls: { certificates: await CertificateStore.open(own, 'server', clock), clientAuth: 'required' },
    });
  });
  after(async () => {
    await server.stop();
    authority.remove();
  });
  const load = async (flags: Parameters<typeof securityOf>[0], environment: Record<string, string> = {}) =>
    runLoad({
      ...LOAD,
      targets: [{ host: '127.0.0.1', port: server.port }],
      security: await securityOf(flags, environment),
    });
  const certificates = { redisTlsCa: me.ca, redisTlsCert: me.cert, redisTlsKey: me.key };

  test('runs with a password and certificates, from flags, a file or the environment', async () => {
    for (const result of [
      await load({ ...certificates, redisPassword: 's3cret' }),
      await load({ ...certificates, redisPasswordFile: passwordFile }),
      await load(certificates, { KVORUM_REDIS_PASSWORD: 's3cret' }),
    ]) {
      assert.deepEqual([result.operations, result.errors], [60, 0]);
    }
  });

  test('says why it cannot run', async () => {
    await assert.rejects(load({ ...certificates, redisPassword: 'wrong' }), /refused the password: WRONGPASS/);
    await assert.rejects(
      load({ redisTlsCa: me.ca, redisPassword: 's3cret' }),
      /certificate required|ECONNRESET|closed/,
    );
    await assert.rejects(load({ redisTlsCert: me.cert, redisTlsKey: me.key }), /name --redis-tls-ca too/);
    await assert.rejects(load({ redisTlsCa: me.ca, redisTlsKey: me.key }), /name --redis-tls-cert too/);
    writeFileSync(authority.path('empty'), '\n');
    await assert.rejects(load({ redisPasswordFile: authority.path('empty') }), /has no password/);
  });
});
