import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { createKeyServices, type KeyServices } from '../../src/adapter/grpc/index.ts';
import type { Calls } from '../../src/client/calls.ts';
import { KvorumClient, KvorumClientError } from '../../src/client/index.ts';
import { scanPages } from '../../src/client/scan.ts';
import { SessionToken } from '../../src/client/session-token.ts';
import { LeaderUnavailableError } from '../../src/kv/contract/errors.ts';
import type { KvService } from '../../src/kv/contract/service.ts';
import { groupId, SeededRandom, SystemClock, SystemScheduler } from '../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import { until } from '../support/until.ts';
import { MemoryTransactions } from './memory-transactions.ts';

const IDLE_MS = 150;

/** A node that has nothing but the services: its keys are a map of transactions, and what else it is asked fails as it is told to. */
class Server {
  readonly store: MemoryTransactions;
  readonly failures: Error[] = [];
  asked = 0;
  address = '';
  private readonly grpc = new grpc.Server();
  private readonly services: KeyServices;

  constructor(store: MemoryTransactions) {
    this.store = store;
    const kv = {
      nodeId: 1,
      // Every key in a group of its own.
      groupOf: (key: Buffer) => groupId(1 + (key.at(-1) ?? 0)),
      stretchAt: (key: Buffer) => ({ group: groupId(1 + (key.at(-1) ?? 0)), end: undefined }),
      servesLocally: () => true,
      onForward: () => undefined,
      submit: (
        _group: number,
        operation: { evaluate(view: object): unknown; complete(error?: Error, reply?: unknown): void },
      ) => {
        this.asked++;
        const failure = this.failures.shift();
        if (failure !== undefined) operation.complete(failure);
        else
          this.store
            .run({}, (view) => operation.evaluate(view))
            .then(({ reply }) => operation.complete(undefined, reply));
      },
    } as unknown as KvService;
    this.services = createKeyServices({
      kv,
      transactions: store,
      clock: new SystemClock(),
      scheduler: new SystemScheduler(),
      random: new SeededRandom(3),
      sessions: { idleTimeoutMs: IDLE_MS, maxOpen: 50 },
    });
    this.services.addTo(this.grpc);
  }

