import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { openHash, openList } from '../../../../src/adapter/redis/bodies/index.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { EncodedReply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { alone } from '../../../../src/adapter/redis/request/cross-group.ts';
import { CommandRequest, type RequestOptions } from '../../../../src/adapter/redis/request/group-request.ts';
import type { QueuedData } from '../../../../src/adapter/redis/request/storage-keys.ts';
import { TransactionRequest } from '../../../../src/adapter/redis/request/transaction-requests.ts';
import { packRows, unpackRows } from '../../../../src/adapter/redis/server/evaluation-messages.ts';
import { EvaluationThread } from '../../../../src/adapter/redis/server/evaluation-thread.ts';
import type { LongEvaluation, LongOutcome } from '../../../../src/kv/index.ts';
import { hlcTimestamp, SeededRandom, SystemScheduler } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, type TestAccess } from '../bodies/memory-rows.ts';

const TS = hlcTimestamp(1_700_000_000_000n << 16n);
const table = new CommandTable(ALL_COMMANDS);
const scheduler = new SystemScheduler();

function requestOptions(owner = alone()): RequestOptions {
  return { resp: 2, settings: { random: new SeededRandom(1), maxStringBytes: 1024 }, owner, token: 0 };
}

function queued(...words: readonly string[]): QueuedData {
  const args = words.map(bytesOf);
  return { spec: table.resolve(args)!.spec, args, db: 0 };
}

const command = (...words: readonly string[]): CommandRequest =>
  new CommandRequest({ ...requestOptions(), ...queued(...words) });

/** Keys of a database in memory: a large hash, a large list, a string. */
function filled(): TestAccess {
  const access = accessTo();
  const hash = openHash(access, bytesOf('hash'));
  const list = openList(access, bytesOf('list'));
  for (let at = 0; at < 500; at++) {
    hash.set(bytesOf(`field ${at}`), bytesOf(`${at}`));
    list.pushLast([bytesOf(`element ${at}`)]);
  }
  hash.save();
  list.save();
  return access;
}

/** Adds all rows of a key. */
function addKey(evaluation: LongEvaluation, access: TestAccess, userKey: string): void {
  const head = access.storageKey(bytesOf(userKey));
  const rows = access.view
    .keys()
    .filter((key) => key.subarray(0, head.length).equals(head))
    .map((key) => ({ ...access.view.get(key)!, key }));
  for (let at = 0; at < rows.length; at += 100) evaluation.addRows(rows.slice(at, at + 100));
  evaluation.addObjects([head]);
}

const textOf = (outcome: LongOutcome): string => {
  assert.equal(outcome.kind, 'reply');
  const { reply } = outcome as LongOutcome & { readonly kind: 'reply' };
  assert.ok(reply instanceof EncodedReply);
  return reply.bytes.toString();
};

describe('rows on their way to another thread', () => {
  test('arrive as they were', () => {
    const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
    const stamp = fc.bigInt({ min: 0n, max: (1n << 62n) - 1n }).map((value) => hlcTimestamp(value));
    const row = fc.record({ key: bytes, value: bytes, expireTs: stamp, commitTs: stamp }, { noNullPrototype: true });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), (rows) => {
        const arrived = [...unpackRows(packRows(rows))].map(({ key, value, expireTs, commitTs }) => ({
          key,
          value,
          expireTs,
          commitTs,
        }));
        assert.deepEqual(arrived, rows);
      }),
    );
  });
});

