import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import { rawKvDefinition, transactionalKvDefinition } from '../../../src/adapter/grpc/definition.ts';
import { CODE_KEY, DISPOSITION_KEY, RETRY_KEY } from '../../../src/adapter/grpc/index.ts';
import { KvorumClient, type KvorumClientError, type KvorumSession, type StoredRow } from '../../../src/client/index.ts';
import { until } from '../../support/until.ts';
import { KvNodes } from './kv-nodes.ts';
import { ReflectedServer } from './reflected-server.ts';

async function keysOf(rows: AsyncIterable<StoredRow>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of rows) keys.push(key.toString());
  return keys;
}

async function rowsOf(rows: AsyncIterable<StoredRow>): Promise<StoredRow[]> {
  const found: StoredRow[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

/** One call without the client, to see what the wire says. */
function call(address: string, definition: grpc.ServiceDefinition, method: string, request: object): Promise<object> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = definition[method]!;
  return new Promise<object>((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, reply) => {
      if (error === null) resolve(reply as object);
      else reject(error);
    });
  }).finally(() => client.close());
}

/** Other tests may have the machine. */
const PATIENT = { timeoutMs: 60_000 };
const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];

describe('keys over gRPC', () => {
  let nodes: KvNodes;
  let client: KvorumClient;
  /** One for each node. */
  let each: KvorumClient[];
  before(async () => {
    nodes = await KvNodes.start();
    client = new KvorumClient({ endpoints: nodes.endpoints });
    each = nodes.endpoints.map((endpoint) => new KvorumClient({ endpoints: [endpoint] }));
  });
  after(async () => {
    for (const one of [client, ...each]) one.close();
    await nodes.stop();
  });
  beforeEach(() => client.deleteRange({}));

  test('are served by every node, whichever group has them', async () => {
    for (const key of ['apple', 'nut', 'plum']) {
      for (const [at, one] of each.entries()) {
        const version = await one.put(key, `${key} ${at}`);
        for (const other of each) {
          const found = await other.getStored(key);
          assert.equal(found?.value.toString(), `${key} ${at}`);
          assert.equal(found?.version, version);
        }
      }
    }
    assert.equal(await client.delete('nut'), true);
    assert.equal(await client.delete('nut'), false);
    assert.equal(await each[2]!.get('nut'), undefined);
  });

  test('may be any bytes, the empty one and the largest too, and neither Redis nor the catalog sees them', async () => {
    const odd = [
      Buffer.alloc(0),
      Buffer.from([0]),
      Buffer.from([0, 0x67]),
      Buffer.alloc(100, 0xff),
      Buffer.from('r\x00'),
    ];
    for (const key of odd) await client.put(key, key);
    for (const key of odd) assert.deepEqual(await client.get(key), key);
    const rows: Buffer[] = [];
    for await (const { key } of client.scan()) rows.push(key);
    assert.deepEqual(rows, [...odd].sort(Buffer.compare));
    await assert.rejects(client.put(Buffer.alloc(32 * 1024 + 1), 'x'), {
      code: 'INVALID_ARGUMENT',
      disposition: 'final',
    });
  });

  test('are read, written and deleted in batches over all groups', async () => {
    await client.putMany(LETTERS.map((key) => ({ key, value: key.toUpperCase() })));
    const values = await client.getMany(['z', 'a', 'missing', 'm', 'a']);
    assert.deepEqual(
      values.map((value) => value?.toString()),
      ['Z', 'A', undefined, 'M', 'A'],
    );
    await client.deleteMany(['a', 'm', 'z', 'nothing']);
    assert.equal((await keysOf(client.scan())).length, 23);
    await assert.rejects(
      client.putMany([
        { key: 'a', value: '1' },
        { key: 'a', value: '2' },
      ]),
      { code: 'INVALID_ARGUMENT' },
    );
  });

  test('are scanned in order through all groups, both ways, in part, and with a limit', async () => {
    await client.putMany(LETTERS.map((key) => ({ key, value: key.repeat(3) })));
    const reversed = [...LETTERS].reverse();
    for (const one of each) {
      assert.deepEqual(await keysOf(one.scan()), LETTERS);
      assert.deepEqual(await keysOf(one.scan({ reverse: true })), reversed);
      assert.deepEqual(await keysOf(one.scan({ start: 'f', end: 'r' })), LETTERS.slice(5, 17));
      assert.deepEqual(await keysOf(one.scan({ start: 'f', end: 'r', reverse: true })), LETTERS.slice(5, 17).reverse());
      assert.deepEqual(await keysOf(one.scan({ start: 'f', limit: 12 })), LETTERS.slice(5, 17));
      assert.deepEqual(await keysOf(one.scan({ end: 'q', limit: 12, reverse: true })), LETTERS.slice(4, 16).reverse());
      assert.deepEqual(await keysOf(one.scan({ start: 'c', end: 'c' })), []);
    }
    for await (const { value } of client.scan({ keysOnly: true, limit: 3 })) assert.equal(value.length, 0);
    for await (const { value } of client.scan({ prefix: 'q' })) assert.equal(value.toString(), 'qqq');
  });

  test('are scanned page after page without a hole', async () => {
    const many = Array.from({ length: 3_000 }, (_, at) => `${LETTERS[at % 26]}${String(at).padStart(5, '0')}`).sort();
    await client.putMany(many.map((key) => ({ key, value: 'v' })));
    assert.deepEqual(await keysOf(client.scan()), many);
    assert.deepEqual(await keysOf(client.scan({ reverse: true })), [...many].reverse());
    let seen = 0;
    for await (const { key } of client.scan()) {
      assert.equal(key.toString(), many[seen++]);
      if (seen === 700) break;
    }
    assert.equal(seen, 700);
  });

  test('live as long as they are given, and say until when', async () => {
    await client.put('short', 'x', { ttlMs: 60 });
    const beforeMs = Date.now();
    const found = await client.getStored('short');
    assert.ok(found === undefined || Math.abs(found.expiresAtMs! - beforeMs) < 2_000);
    await until('the value is gone', async () => (await client.get('short')) === undefined);
    await client.put('long', 'x');
    assert.equal((await client.getStored('long'))?.expiresAtMs, undefined);
  });

  test('are set when they are as expected, and only then', async () => {
    const first = await client.compareAndSet('lock', { absent: true }, 'mine');
    assert.ok(first.isSet);
    const second = await client.compareAndSet('lock', { absent: true }, 'yours');
    assert.ok(!second.isSet);
    assert.equal(second.current?.value.toString(), 'mine');
    assert.equal(second.current?.version, first.version);
    assert.equal((await client.compareAndSet('lock', { version: first.version }, 'again')).isSet, true);
    assert.equal((await client.compareAndSet('lock', { version: first.version }, 'late')).isSet, false);
    assert.equal((await client.compareAndSet('lock', { value: 'again' }, undefined)).isSet, true);
    assert.equal(await client.get('lock'), undefined);
    assert.equal((await client.compareAndSet('lock', { value: 'again' }, 'x')).isSet, false);
  });

  test('count right when many compare and set at once at different nodes', async () => {
    await client.put('zcount', '0');
    // Of those who try at once one gets through: this many take half the square of it.
    const adders = 12;
    const add = async (one: KvorumClient): Promise<void> => {
      for (;;) {
        const found = (await one.getStored('zcount', PATIENT))!;
        const value = String(Number(found.value) + 1);
        if ((await one.compareAndSet('zcount', { version: found.version }, value, PATIENT)).isSet) return;
      }
    };
    await Promise.all(Array.from({ length: adders }, (_, at) => add(each[at % 3]!)));
    assert.equal((await client.get('zcount'))?.toString(), String(adders));
  });

  test('change in one step under conditions', async () => {
    await client.put('b', '5');
    const step = {
      if: [
        { key: 'b', value: '5' },
        { key: 'c', exists: false },
      ],
      do: [{ put: 'c', value: 'new' }, { get: 'b' }, { delete: 'b' }],
      otherwise: [{ get: 'c' }],
    } as const;
    const first = await each[1]!.step(step);
    assert.equal(first.succeeded, true);
    assert.equal(first.values[1]?.value.toString(), '5');
    const second = await client.step(step);
    assert.equal(second.succeeded, false);
    assert.equal(second.values[0]?.value.toString(), 'new');
    assert.equal(await client.get('b'), undefined);
    const compare = (comparison: 'less' | 'greater' | 'notEqual', value: string) =>
      client.step({ if: [{ key: 'c', comparison, value }], do: [] }).then(({ succeeded }) => succeeded);
    assert.deepEqual(await Promise.all([compare('less', 'o'), compare('greater', 'o'), compare('notEqual', 'new')]), [
      true,
      false,
      false,
    ]);
  });

  test('change together over all groups in one step, and in transactions of several calls at any node', async () => {
    const step = {
      if: [{ key: 'a', exists: false }],
      do: [
        { put: 'a', value: '50' },
        { put: 'z', value: '50' },
        { put: 'm', value: '50' },
      ],
    };
    assert.equal((await each[1]!.step(step)).succeeded, true);
    assert.equal((await each[2]!.step(step)).succeeded, false);
    const names = ['a', 'm', 'z'];
    const transfer = (one: KvorumClient, from: string, to: string): Promise<void> =>
      one.transaction(async (t) => {
        const left = Number(await t.get(from)) - 1;
        const more = Number(await t.get(to)) + 1;
        await t.put(from, String(left));
        await t.put(to, String(more));
      });
    await Promise.all(
      Array.from({ length: 6 }, (_, at) => transfer(each[at % 3]!, names[at % 3]!, names[(at + 1) % 3]!)),
    );
    const sum = await client.transaction(async (t) => {
      let total = 0;
      for await (const { value } of t.scan()) total += Number(value);
      return total;
    });
    assert.equal(sum, 150);
  });

  test('are read with a bound, in a session and at a timestamp, from every node', async () => {
    const key = Buffer.from('read at');
    const put = (await call(nodes.endpoints[0]!, rawKvDefinition(), 'Put', { key, value: Buffer.from('1') })) as {
      readonly version: object;
      readonly sessionToken: Buffer;
    };
    interface Read {
      readonly value: { readonly value: Buffer };
      readonly stalenessMs?: unknown;
      readonly sessionToken: Buffer;
    }
    let sessionToken = put.sessionToken;
    for (const endpoint of nodes.endpoints) {
      const read = (consistency: object) =>
        call(endpoint, rawKvDefinition(), 'Get', { key, consistency }) as Promise<Read>;
      const mine = await read({ sessionToken });
      assert.equal(mine.value.value.toString(), '1');
      assert.ok(Buffer.compare(mine.sessionToken, sessionToken) >= 0);
      sessionToken = mine.sessionToken;
      assert.equal((await read({ exact: put.version })).value.value.toString(), '1');
      assert.ok(Number((await read({ maxStalenessMs: 5000 })).stalenessMs) <= 5000);
      const both = (await call(endpoint, rawKvDefinition(), 'BatchGet', {
        keys: [key, Buffer.from('absent')],
        consistency: { sessionToken },
      })) as { readonly values: readonly Read[] };
      assert.equal(both.values[0]?.value.value.toString(), '1');
    }
  });

  test('are read by client in every consistency, over all groups, and every answer says of when it is', async () => {
    const pairs = LETTERS.map((key) => ({ key, value: `${key}1` }));
    await client.putMany(pairs);
    const version = await client.put('a', 'a2');
    for (const one of each) {
      for (const consistency of [undefined, 'linearizable', 'anyReplica', { maxStalenessMs: 0 }] as const) {
        const options = consistency === undefined ? {} : { consistency };
        const read = await one.read('a', options);
        assert.equal(read.value?.value.toString(), 'a2', JSON.stringify(consistency));
        assert.ok(read.servedTs > 0n && read.stalenessMs !== undefined && read.stalenessMs < 5_000);
        const many = await one.readMany(['a', 'z', 'none'], options);
        assert.deepEqual(
          many.values.map((value) => value?.value.toString()),
          ['a2', 'z1', undefined],
        );
        assert.ok(many.servedTs > 0n && many.stalenessMs !== undefined);
        for (const reverse of [false, true]) {
          const keys = await keysOf(one.scan({ ...options, reverse }));
          assert.deepEqual(keys, reverse ? [...LETTERS].reverse() : LETTERS);
        }
      }
      for await (const page of one.pages({ limit: 1 })) assert.ok(page.servedTs > 0n && page.stalenessMs !== undefined);
      const before = { consistency: { at: version - 1n } };
      assert.equal((await one.get('a', before))?.toString(), 'a1');
      assert.equal((await one.getMany(['a', 'z'], before)).join(), 'a1,z1');
      const [row] = await rowsOf(one.scan({ ...before, limit: 1 }));
      assert.equal(row?.value.toString(), 'a1');
      const old = { consistency: { at: 1n }, timeoutMs: 5_000 };
      for (const call of [one.get('a', old), one.getMany(['a'], old), rowsOf(one.scan(old))]) {
        // Nothing was there then, or nobody remembers.
        await call.then(
          (found) =>
            assert.ok(found === undefined || (Array.isArray(found) && found.every((value) => value === undefined))),
          (error: KvorumClientError) => assert.equal(`${error.code} ${error.disposition}`, 'SNAPSHOT_TOO_OLD final'),
        );
      }
    }
  });

  test('show a session all that it did, on any node, and go on where another session was', async () => {
    let session = client.session();
    const seen = new Map<string, string>();
    for (let round = 0; round < 12; round++) {
      const one = each[round % 3]!.session(session.token);
      assert.ok(one.token >= session.token || round === 0);
      for (const [key, value] of seen)
        assert.equal((await one.get(key))?.toString(), value, `${key} in round ${round}`);
      const rows = await rowsOf(one.scan());
      assert.deepEqual(rows.map(({ key, value }) => [key.toString(), value.toString()]).sort(), [...seen].sort());
      const key = LETTERS[(round * 5) % 26]!;
      const value = String(round);
      if (round % 4 === 0) await one.put(key, value);
      else if (round % 4 === 1) await one.transaction((t) => t.put(key, value));
      else if (round % 4 === 2) await one.putMany([{ key, value }]);
      else await one.step({ do: [{ put: key, value }] });
      seen.set(key, value);
      session = one;
    }
    await session.delete('a');
    assert.equal(await each[1]!.session(session.token).get('a'), undefined);
    const found = await each[2]!.session(session.token).snapshot(async (view) => (await view.get('a')) ?? 'nothing');
    assert.equal(found, 'nothing');
  });

  test('bind a session to all that it was shown, in whichever way and whatever became of it', async () => {
    const keys = ['a', 'i', 'r'];
    const ways: Record<string, (session: KvorumSession) => Promise<unknown>> = {
      'a transaction that reads': (session) => session.transaction((t) => t.get('i'), PATIENT),
      'a transaction that scans': (session) => session.transaction((t) => rowsOf(t.scan()), PATIENT),
      'a transaction that reads and fails': (session) =>
        session.transaction(async (t) => assert.fail(`it was ${await t.get('i')}`), PATIENT).catch(() => undefined),
      'a transaction that scans and fails': (session) =>
        session.transaction(async (t) => assert.fail(`${await rowsOf(t.scan())}`), PATIENT).catch(() => undefined),
      'a transaction of a snapshot that reads and fails': (session) =>
        session
          .transaction(async (t) => assert.fail(`it was ${await t.get('i')}`), { ...PATIENT, snapshot: true })
          .catch(() => undefined),
      'a step that reads several groups': (session) => session.step({ do: keys.map((get) => ({ get })) }, PATIENT),
      'conditions over several groups': (session) =>
        session.step({ if: keys.map((key) => ({ key, exists: true })), do: [{ delete: 'a' }] }, PATIENT),
    };
    for (const [way, look] of Object.entries(ways)) {
      for (const isDelete of [false, true]) {
        await client.putMany(['a', 'i'].map((key) => ({ key, value: 'before' })));
        const other = each[1]!.session();
        if (isDelete) await other.delete('i');
        else await other.put('i', 'after');
        const session = each[0]!.session();
        await look(session);
        const [seen, done] = [session, other].map(({ token }) => Buffer.from(token, 'base64')) as [Buffer, Buffer];
        assert.ok(Buffer.compare(seen, done) >= 0, `${way} saw ${isDelete ? 'a delete' : 'a write'}`);
      }
    }
  });

  test('bind whoever commits a transaction that only read to what it was shown', async () => {
    const endpoint = nodes.endpoints[0]!;
    const [key, value] = [Buffer.from('i'), Buffer.from('x')];
    const ask = (method: string, request: object) =>
      call(endpoint, transactionalKvDefinition(), method, request) as Promise<{
        readonly transaction: Buffer;
        readonly sessionToken: Buffer;
      }>;
    const { transaction } = await ask('Begin', {});
    const { sessionToken } = (await call(endpoint, rawKvDefinition(), 'Put', { key, value })) as {
      readonly sessionToken: Buffer;
    };
    const shown = await ask('Get', { transaction, key });
    const ended = await ask('Commit', { transaction });
    for (const reply of [shown, ended]) assert.ok(Buffer.compare(reply.sessionToken, sessionToken) >= 0);
  });

  test('are read as of one timestamp over all groups, by transactions that only read', async () => {
    await client.putMany(['a', 'i', 'r'].map((key) => ({ key, value: '100' })));
    let isOver = false;
    const carry = async (one: KvorumClient, from: string, to: string): Promise<void> => {
      while (!isOver) {
        await one.transaction(async (t) => {
          await t.put(from, String(Number(await t.get(from)) - 1));
          await t.put(to, String(Number(await t.get(to)) + 1));
        }, PATIENT);
        await delay(20);
      }
    };
    const carrying = [carry(each[0]!, 'a', 'i'), carry(each[1]!, 'i', 'r')];
    try {
      for (let round = 0; round < 6; round++) {
        const consistency = ([undefined, { maxStalenessMs: 4_000 }, 'anyReplica'] as const)[round % 3];
        const options = consistency === undefined ? PATIENT : { ...PATIENT, consistency };
        const one = each[(round + 1) % 3]!;
        const sum = await one.snapshot(async (view) => {
          let total = 0;
          if (round % 2 === 0) for await (const { value } of view.scan()) total += Number(value);
          else for (const key of ['a', 'i', 'r']) total += Number(await view.get(key));
          return total;
        }, options);
        assert.equal(sum, 300);
        const many = await one.getMany(['a', 'i', 'r'], { ...PATIENT, consistency: { maxStalenessMs: 4_000 } });
        assert.equal(
          many.reduce((total, value) => total + Number(value), 0),
          300,
        );
      }
    } finally {
      isOver = true;
      await Promise.all(carrying);
    }
    const begin = { readOnly: { linearizable: true } };
    const { transaction } = (await call(nodes.endpoints[0]!, transactionalKvDefinition(), 'Begin', begin)) as {
      readonly transaction: Buffer;
    };
    const put = { transaction, key: Buffer.from('a'), value: Buffer.from('1') };
    await assert.rejects(
      call(nodes.endpoints[0]!, transactionalKvDefinition(), 'Put', put),
      (error: grpc.ServiceError) => {
        assert.equal(error.metadata.get(CODE_KEY)[0], 'READ_ONLY');
        return true;
      },
    );
  });

  test('can be read and written by a tool that knows nothing but server reflection', async () => {
    const tool = await ReflectedServer.connect(nodes.endpoints[1]!);
    for (const name of ['kvorum.v1.Admin', 'kvorum.v1.RawKV', 'kvorum.v1.TransactionalKV']) {
      assert.ok(tool.services.includes(name), tool.services.join());
    }
    const written = await tool.call('kvorum.v1.RawKV', 'Put', { key: Buffer.from('x'), value: Buffer.from('y') });
    assert.ok((written as { version: { ms: number } }).version.ms > 0);
    const read = (await tool.call('kvorum.v1.RawKV', 'Get', {
      key: Buffer.from('x'),
      consistency: { maxStalenessMs: 0 },
    })) as { value: { value: Buffer }; servedTs: object };
    assert.equal(read.value.value.toString(), 'y');
    const step = await tool.call('kvorum.v1.TransactionalKV', 'Txn', {
      conditions: [{ key: Buffer.from('x'), comparison: 'EQUAL', exists: true }],
      success: [{ get: { key: Buffer.from('x') } }],
    });
    assert.equal((step as { succeeded: boolean }).succeeded, true);
    tool.close();
  });

  test('say what is wrong with a code, what happened, and when to ask again', async () => {
    const refused = (definition: grpc.ServiceDefinition, method: string, request: object) =>
      call(nodes.endpoints[0]!, definition, method, request).then(
        () => assert.fail('it must be refused'),
        ({ code, metadata }: grpc.ServiceError) => [
          code,
          metadata.get(CODE_KEY)[0],
          metadata.get(DISPOSITION_KEY)[0],
          metadata.get(RETRY_KEY)[0],
        ],
      );
    const { status } = grpc;
    const key = Buffer.from('a');
    assert.deepEqual(await refused(rawKvDefinition(), 'Get', { key, consistency: { sessionToken: key } }), [
      status.INVALID_ARGUMENT,
      'INVALID_CONSISTENCY',
      'final',
      undefined,
    ]);
    assert.ok(await call(nodes.endpoints[0]!, rawKvDefinition(), 'Get', { key, consistency: { linearizable: true } }));
    assert.deepEqual(await refused(rawKvDefinition(), 'CompareAndSet', { key }), [
      status.INVALID_ARGUMENT,
      'INVALID_ARGUMENT',
      'final',
      undefined,
    ]);
    const strange = { transaction: Buffer.from('0002ffffffff', 'hex'), key };
    assert.deepEqual(await refused(transactionalKvDefinition(), 'Get', strange), [
      status.NOT_FOUND,
      'TXN_NOT_FOUND',
      'final',
      undefined,
    ]);
  });

  test('are all there, once and in order, while their ranges move and are cut', async () => {
    const many = Array.from({ length: 600 }, (_, at) => `m${String(at).padStart(4, '0')}`);
    await client.putMany(many.map((key) => ({ key, value: '0' })));
    let isMoving = true;
    const errors: KvorumClientError[] = [];
    const written = new Map<string, number>();
    const write = async (one: KvorumClient, offset: number): Promise<void> => {
      for (let round = 1; isMoving; round++) {
        const key = many[(offset + round * 7) % 200]!;
        // Each writer has keys of its own, so that it knows what they must be.
        const mine = `${key}-${offset}`;
        await one.put(mine, String(round)).then(
          () => written.set(mine, round),
          (error: KvorumClientError) => errors.push(error),
        );
        assert.equal((await one.get(mine))?.toString(), String(round));
      }
    };
    const scan = async (one: KvorumClient, reverse: boolean): Promise<void> => {
      while (isMoving) {
        const found = (await keysOf(one.scan({ prefix: 'm', reverse }))).filter((key) => !key.includes('-'));
        assert.deepEqual(found, reverse ? [...many].reverse() : many);
      }
    };
    const work = [
      write(each[0]!, 0),
      write(each[1]!, 1),
      write(each[2]!, 2),
      scan(each[0]!, false),
      scan(each[2]!, true),
    ];
    try {
      await nodes.split('m0200');
      await nodes.move('m0300', 3);
      await nodes.move('m0100', 1);
    } finally {
      isMoving = false;
      await Promise.all(work);
    }
    assert.deepEqual(errors, []);
    assert.ok(written.size > 20);
    for (const [key, round] of written) assert.equal((await client.get(key))?.toString(), String(round));
  });
});