  async start(): Promise<void> {
    const port = await new Promise<number>((resolve, reject) => {
      this.grpc.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.address = `127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    await this.services.close();
    this.grpc.forceShutdown();
  }
}

describe('the client', () => {
  let store: MemoryTransactions;
  let server: Server;
  let client: KvorumClient;
  beforeEach(async () => {
    store = new MemoryTransactions();
    server = new Server(store);
    await server.start();
    client = new KvorumClient({ endpoints: [server.address], timeoutMs: 3_000 });
  });
  afterEach(async () => {
    client.close();
    await server.stop();
  });

  test('runs a function as a transaction over any keys', async () => {
    await client.transaction(async (t) => {
      await t.put('a', '10');
      await t.put('b', '20');
      assert.equal((await t.get('a'))?.toString(), '10');
    });
    const sum = await client.transaction(async (t) => {
      let total = 0;
      for await (const { value } of t.scan()) total += Number(value);
      await t.delete('a');
      const left: string[] = [];
      for await (const { key } of t.scan({ reverse: true })) left.push(key.toString());
      assert.deepEqual(left, ['b']);
      return total;
    });
    assert.equal(sum, 30);
    assert.deepEqual([...store.rows.keys()], ['kb']);
  });

  test('begins a transaction again that lost, with the age of the first attempt', async () => {
    await client.put('n', '0');
    let runs = 0;
    const add = () =>
      client.transaction(async (t) => {
        runs++;
        const value = Number(await t.get('n'));
        await t.put('n', String(value + 1));
      });
    await Promise.all(Array.from({ length: 8 }, add));
    assert.equal((await client.get('n'))?.toString(), '8');
    assert.ok(runs > 8, 'none of them lost: the test shows nothing');
    const again = store.begun.filter(({ ageTs }) => ageTs !== undefined);
    assert.equal(again.length, runs - 8);
  });

  test('does nothing when the function throws, and when it hides that a call failed', async () => {
    await assert.rejects(
      client.transaction(async (t) => {
        await t.put('a', '1');
        throw new Error('not enough money');
      }),
      /not enough money/,
    );
    const tooLong = Buffer.alloc(40_000);
    await assert.rejects(
      client.transaction(async (t) => {
        await t.put('a', '1');
        await t.put(tooLong, 'x').catch(() => undefined);
      }),
      { code: 'INVALID_ARGUMENT' },
    );
    assert.equal(store.rows.size, 0);
    assert.equal(store.commits, 0);
  });

  test('asks for the outcome of a commit until it is known', async () => {
    const unknown = new OutcomeUnknownError('lost');
    store.failures.push({ error: unknown, done: true }, { error: unknown, done: false });
    await client.transaction(async (t) => t.put('a', '1'));
    assert.equal(store.commits, 1);
    assert.equal(store.begun.length, 1);
    assert.equal((await client.get('a'))?.toString(), '1');
  });

  test('says that an outcome is unknown when it stays so, and never runs the function again', async () => {
    for (let times = 0; times < 1_000; times++)
      store.failures.push({ error: new OutcomeUnknownError('lost'), done: true });
    let runs = 0;
    const work = client.transaction(
      async (t) => {
        runs++;
        await t.put('a', '1');
      },
      { timeoutMs: 1_500 },
    );
    await assert.rejects(work, (error: KvorumClientError) => {
      assert.ok(error instanceof KvorumClientError);
      assert.equal(error.code, 'OUTCOME_UNKNOWN');
      return error.isUnknown;
    });
    assert.equal(runs, 1);
  });

  test('gives a transaction up that nobody uses, and begins it again when it is used after all', async () => {
    let runs = 0;
    await client.transaction(async (t) => {
      await t.put('a', String(++runs));
      await until(() => runs > 1 || store.rolledBack > 0);
      await t.put('b', 'x');
    });
    assert.equal(runs, 2);
    assert.equal((await client.get('a'))?.toString(), '2');
  });

  test('does a step over several groups as one transaction', async () => {
    const { succeeded, values } = await client.step({
      if: [{ key: 'a', exists: false }],
      do: [{ put: 'a', value: '1' }, { put: 'b', value: '2' }, { get: 'a' }],
    });
    assert.equal(succeeded, true);
    assert.equal(values[2]?.value.toString(), '1');
    assert.equal(server.asked, 0);
    assert.equal(store.rows.size, 2);
  });

  test('asks again what did nothing, and not what may have happened', async () => {
    server.failures.push(new LeaderUnavailableError('an election'), new LeaderUnavailableError('an election'));
    await client.put('a', '1');
    assert.equal(server.asked, 3);
    server.failures.push(new OutcomeUnknownError('lost'));
    await assert.rejects(client.put('a', '2'), { code: 'OUTCOME_UNKNOWN', disposition: 'unknown' });
    assert.equal(server.asked, 4);
  });

  test('ends a call when its signal says so or its time is over', async () => {
    const abort = new AbortController();
    server.failures.push(...Array.from({ length: 1_000 }, () => new LeaderUnavailableError('an election')));
    const given = assert.rejects(client.put('a', '1', { signal: abort.signal }), KvorumClientError);
    await until(() => server.asked > 1);
    abort.abort();
    await given;
    await assert.rejects(client.put('a', '1', { timeoutMs: 60 }), KvorumClientError);
    client.close();
    await assert.rejects(client.get('a'), { code: 'CLOSED' });
  });

  test('goes to another node when one is gone', async () => {
    const other = new Server(store);
    await other.start();
    const both = new KvorumClient({ endpoints: [server.address, other.address], timeoutMs: 3_000 });
    await both.put('a', '1');
    const first = server.asked > 0 ? server : other;
    await first.stop();
    assert.equal((await both.get('a'))?.toString(), '1');
    await both.transaction(async (t) => t.put('b', '2'));
    await (first === server ? other : server).stop();
    await assert.rejects(both.get('a', { timeoutMs: 200 }), { disposition: 'wait' });
    both.close();
    client.close();
  });
});

describe('a scan', () => {
  const row = (key: string) => ({
    key: Buffer.from(key),
    value: Buffer.from(key),
    version: { ms: 1, counter: 0 },
    expiresAtMs: 0,
  });
  const page = (start: string, end: string | undefined, ...keys: string[]) => ({
    rows: keys.map(row),
    servedStart: Buffer.from(start),
    ...(end === undefined ? {} : { servedEnd: Buffer.from(end) }),
    servedTs: { ms: 7, counter: 1 },
    sessionToken: Buffer.from(start),
  });
  /** What a scan from b to f makes of pages. */
  const scan = async (
    pages: readonly object[],
    options: { reverse?: boolean; limit?: number } = {},
  ): Promise<string> => {
    const calls = {
      stream: async function* () {
        yield* pages;
      },
    } as unknown as Calls;
    let keys = '';
    const source = { calls, service: 'RawKV', session: undefined } as const;
    for await (const { rows } of scanPages(source, { start: 'b', end: 'f', ...options })) {
      for (const { key } of rows) keys += key;
    }
    return keys;
  };

  test('is whole when its pages join from one end to the other', async () => {
    assert.equal(await scan([page('b', 'd', 'b', 'c'), page('d', 'f', 'e')]), 'bce');
    assert.equal(await scan([page('d', 'f', 'e'), page('b', 'd', 'c', 'b')], { reverse: true }), 'ecb');
    assert.equal(await scan([page('b', 'd', 'b', 'c')], { limit: 2 }), 'bc');
  });

  test('fails rather than leave a part out', async () => {
    const refused = { code: 'SCAN_INCOMPLETE' };
    await assert.rejects(scan([page('c', 'f', 'c')]), refused);
    await assert.rejects(scan([page('b', 'd', 'b'), page('e', 'f', 'e')]), refused);
    await assert.rejects(scan([page('b', 'd', 'b')]), refused);
    await assert.rejects(scan([page('b', 'd', 'b')], { reverse: true }), refused);
    await assert.rejects(scan([]), refused);
  });

  test('is as of one timestamp however often it is opened again, unless it is linearizable', async () => {
    for (const [consistency, session, first, later] of [
      [undefined, undefined, undefined, undefined],
      [{ maxStalenessMs: 10 }, undefined, { maxStalenessMs: 10 }, { exact: { ms: 7, counter: 1 } }],
      [undefined, new SessionToken('YQ=='), { sessionToken: Buffer.from('a') }, { exact: { ms: 7, counter: 1 } }],
      ['anyReplica', undefined, { anyReplica: true }, { anyReplica: true }],
    ] as const) {
      const asked: unknown[] = [];
      const calls = {
        stream: async function* (_call: object, request: () => object) {
          asked.push((request() as { consistency?: object }).consistency);
          yield page('b', 'd', 'b');
          asked.push((request() as { consistency?: object }).consistency);
          yield page('d', 'f', 'e');
        },
      } as unknown as Calls;
      const source = { calls, service: 'RawKV', session } as const;
      const options = { start: 'b', end: 'f', ...(consistency === undefined ? {} : { consistency }) };
      for await (const { servedTs } of scanPages(source, options)) assert.equal(servedTs, (7n << 16n) | 1n);
      assert.deepEqual(asked, [first, later]);
      if (session !== undefined) assert.equal(session.text, Buffer.from('d').toString('base64'));
    }
  });
});
