import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CommandSpec } from '../../../../src/adapter/redis/command/command.ts';
import { featureOf } from '../../../../src/adapter/redis/command/released-commands.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import type { FeatureStanding } from '../../../../src/distribution/index.ts';
import { NEVER, nodeId } from '../../../../src/platform/index.ts';
import { type RawClient, request, startTestServer, type TestServer } from '../harness.ts';

/** A data command that release 0.1.0 does not know; says how often it ran. */
function laterCommand(): { readonly spec: CommandSpec; runs: number } {
  const counted = {
    runs: 0,
    spec: {
      name: 'later',
      arity: 2,
      flags: ['write'],
      keys: { first: 1, last: 1, step: 1 },
      group: 'generic',
      since: '1.0.0',
      summary: 'Says whether bodies may be created.',
      handler: {
        kind: 'data',
        run: (ctx, args) => {
          counted.runs++;
          ctx.view.put(ctx.storageKey(args[1]!), Buffer.from([0, 0, 1]), NEVER);
          return ctx.mayCreateBodies ? 1 : 0;
        },
      },
    } satisfies CommandSpec as CommandSpec,
  };
  return counted;
}

const WAITS: FeatureStanding = { kind: 'coming', unheard: [] };
const OLD: FeatureStanding = { kind: 'off', lacking: [nodeId(2), nodeId(3)] };
const REFUSED =
  /^-ERR 'later' cannot be used: not every node of the cluster runs a program yet that knows it \(node 2, node 3\)$/;

class Stage {
  standing: FeatureStanding = OLD;
  readonly later = laterCommand();
  server!: TestServer;
  client!: RawClient;

  static async start(commandTimeoutMs?: number): Promise<Stage> {
    const stage = new Stage();
    stage.server = await startTestServer({
      commands: [...ALL_COMMANDS, stage.later.spec],
      features: () => stage.standing,
      ...(commandTimeoutMs === undefined ? {} : { config: { commandTimeoutMs } }),
    });
    stage.client = await stage.server.connect();
    return stage;
  }
}

describe('a command that release 0.1.0 does not know', () => {
  test('is refused while a node runs a program without it, and nothing else is', async () => {
    const { client, server, later } = await Stage.start();
    assert.match(String(await client.call('LATER', 'k')), REFUSED);
    assert.equal(await client.call('SET', 'k', 'v'), '+OK');
    assert.equal(later.runs, 0);
    await server.stop();
  });

  test('loses the transaction that it is queued in', async () => {
    const { client, server } = await Stage.start();
    await client.call('MULTI');
    assert.match(String(await client.call('LATER', 'k')), REFUSED);
    assert.equal(await client.call('EXEC'), '-EXECABORT Transaction discarded because of previous errors.');
    await server.stop();
  });

  test('waits for a feature that is about to come, in its order', async () => {
    const stage = await Stage.start();
    stage.standing = WAITS;
    stage.client.send(Buffer.concat([request('LATER', 'k'), request('GET', 'absent')]));
    const other = await stage.server.connect();
    assert.equal(await other.call('SET', 'x', 'y'), '+OK', 'others go on');
    assert.equal(stage.later.runs, 0);
    stage.standing = { kind: 'active' };
    assert.deepEqual(await stage.client.readMany(2), [1, null]);
    stage.standing = OLD;
    assert.equal(await stage.client.call('LATER', 'k'), 1, 'what is active stays so');
    await stage.server.stop();
  });

  test('is told who was not heard of when it has waited for long', async () => {
    const stage = await Stage.start(30);
    stage.standing = { kind: 'coming', unheard: [nodeId(3)] };
    assert.equal(
      await stage.client.call('LATER', 'k'),
      "-ERR 'later' cannot be used: not every node of the cluster has said yet that it knows it (node 3)",
    );
    await stage.server.stop();
  });

  test('is every data command beside those of that release', () => {
    const { handler } = laterCommand().spec;
    assert.equal(featureOf('hset', { group: 'hash', handler }), 'redis.collections');
    assert.equal(featureOf('xadd', { group: 'stream', handler }), 'redis.streams');
    assert.equal(featureOf('bitop', { group: 'bitmap', handler }), undefined);
    assert.equal(featureOf('memory|usage', { group: 'server', handler }), undefined);
    assert.equal(featureOf('scan', { group: 'generic', handler: { kind: 'scan', run: async () => null } }), undefined);
    assert.equal(featureOf('publish', { group: 'pubsub', feature: 'redis.messaging' }), 'redis.messaging');
  });
});
