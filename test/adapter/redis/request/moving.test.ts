import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { OK } from '../../../../src/adapter/redis/protocol/reply.ts';
import { CommandRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import { NotOwnerError, RangeBusyError } from '../../../../src/kv/contract/errors.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { NotLeaderError } from '../../../../src/raftengine/errors.ts';
import { FakeKv, FakeState, FakeView, RangeMap, slotKey } from '../../../support/fake-kv.ts';
import {
  type Decoded,
  eventually,
  type RawClient,
  request,
  type TestServer,
  type TestServerOptions,
  testServers,
} from '../harness.ts';
import { RestlessCluster } from './restless-kv.ts';

/** Seeds of a property over a restless cluster. */
const RUNS = Number(process.env.KVORUM_MOVING_RUNS ?? 40);

const servers = testServers();

async function start(options: TestServerOptions): Promise<TestServer & { client: RawClient }> {
  const server = await servers.start(options);
  return { ...server, client: await server.connect() };
}

/** Two nodes over one state: the second leads the three groups, and the client asks the first. */
async function startForwarding() {
  const state = new FakeState();
  const kv = new FakeKv({ nodeId: 1, state, groups: 3 });
  const leaderKv = new FakeKv({ nodeId: 2, state, groups: 3 });
  kv.leader = leaderKv;
  state.owners = kv.directory.copy();
  await start({ kv: leaderKv });
  const { client } = await start({ kv });
  return { client, state, kv, leaderKv };
}

/** A node whose three groups own what its directory says, until a test moves something. */
async function startOwners(config = {}) {
  const state = new FakeState();
  const kv = new FakeKv({ state, groups: 3 });
  state.owners = kv.directory.copy();
  const server = await start({ kv, config });
  const groups = kv.dataGroups();
  /** Gives all slots to a group without telling anybody. */
  const moveAll = (nth: number) => state.owners!.assign(Buffer.alloc(0), undefined, groups[nth]!);
  return { ...server, state, groups, moveAll };
}

/** What one connection does and what it must see, with its own keys. */
class SerialClient {
  readonly model = new Map<string, string>();
  readonly commands: { readonly bytes: Buffer; readonly expect: () => Decoded }[] = [];
  refused = 0;
  private readonly client: RawClient;
  private readonly name: string;
  private tokens = 0;

  constructor(client: RawClient, name: string) {
    this.client = client;
    this.name = name;
  }

  get keys(): string[] {
    return [0, 1, 2, 3].map((index) => `{${this.name}:${index % 2}}${index}`);
  }

  /** Adds a command that a number decides. */
  add(choice: number): void {
    const key = this.keys[choice % 4]!;
    const token = `${this.name}${++this.tokens}.`;
    const { model } = this;
    const value = () => model.get(key) ?? '';
    const append = (): number => {
      model.set(key, value() + token);
      return value().length;
    };
    switch (Math.floor(choice / 4) % 7) {
      case 0:
        this.push(['SET', key, token], () => {
          model.set(key, token);
          return '+OK';
        });
        break;
      case 1:
      case 2:
        this.push(['APPEND', key, token], append);
        break;
      case 3:
        this.push(['GET', key], () => model.get(key) ?? null);
        break;
      case 4:
        this.push(['MSET', key, token, this.keys[(choice + 2) % 4]!, token], () => {
          model.set(key, token);
          model.set(this.keys[(choice + 2) % 4]!, token);
          return '+OK';
        });
        break;
      case 5:
        this.push(['DEL', key], () => (model.delete(key) ? 1 : 0));
        break;
      default:
        this.push(['MULTI'], () => '+OK');
        this.push(['APPEND', key, token], () => '+QUEUED');
        this.push(['GET', key], () => '+QUEUED');
        this.push(['EXEC'], () => [append(), value()]);
    }
  }

  private push(args: string[], expect: () => Decoded): void {
    this.commands.push({ bytes: request(...args), expect });
  }

  /** Sends everything in pieces and compares every reply with a serial run of what was not refused. */
  async run(random: SeededRandom, mayRefuse: boolean): Promise<void> {
    const rest = [...this.commands];
    const sending = (async () => {
      while (rest.length > 0) {
        this.client.send(
          Buffer.concat(rest.splice(0, 1 + random.int(random.int(3) === 0 ? 100 : 5)).map(({ bytes }) => bytes)),
        );
        for (let turns = random.int(6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (const { expect } of this.commands) {
      const reply = await this.client.read();
      if (mayRefuse && typeof reply === 'string' && reply.startsWith('-TRYAGAIN ')) this.refused++;
      else assert.deepEqual(reply, expect());
    }
    await sending;
  }

  async compareEnd(): Promise<void> {
    for (const key of this.keys) assert.equal(await this.client.call('GET', key), this.model.get(key) ?? null);
  }
}

async function restless(seed: number, choices: readonly (readonly number[])[], lateRefusals: number): Promise<void> {
  const random = new SeededRandom(seed);
  const cluster = new RestlessCluster(random, 3, { lateRefusals });
  const nodes = [await start({ kv: cluster.nodes[0] }), await start({ kv: cluster.nodes[1] })];
  cluster.run();
  try {
    const clients = await Promise.all(
      choices.map(async (commands, nth) => {
        const serial = new SerialClient(await nodes[nth % 2]!.connect(), `c${nth}`);
        for (const choice of commands) serial.add(choice);
        return serial;
      }),
    );
    await Promise.all(clients.map((client) => client.run(random, lateRefusals > 0)));
    cluster.calm();
    for (const client of clients) await client.compareEnd();
  } finally {
    cluster.stop();
    await servers.stop();
  }
}

describe('while ranges, leaders and directories change', () => {
  const choices = fc.array(fc.array(fc.nat(27), { minLength: 1, maxLength: 150 }), { minLength: 1, maxLength: 3 });

  test('every connection sees and leaves what a serial run of its commands would', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), choices, (seed, commands) => restless(seed, commands, 0)),
      { numRuns: RUNS },
    );
  });

  test('and so do so many connections that their writes leave in rounds', async () => {
    const many = fc.array(fc.array(fc.nat(27), { minLength: 1, maxLength: 40 }), { minLength: 12, maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(fc.integer(), many, (seed, commands) => restless(seed, commands, 0)),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });

  test('what is refused late either keeps its place or is answered with an error, and nothing in between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), choices, (seed, commands) => restless(seed, commands, 0.15)),
      { numRuns: RUNS },
    );
  });
});

describe('a command whose key has moved', () => {
  test('goes where the refusal points, before the directory knows', async () => {
    const { client, moveAll, kv } = await startOwners();
    await client.call('SET', 'a', '1');
    for (const nth of [0, 1, 2]) {
      moveAll(nth);
      assert.equal(await client.call('INCR', 'a'), nth + 2);
    }
    assert.equal(kv.routesVersion, 1);
  });

  test('waits for the directory when the refusal does not say where', async () => {
    const { client, moveAll, kv, state } = await startOwners();
    state.givesHints = false;
    moveAll(0);
    client.send(Buffer.concat([request('SET', 'a', '1'), request('SET', 'a', '2'), request('GET', 'a')]));
    await eventually(() => kv.submitted >= 2, 'it is tried again');
    assert.equal(client.received.length, 0);
    kv.learn();
    assert.deepEqual(await client.readMany(3), ['+OK', '+OK', '2']);
  });

  test('is answered with an error when its time is over, which says that nothing was changed', async () => {
    const { client, moveAll, kv, state } = await startOwners({ commandTimeoutMs: 60 });
    state.givesHints = false;
    moveAll(0);
    client.send(Buffer.concat([request('SET', 'a', '1'), request('PING')]));
    assert.equal(
      await client.read(),
      '-TRYAGAIN the keys are moving between groups; nothing was changed, try again later',
    );
    assert.equal(await client.read(), '+PONG');
    kv.learn();
    assert.equal(await client.call('GET', 'a'), null);
  });

  test('keeps its deadline through all groups that it is sent to', async () => {
    const { client, moveAll, kv, groups, state } = await startOwners({ commandTimeoutMs: 120 });
    moveAll(0);
    // Every group names another one.
    const check = state.check.bind(state);
    state.check = (group, key, isWrite) => {
      moveAll((groups.indexOf(group!) + 1) % 3);
      check(group, key, isWrite);
    };
    const startedMs = performance.now();
    assert.match((await client.call('SET', 'a', '1')) as string, /^-TRYAGAIN /);
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs >= 100 && tookMs < 2_000, `${tookMs} ms`);
    assert.ok(kv.submitted < 40, `${kv.submitted} attempts`);
  });

  test('asks the directory in the end when two groups name each other', async () => {
    const { client, groups, kv, state } = await startOwners();
    const [first, second, third] = groups;
    state.check = (group) => {
      if (group !== third) throw new NotOwnerError(group === first ? second : first);
    };
    kv.learn(new RangeMap(first!));
    client.send(request('SET', 'a', '1'));
    await eventually(() => kv.submitted >= 3, 'it is sent to and fro');
    kv.learn(new RangeMap(third!));
    assert.equal(await client.read(), '+OK');
    assert.ok(kv.submitted < 20, `${kv.submitted} attempts`);
  });

  test('refuses a transaction as a whole', async () => {
    const { client, state, moveAll, kv } = await startOwners();
    await client.call('WATCH', '{a}1');
    for (const command of [['MULTI'], ['SET', '{a}1', 'x'], ['APPEND', '{a}1', 'y'], ['GET', '{a}2']]) {
      await client.call(...command);
    }
    moveAll(0);
    assert.deepEqual(await client.call('EXEC'), ['+OK', 2, null]);
    assert.equal(state.values.size, 1);
    moveAll(1);
    kv.learn();
    assert.equal(await client.call('GET', '{a}1'), 'xy');
  });

  test('that names keys of two groups now is refused with CROSSSLOT', async () => {
    const { client, state, groups, kv, moveAll } = await startOwners();
    moveAll(0);
    kv.learn();
    state.givesHints = false;
    assert.equal(await client.call('MSET', 'a', '1', 'b', '2'), '+OK');
    // Slots: a 15495, b 3300.
    state.owners!.assign(slotKey(10_000), undefined, groups[1]!);
    client.send(request('MSET', 'a', '3', 'b', '4'));
    await eventually(() => kv.submitted >= 3, 'it is tried again');
    kv.learn();
    assert.match((await client.read()) as string, /^-CROSSSLOT /);
    assert.deepEqual([await client.call('GET', 'a'), await client.call('GET', 'b')], ['1', '2']);
  });
});

describe('a range that is being handed over', () => {
  test('holds back a connection that writes to it, with few attempts however long its pipeline is', async () => {
    const { client, state, kv } = await startOwners();
    state.fenced = [0, 16384];
    const before = kv.submitted;
    const count = 2_000;
    client.send(Buffer.concat(Array.from({ length: count }, () => request('INCR', 'n'))));
    const untilMs = performance.now() + 300;
    await eventually(() => performance.now() > untilMs, 'a while');
    assert.ok(kv.submitted - before <= 300, `${kv.submitted - before} attempts in 300 ms`);
    state.fenced = undefined;
    assert.deepEqual(
      await client.readMany(count),
      Array.from({ length: count }, (_, index) => index + 1),
    );
  });

  test('is probed with few commands of a long forwarded pipeline', async () => {
    const { client, state, leaderKv } = await startForwarding();
    state.fenced = [0, 16_384];
    const count = 2_000;
    client.send(Buffer.concat(Array.from({ length: count }, () => request('INCR', 'n'))));
    const untilMs = performance.now() + 400;
    await eventually(() => performance.now() > untilMs, 'a while');
    // All that was under way before anything was refused, one round, and probes.
    assert.ok(leaderKv.submitted <= count + 1024 + 600, `${leaderKv.submitted} requests in 400 ms`);
    state.fenced = undefined;
    assert.deepEqual(
      await client.readMany(count),
      Array.from({ length: count }, (_, index) => index + 1),
    );
  });

  test('lets nothing pass what is refused at once when it is tried again', async () => {
    const { client, state, kv } = await startOwners();
    let refusals = 2;
    state.check = () => {
      if (refusals-- > 0) throw new RangeBusyError('fenced');
    };
    kv.holding = true;
    client.send(Buffer.concat([request('SET', 'a', '1'), request('SET', 'a', '2'), request('APPEND', 'a', '3')]));
    await eventually(() => kv.submitted === 3, 'three commands');
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(3), ['+OK', '+OK', 2]);
    assert.equal(await client.call('GET', 'a'), '23');
  });

  test('lets what waits for it run in one go when it is handed over', () => {
    const state = new FakeState();
    const owner = { firstRefused: Number.POSITIVE_INFINITY, settled: () => undefined };
    const { spec } = new CommandTable(ALL_COMMANDS).find(Buffer.from('set'))!;
    const settings = { random: new SeededRandom(1), maxStringBytes: 1024 };
    const requests = [1, 2].map(
      (order) =>
        new CommandRequest({
          spec,
          args: ['SET', 'a', `${order}`].map((arg) => Buffer.from(arg)),
          db: 0,
          resp: 2,
          settings,
          owner,
          token: order,
        }),
    );
    let isFenced = true;
    state.check = () => {
      if (isFenced) throw new RangeBusyError('fenced');
    };
    assert.throws(() => requests[0]!.evaluate(new FakeView(state)), { code: 'RANGE_BUSY' });
    assert.throws(() => requests[1]!.evaluate(new FakeView(state)), { code: 'BEHIND' });
    isFenced = false;
    for (const one of requests) assert.equal(one.evaluate(new FakeView(state)), OK);
  });

  test('goes on serving reads, and does not hold back other connections', async () => {
    const { client, state, connect } = await startOwners();
    await client.call('SET', 'a', '1');
    state.fenced = [15_495, 15_496];
    const other = await connect();
    client.send(request('INCR', 'a'));
    assert.equal(await other.call('GET', 'a'), '1');
    assert.equal(await other.call('SET', 'b', '2'), '+OK');
    state.fenced = undefined;
    assert.equal(await client.read(), 2);
  });
});

