import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { Secret } from '../../src/security/index.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { PageNodes } from './page-nodes.ts';

describe('the runbook of keys, word for word', { skip: skipWithout('bash') || skipWithout('openssl') }, () => {
  let nodes: PageNodes;
  const linesOf = (name: string): string[] => readFileSync(join(nodes.folder, name), 'utf8').trim().split('\n');
  const run = (part: string): Promise<void> => nodes.shell.run(part, nodes.ready);
  /** As an operator who does not wait for the next look at the files. */
  const lookAgain = (): void => {
    process.kill(Number(readFileSync(join(nodes.folder, 'n1', 'pid'), 'utf8')), 'SIGHUP');
  };
  const logsIn = async (password: string): Promise<boolean> => {
    const options = { password, lazyConnect: true, retryStrategy: () => null };
    const client = new Redis(nodes.redisPort(1), '127.0.0.1', options);
    client.on('error', () => {});
    try {
      return (await client.ping()) === 'PONG';
    } catch {
      return false;
    } finally {
      client.disconnect();
    }
  };
  const isKnown = async (token: string): Promise<boolean> => {
    const client = new AdminClient(`127.0.0.1:${nodes.grpcPort(1)}`, undefined, new Secret(token));
    try {
      await client.call('Health', {}, 5_000);
      return true;
    } catch {
      return false;
    } finally {
      client.close();
    }
  };

  before(async () => {
    // What was read again is said at this level.
    nodes = await PageNodes.open({ count: 1, environmentOf: () => ({ KVORUM_LOG_LEVEL: 'info' }) });
    await run('keys, before');
  });
  after(() => nodes?.stop());

  test('goes from one password to the next, while both count', async () => {
    const [old = ''] = linesOf('etc/passwords');
    assert.equal(await logsIn(old), true);
    await run('keys, password');
    const next = linesOf('etc/passwords')[1]!;
    lookAgain();
    await until('the new password counts', () => logsIn(next));
    assert.equal(await logsIn(old), true);
    await run('keys, password is changed');
    lookAgain();
    await until('the old password does not', async () => !(await logsIn(old)));
    assert.equal(await logsIn(next), true);
  });

  test('goes from one token to the next, while both count', async () => {
    const [old = ''] = linesOf('oncall.token');
    assert.equal(await isKnown(old), true);
    await run('keys, token');
    const [next = ''] = linesOf('oncall.token.new');
    lookAgain();
    await until('the new token counts', () => isKnown(next));
    assert.equal(await isKnown(old), true);
    await run('keys, token is changed');
    lookAgain();
    await until('the old token does not', async () => !(await isKnown(old)));
    assert.deepEqual(linesOf('oncall.token'), [next]);
    assert.equal(
      linesOf('etc/tokens').some((line) => line.includes(next)),
      false,
      'the file lets nobody in',
    );
  });

  test('goes from one secret of the nodes to the next: added, shown, alone', async () => {
    const [old = ''] = linesOf('etc/secret');
    await run('keys, secret');
    const [, next = ''] = linesOf('etc/secret');
    assert.deepEqual(linesOf('etc/secret'), [old, next]);
    await run('keys, secret is everywhere');
    assert.deepEqual(linesOf('etc/secret'), [next, old]);
    await run('keys, secret is shown');
    assert.deepEqual(linesOf('etc/secret'), [next]);
    lookAgain();
    await until('the node has read it', () =>
      nodes.shell.transcript.some((line) => /cluster secret .* was read again/.test(line)),
    );
    // Nobody else can read what was made.
    const modes = execFileSync('stat', ['-c', '%a', 'etc/passwords', 'etc/secret', 'etc/tokens', 'oncall.token'], {
      cwd: nodes.folder,
    });
    assert.deepEqual(String(modes).trim().split('\n'), ['600', '600', '600', '600']);
  });
});
