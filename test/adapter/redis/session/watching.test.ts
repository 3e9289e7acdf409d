/** Who watches a node's commands: the slow log, latency events and MONITOR, on the node of the client and on the one that evaluates. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CommandSpec, defineCommands } from '../../../../src/adapter/redis/command/command.ts';
import type { RedisConfig } from '../../../../src/adapter/redis/command/config.ts';
import { DEFAULT_OUTPUT_LIMITS } from '../../../../src/adapter/redis/command/output-limits.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { OK } from '../../../../src/adapter/redis/protocol/reply.ts';
import {
  type Cancel,
  type Clock,
  type Scheduler,
  SystemClock,
  SystemScheduler,
} from '../../../../src/platform/index.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { type Decoded, eventually, type RawClient, request, type TestServer, testServers } from '../harness.ts';

/** The system's time, ahead of which commands can be. */
class ShiftedTime implements Clock, Scheduler {
  aheadMs = 0;
  private readonly clock = new SystemClock();
  private readonly scheduler = new SystemScheduler();

  nowMs = (): number => this.clock.nowMs();
  monotonicMs = (): number => this.clock.monotonicMs() + this.aheadMs;
  after = (delayMs: number, run: () => void): Cancel => this.scheduler.after(delayMs, run);
  endOfTurn = (run: () => void): void => this.scheduler.endOfTurn(run);
  nextTurn = (run: () => void): void => this.scheduler.nextTurn(run);
}

const time = new ShiftedTime();

/** TAKE key ms: is evaluated so long. */
const TAKE: readonly CommandSpec[] = defineCommands([
  {
    name: 'take',
    arity: 3,
    flags: ['write'],
    keys: { first: 1, last: 1, step: 1 },
    group: 'string',
    since: '1.0.0',
    summary: 'Takes time.',
    handler: {
      kind: 'data',
      run: (_ctx, args) => {
        time.aheadMs += Number(args[2]);
        return OK;
      },
    },
  },
]);

const servers = testServers();

interface Nodes {
  readonly leaderKv: FakeKv;
  readonly leading: TestServer;
  readonly leader: RawClient;
  /** Of a node that leads nothing. */
  readonly other: RawClient;
  readonly connect: () => Promise<RawClient>;
}

async function start(config: Partial<RedisConfig> = {}): Promise<Nodes> {
  const commands = [...ALL_COMMANDS, ...TAKE];
  const leaderKv = new FakeKv();
  leaderKv.evaluateTwice = true;
  const leading = await servers.start({ kv: leaderKv, time, config, commands });
  const kv = new FakeKv({ nodeId: 2, state: leaderKv.state });
  kv.leader = leaderKv;
  const forwarding = await servers.start({ kv, time, config, commands });
  return {
    leaderKv,
    leading,
    leader: await leading.connect(),
    other: await forwarding.connect(),
    connect: () => forwarding.connect(),
  };
}

const spikes = { latencyThresholdMs: 50 };

/** Arguments and microseconds, at least, of each entry. */
async function slowLog(client: RawClient): Promise<readonly [string, number][]> {
  const entries = (await client.call('SLOWLOG', 'GET', '-1')) as Decoded[][];
  return entries.map((entry) => [(entry[3] as string[]).join(' '), entry[2] as number]);
}

const localAddress = ({ socket }: RawClient): string => `127.0.0.1:${socket.localPort}`;