describe('a thread for long reads', () => {
  const thread = new EvaluationThread(scheduler, 0);
  after(() => thread.end());

  test('answers with the bytes of the reply', async () => {
    const access = filled();
    const evaluation = thread.begin(command('HGETALL', 'hash'), TS)!;
    addKey(evaluation, access, 'hash');
    const text = textOf(await evaluation.evaluate());
    assert.ok(text.startsWith('*1000\r\n'));
    for (const at of [0, 77, 499]) assert.ok(text.includes(`\r\nfield ${at}\r\n$${`${at}`.length}\r\n${at}\r\n`));
    evaluation.end();
  });

  test('says which objects it needs besides, and knows what one does not have', async () => {
    const access = filled();
    const evaluation = thread.begin(command('EXISTS', 'hash', 'nothing', 'list'), TS)!;
    addKey(evaluation, access, 'hash');
    const first = await evaluation.evaluate();
    assert.deepEqual(first, { kind: 'missing', keys: [access.storageKey(bytesOf('nothing'))] });
    addKey(evaluation, access, 'nothing');
    addKey(evaluation, access, 'list');
    assert.equal(textOf(await evaluation.evaluate()), ':2\r\n');
    evaluation.end();
  });

  test('asks for a part of an object in a few rounds, and reads no more than that', async () => {
    const access = filled();
    const evaluation = thread.begin(command('LRANGE', 'list', '200', '219'), TS)!;
    let asked = 0;
    let rounds = 0;
    for (;;) {
      const outcome = await evaluation.evaluate();
      if (outcome.kind !== 'missing') {
        assert.ok(textOf(outcome).startsWith('*20\r\n$11\r\nelement 200\r\n'));
        break;
      }
      rounds++;
      asked += outcome.keys.length;
      const rows = outcome.keys.map((key) => ({ key, live: access.view.get(key) }));
      evaluation.addRows(rows.flatMap(({ key, live }) => (live === undefined ? [] : [{ ...live, key }])));
      evaluation.addKeys(outcome.keys);
    }
    const all = access.view.keys().length;
    assert.ok(rounds < 8 && asked < all / 4, `${asked} rows of ${all} in ${rounds} rounds`);
    evaluation.end();
  });

  test('evaluates several at a time, transactions too, and errors are replies', async () => {
    const access = filled();
    const transaction = new TransactionRequest(
      [],
      [queued('HLEN', 'hash'), queued('LLEN', 'hash'), queued('LINDEX', 'list', '250')],
      requestOptions(),
    );
    const all = [command('LRANGE', 'hash', '0', '-1'), command('LRANGE', 'list', '498', '-1'), transaction].map(
      (request) => thread.begin(request, TS)!,
    );
    for (const evaluation of all) for (const key of ['hash', 'list']) addKey(evaluation, access, key);
    const texts = await Promise.all(all.map(async (evaluation) => textOf(await evaluation.evaluate())));
    const wrongType = '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n';
    assert.deepEqual(texts, [
      wrongType,
      '*2\r\n$11\r\nelement 498\r\n$11\r\nelement 499\r\n',
      `*3\r\n:500\r\n${wrongType}$11\r\nelement 250\r\n`,
    ]);
    for (const evaluation of all) evaluation.end();
  });

  test('computes values that are built aside: it is given heads and bodies, and answers with rows', async () => {
    const access = filled();
    const { view } = access;
    const request = command('SORT', 'list', 'ALPHA', 'DESC', 'STORE', 'hash');
    const evaluation = thread.beginAside(request, TS)!;
    const asked: string[] = [];
    for (;;) {
      const outcome = await evaluation.evaluate();
      if (outcome.kind === 'missing') {
        const { missing } = outcome;
        asked.push(missing.kind);
        if (missing.kind === 'heads') for (const key of missing.keys) evaluation.addHead({ key, live: view.get(key) });
        else {
          const rows = view.keys().filter((key) => key.subarray(0, missing.head.length).equals(missing.head));
          evaluation.addRows(rows.slice(1).map((key) => ({ ...view.get(key)!, key })));
          evaluation.addBody(missing.head);
        }
        continue;
      }
      assert.equal(outcome.kind, 'result');
      const { reply, fresh, others } = (outcome as typeof outcome & { readonly kind: 'result' }).result;
      assert.equal((reply as EncodedReply).bytes.toString(), ':500\r\n');
      assert.deepEqual(
        others.map(({ key }) => key),
        [access.storageKey(bytesOf('hash'))],
      );
      for (const { key, value, expireTs } of [...fresh, ...others]) view.put(key, value!, expireTs);
      break;
    }
    evaluation.end();
    assert.deepEqual(asked, ['heads', 'body']);
    const sorted = openList(access, bytesOf('hash'));
    assert.deepEqual(
      [sorted.length, sorted.at(0)?.toString(), sorted.at(499)?.toString()],
      [500, 'element 99', 'element 0'],
    );

    const refused = thread.beginAside(command('SUNIONSTORE', 'new', 'list'), TS)!;
    for (const key of ['new', 'list'].map((name) => access.storageKey(bytesOf(name))))
      refused.addHead({ key, live: view.get(key) });
    const outcome = await refused.evaluate();
    assert.ok(outcome.kind === 'result' && outcome.result.others.length === 0);
    assert.ok((outcome.result.reply as EncodedReply).bytes.toString().startsWith('-WRONGTYPE '));
    refused.end();
  });

  test('does not evaluate what stands behind a refused request of its client', async () => {
    const owner = { ...alone(), firstRefused: 3 };
    const request = new CommandRequest({ ...requestOptions(owner), ...queued('GET', 'k') });
    request.order = 4;
    const evaluation = thread.begin(request, TS)!;
    const outcome = await evaluation.evaluate();
    assert.ok(outcome.kind === 'error' && outcome.error.name === 'BehindError');
    evaluation.end();
  });

  test('knows requests of Redis clients only', () => {
    assert.equal(thread.begin({ evaluate: () => 1, complete: () => {} }, TS), undefined);
  });

  test('fails what it has not answered when it ends, and another takes its place', async () => {
    const own = new EvaluationThread(scheduler, 0);
    const evaluation = own.begin(command('GET', 'k'), TS)!;
    const answer = assert.rejects(evaluation.evaluate(), /ended/);
    own.end();
    await answer;
    assert.throws(() => evaluation.addObjects([bytesOf('k')]), /ended/);
    evaluation.end();
    const next = own.begin(command('GET', 'k'), TS)!;
    addKey(next, filled(), 'k');
    assert.equal(textOf(await next.evaluate()), '$-1\r\n');
    next.end();
    own.end();
  });

  test('that cannot run says why', async () => {
    const broken = new EvaluationThread(scheduler, 0, '/does/not/exist.js');
    const evaluation = broken.begin(command('GET', 'k'), TS)!;
    await assert.rejects(evaluation.evaluate(), /Cannot find module/);
    evaluation.end();
    broken.end();
  });
});