describe('a new version of the directory', () => {
  test('routes a command only when everything that was routed by the old one is settled', async () => {
    const { client, kv, state, groups } = await startOwners();
    const asked: number[] = [];
    const submit = kv.submit.bind(kv);
    kv.submit = (group, operation) => {
      asked.push(group);
      submit(group, operation);
    };
    const old = kv.groupOf(slotKey(15_495));
    kv.holding = true;
    client.send(request('SET', 'a', '1'));
    await eventually(() => asked.length === 1, 'the first SET');
    state.owners!.assign(Buffer.alloc(0), undefined, groups[0]!);
    kv.learn();
    client.send(request('SET', 'a', '2'));
    const { client: other } = await start({ kv: new FakeKv() });
    assert.equal(await other.call('PING'), '+PONG');
    assert.deepEqual(asked, [old]);
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(2), ['+OK', '+OK']);
    assert.deepEqual(asked, [old, groups[0]]);
    assert.equal(await client.call('GET', 'a'), '2');
  });
});

describe('a node that has just lost leadership', () => {
  test('forwards nothing before it knows what became of the commands that it has', async () => {
    const state = new FakeState();
    const kv = new FakeKv({ nodeId: 1, state });
    const leaderKv = new FakeKv({ nodeId: 2, state });
    await start({ kv: leaderKv });
    const { client } = await start({ kv });
    kv.holding = true;
    kv.failNext = new NotLeaderError(undefined);
    client.send(request('SET', 'a', '1'));
    await eventually(() => kv.submitted === 1, 'the first SET');
    kv.leader = leaderKv;
    client.send(request('SET', 'a', '2'));
    const { client: other } = await start({ kv: new FakeKv() });
    assert.equal(await other.call('PING'), '+PONG');
    assert.equal(kv.forwarded, 0);
    kv.releaseHeld();
    assert.deepEqual(await client.readMany(2), ['+OK', '+OK']);
    assert.equal(await client.call('GET', 'a'), '2');
  });
});