describe('a command that takes long', () => {
  test('is in the slow log of the node of its client, once, and a spike of the node that evaluates it', async () => {
    const { leader, other } = await start(spikes);
    // On a loaded machine anything may have been slow, the greeting too.
    for (const client of [leader, other]) {
      await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '50000');
      await client.call('SLOWLOG', 'RESET');
    }
    await other.call('CLIENT', 'SETNAME', 'joe');
    assert.equal(await other.call('TAKE', 'k', '60'), '+OK');
    const [entry] = (await other.call('SLOWLOG', 'GET')) as Decoded[][];
    assert.deepEqual(entry!.slice(3), [['TAKE', 'k', '60'], localAddress(other), 'joe']);
    assert.ok(Number(entry![2]) >= 60_000 && Number(entry![2]) < 110_000, String(entry![2]));
    assert.equal(await other.call('SLOWLOG', 'LEN'), 1);
    assert.deepEqual(await slowLog(leader), []);
    const [spike] = (await leader.call('LATENCY', 'LATEST')) as Decoded[][];
    assert.equal(spike![0], 'command');
    assert.deepEqual(await other.call('LATENCY', 'LATEST'), []);
  });

  test('is found inside MULTI, and a script under the name that it was called by', async () => {
    const { leader, other } = await start();
    for (const client of [leader, other]) {
      const text = "return redis.call('take', KEYS[1], 60)";
      const sha = await client.call('SCRIPT', 'LOAD', text);
      const queue = [request('SET', 'k', '1'), request('TAKE', 'k', '70'), request('GET', 'k'), request('EXEC')];
      client.send(Buffer.concat([request('MULTI'), ...queue]));
      await client.readMany(5);
      await client.call('EVALSHA', sha as string, '1', 'k');
      const found = (await slowLog(client)).map(([line]) => line);
      assert.deepEqual(found, [`EVALSHA ${sha as string} 1 k`, 'TAKE k 70']);
    }
  });

  test('is as long as the node of the client says', async () => {
    const { other } = await start();
    await other.call('CONFIG', 'SET', 'slowlog-log-slower-than', '200000');
    await other.call('TAKE', 'k', '100');
    assert.deepEqual(await slowLog(other), []);
    await other.call('CONFIG', 'SET', 'slowlog-log-slower-than', '-1');
    await other.call('TAKE', 'k', '500');
    assert.deepEqual(await slowLog(other), []);
    await other.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0');
    await other.call('GET', 'k');
    assert.deepEqual(
      (await slowLog(other)).map(([line]) => line),
      ['GET k', 'CONFIG SET slowlog-log-slower-than 0'],
    );
  });

  test('that is a write of the log is an event of its own', async () => {
    const { leader, leading } = await start(spikes);
    const { server } = leading;
    server.logWritten(49);
    server.logWritten(51);
    const [spike, ...others] = (await leader.call('LATENCY', 'LATEST')) as Decoded[][];
    assert.deepEqual([spike![0], spike![2], others], ['aof-fsync-always', 51, []]);
  });

  test('is no slow one because it waited for others', async () => {
    const { leaderKv, other } = await start(spikes);
    leaderKv.holding = true;
    other.send(Buffer.concat([request('SET', 'k', '1'), request('WATCH', 'k')]));
    await eventually(() => leaderKv.submitted > 0, 'the command has reached the leader');
    time.aheadMs += 100;
    leaderKv.releaseHeld();
    assert.deepEqual(await other.readMany(2), ['+OK', '+OK']);
    assert.deepEqual([await slowLog(other), await other.call('LATENCY', 'LATEST')], [[], []]);
  });
});

describe('MONITOR', () => {
  test('shows what the node receives, and what scripts call where they are evaluated, once', async () => {
    const { leader, other, connect } = await start();
    const client = await connect();
    for (const monitor of [leader, other]) assert.equal(await monitor.call('MONITOR'), '+OK');
    await client.call('EVAL', "return redis.call('set', KEYS[1], 'x')", '1', 'k');
    const [received, called] = [String(await other.read()), String(await leader.read())];
    const line = (where: string, args: string) => new RegExp(`^\\+\\d+\\.\\d{6} \\[0 ${where}\\] ${args}$`);
    assert.match(
      received,
      line(localAddress(client), `"EVAL" "return redis.call\\('set', KEYS\\[1\\], 'x'\\)" "1" "k"`),
    );
    assert.match(called, line('lua', '"set" "k" "x"'));
    await client.call('ECHO', 'last');
    assert.match(String(await other.read()), line(localAddress(client), '"ECHO" "last"'));
    leader.send(request('RESET'));
    assert.equal(await leader.read(), '+RESET');
  });

  test('cuts off who does not read', async () => {
    const pubsub = { hardBytes: 100_000, softBytes: 0, softSeconds: 0 };
    const outputLimits = { ...DEFAULT_OUTPUT_LIMITS, pubsub };
    const { other, connect } = await start({ outputLimits, maxUnreadReplyBytes: 10_000 });
    const client = await connect();
    await other.call('MONITOR');
    other.socket.pause();
    const long = 'x'.repeat(50_000);
    for (let nth = 0; nth < 500 && !(await isGone(client, other)); nth++) await client.call('ECHO', long);
    assert.ok(await isGone(client, other));
  });
});

async function isGone(client: RawClient, other: RawClient): Promise<boolean> {
  return !String(await client.call('CLIENT', 'LIST')).includes(`addr=${localAddress(other)} `);
}

describe('CLIENT PAUSE WRITE', () => {
  test('holds what the clients of its node would change or publish, and nothing that other nodes forward', async () => {
    const { leader, other, connect } = await start();
    const [writer, publisher, reader] = [await connect(), await connect(), await connect()];
    assert.equal(await other.call('CLIENT', 'PAUSE', '60000', 'WRITE'), '+OK');
    writer.send(request('SET', 'k', 'paused'));
    publisher.send(request('PUBLISH', 'c', 'm'));
    assert.equal(await leader.call('SET', 'k', 'free'), '+OK');
    assert.equal(await reader.call('GET', 'k'), 'free');
    const held = async () => /blocked_clients:(\d+)/.exec(String(await reader.call('INFO', 'clients')))![1];
    for (let looks = 0; looks < 200 && (await held()) !== '2'; looks++);
    assert.equal(await held(), '2');
    assert.deepEqual([writer.received.length, publisher.received.length], [0, 0]);
    assert.equal(await other.call('CLIENT', 'UNPAUSE'), '+OK');
    assert.deepEqual([await writer.read(), await publisher.read()], ['+OK', 0]);
    assert.equal(await reader.call('GET', 'k'), 'paused');
  });
});