describe('a forwarded batch', () => {
  test('is refused from the first request on that the leader does not own, and is sent again in order', async () => {
    const { client, state, kv } = await startForwarding();
    // The range is free again between two requests of the batch: the second must not run there, before the first.
    let evaluated = 0;
    const check = state.check.bind(state);
    state.check = (group, key, isWrite) => {
      const isFirst = evaluated++ === 0;
      if (isFirst) state.fenced = [0, 16384];
      try {
        check(group, key, isWrite);
      } finally {
        if (isFirst) state.fenced = undefined;
      }
    };
    client.send(Buffer.concat([request('SET', 'a', '1'), request('SET', 'a', '2'), request('PING')]));
    assert.deepEqual(await client.readMany(3), ['+OK', '+OK', '+PONG']);
    assert.equal(await client.call('GET', 'a'), '2');
    assert.equal(kv.forwarded, 3);
  });
});

describe('commands over all keys', () => {
  async function filled(count: number) {
    const owners = await startOwners();
    const names = Array.from({ length: count }, (_, index) => `key:${index}`);
    owners.client.send(Buffer.concat(names.map((key) => request('SET', key, 'v'))));
    await owners.client.readMany(count);
    return { ...owners, names: names.sort() };
  }

  test('SCAN returns every key that stays, however ranges move during the scan', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = new SeededRandom(seed);
        const { client, kv, state, groups, names } = await filled(200);
        const seen = new Set<string>();
        let cursor = '0';
        do {
          const [next, keys] = (await client.call('SCAN', cursor, 'COUNT', '20')) as [string, string[]];
          for (const key of keys) seen.add(key);
          cursor = next;
          state.givesHints = random.int(3) > 0;
          for (let moves = random.int(4); moves > 0; moves--) {
            const from = random.int(16_384);
            state.owners!.assign(slotKey(from), slotKey(from + 1 + random.int(16_384 - from)), groups[random.int(3)]!);
          }
          // Without hints only the directory can tell.
          if (random.int(3) === 0 || !state.givesHints) kv.learn();
        } while (cursor !== '0');
        assert.deepEqual([...seen].sort(), names);
        await servers.stop();
      }),
      { numRuns: 15 },
    );
  });

  test('KEYS, DBSIZE and RANDOMKEY find everything in many small ranges', async () => {
    const { client, kv, state, groups, names } = await filled(60);
    for (let slot = 0; slot < 16_384; slot += 256) {
      state.owners!.assign(slotKey(slot), slotKey(slot + 128), groups[(slot / 256) % 3]!);
    }
    for (const isKnown of [false, true]) {
      if (isKnown) kv.learn();
      assert.deepEqual(((await client.call('KEYS', '*')) as string[]).sort(), names);
      assert.equal(await client.call('DBSIZE'), names.length);
      assert.ok(names.includes((await client.call('RANDOMKEY')) as string));
    }
    await client.call('FLUSHALL');
    await client.call('SET', 'only', '1');
    assert.equal(await client.call('RANDOMKEY'), 'only');
  });

  test('a cursor that stands for a border between groups goes on from there on another node', async () => {
    const { client, kv, state, groups, names } = await filled(100);
    state.owners!.assign(Buffer.from([0x72, 0, 0x20]), Buffer.from([0x72, 0, 0x30, 0x01, 0x61]), groups[2]!);
    kv.learn();
    const { client: second } = await start({ kv: new FakeKv({ state, groups: 3 }) });
    const seen: string[] = [];
    let cursor = '0';
    let turn = 0;
    do {
      const [next, keys] = (await [client, second][turn++ % 2]!.call('SCAN', cursor, 'COUNT', '9')) as [
        string,
        string[],
      ];
      seen.push(...keys);
      cursor = next;
      assert.ok(turn < 200, 'a scan ends');
    } while (cursor !== '0');
    assert.deepEqual([...new Set(seen)].sort(), names);
  });

  test('a page that ends at a border gives a cursor for the border, which repeats nothing elsewhere', async () => {
    const { client, kv, state, groups, names } = await filled(100);
    const border = Buffer.from([0x72, 0, 0x20]);
    state.owners!.assign(border, slotKey(0x3000), groups[2]!);
    kv.learn();
    const before = [...state.values.values()].filter(({ key }) => Buffer.compare(key, border) < 0).length;
    assert.ok(before > 0 && before < names.length);
    const { client: second } = await start({ kv: new FakeKv({ state, groups: 3 }) });
    const [cursor, keys] = (await client.call('SCAN', '0', 'COUNT', String(before))) as [string, string[]];
    assert.equal(keys.length, before);
    const [end, rest] = (await second.call('SCAN', cursor, 'COUNT', '1000')) as [string, string[]];
    assert.equal(end, '0');
    assert.deepEqual([...keys, ...rest].sort(), names);
  });

  test('FLUSHDB deletes everything though the directory is old, range by range', async () => {
    const { client, kv, state, groups } = await filled(60);
    for (let slot = 0; slot < 16_384; slot += 2048) {
      state.owners!.assign(slotKey(slot), slotKey(slot + 1024), groups[(slot / 2048) % 3]!);
    }
    client.send(request('FLUSHDB'));
    await eventually(() => kv.submitted > 64, 'a range is tried again');
    kv.learn();
    assert.equal(await client.read(), '+OK');
    assert.equal(state.values.size, 0);
  });

  test('a flush that reached only some ranges does not say that nothing was changed', async () => {
    const { client, state } = await startOwners({ commandTimeoutMs: 50 });
    state.fenced = [0, 100];
    await client.call('SET', 'a', '1');
    assert.match((await client.call('FLUSHDB')) as string, /^-UNKNOWN not all ranges could be flushed/);
    assert.equal(state.values.size, 0);
  });

  test('wait while a range is handed over, and say so when it takes too long', async () => {
    const { client, state, kv } = await startOwners({ commandTimeoutMs: 60 });
    state.givesHints = false;
    state.owners = new RangeMap(kv.dataGroups()[2]!);
    assert.match((await client.call('KEYS', '*')) as string, /^-TRYAGAIN the keys are moving/);
    assert.match((await client.call('FLUSHALL')) as string, /^-(TRYAGAIN|UNKNOWN) /);
    kv.learn();
    assert.deepEqual(await client.call('KEYS', '*'), []);
  });
});
