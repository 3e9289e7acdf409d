/** Space of expired fields of hashes that nobody writes to any more: commands, the leader's maintenance and a store together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Effects, EvaluationContext, redisExpiryWork } from '../../../../src/adapter/redis/command/index.ts';
import { dataCommands } from '../../../../src/adapter/redis/commands/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import type { KeyView } from '../../../../src/kv/index.ts';
import { Maintenance } from '../../../../src/kv/leader/maintenance.ts';
import { type HlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';
import { LoneGroup } from '../../../support/lone-group.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

class Group extends LoneGroup {
  readonly memory: MemoryStore;
  readonly errors: unknown[] = [];
  private readonly random = new SeededRandom(1);

  constructor() {
    const memory = new MemoryStore();
    super({}, memory);
    this.memory = memory;
    const { executor, store, scheduler } = this;
    const onError = (error: unknown) => this.errors.push(error);
    new Maintenance([{ executor, store }], scheduler, {}, onError, redisExpiryWork(this.random)).start();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.scheduler.advance(500);
      for (let round = 0; round < 40; round++) {
        await Promise.resolve();
        this.settle();
      }
    }
  }

  /** Runs a command that only reads over everything that the store has as of a moment. */
  async readAt(readTs: HlcTimestamp, name: string, ...args: string[]): Promise<Reply> {
    const { rows, next } = await this.memory.scan({
      start: Buffer.of(0),
      end: Buffer.of(0xff),
      readTs,
      limit: 100_000,
    });
    assert.equal(next, undefined);
    const byKey = new Map(rows.map((row) => [row.key.toString('latin1'), row]));
    const get = (key: Buffer) => byKey.get(key.toString('latin1'));
    const view = { ts: readTs, get } as unknown as KeyView;
    const { handler } = dataCommands.find((command) => command.name === name)!;
    assert.equal(handler?.kind, 'data');
    const ctx = new EvaluationContext(view, 0, 2, { random: this.random, maxStringBytes: 1 << 20 }, new Effects());
    return handler.run(
      ctx,
      [name, ...args].map((text) => Buffer.from(text)),
    );
  }

  now(): HlcTimestamp {
    return this.executor.clock.now();
  }

  command(name: string, ...args: string[]): Reply {
    const { handler } = dataCommands.find((command) => command.name === name)!;
    assert.equal(handler?.kind, 'data');
    let answer: Reply | Error | undefined;
    this.executor.submit({
      evaluate: (view) =>
        handler.run(
          new EvaluationContext(view, 0, 2, { random: this.random, maxStringBytes: 1 << 20 }, new Effects()),
          [name, ...args].map((text) => Buffer.from(text)),
        ),
      complete: (error, reply) => {
        answer = error ?? (reply as Reply);
      },
    });
    this.settle();
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error(`${name} was not answered`);
    return answer;
  }
}

test('expired fields of a hash that nobody changes go from the store by themselves', async () => {
  const group = new Group();
  const fields = Array.from({ length: 1_200 }, (_, n) => [`field ${n}`, `${n}`]).flat();
  group.command('hset', 'h', ...fields);
  const short = Array.from({ length: 1_100 }, (_, n) => `field ${n}`);
  group.command('hpexpire', 'h', '1000', 'FIELDS', '1100', ...short);
  const rowsBefore = group.memory.liveKeys();
  assert.ok(rowsBefore > 1_200, `${rowsBefore} rows`);
  await group.pass(2_000);
  assert.equal(group.command('hlen', 'h'), 100);
  assert.ok(group.memory.liveKeys() > 1_100);
  await group.pass(130_000);
  assert.ok(group.memory.liveKeys() < 130, `${group.memory.liveKeys()} rows are left`);
  assert.equal(group.command('hlen', 'h'), 100);
  assert.equal(group.command('hget', 'h', 'field 3'), null);
  assert.equal((group.command('hget', 'h', 'field 1150') as Buffer).toString(), '1150');
  assert.deepEqual(group.errors, []);
});

test('a reader of the past sees the fields that were there then, also when they were purged since', async () => {
  const group = new Group();
  const names = Array.from({ length: 300 }, (_, n) => `field ${n}`);
  group.command('hset', 'h', ...names.flatMap((name, n) => [name, `${n}`]));
  group.command('hpexpire', 'h', '1000', 'FIELDS', '200', ...names.slice(0, 200));
  group.command('hpexpire', 'h', '3000', 'FIELDS', '50', ...names.slice(200, 250));
  const moments: { readonly ts: HlcTimestamp; readonly fields: number }[] = [];
  const remember = (fields: number) => moments.push({ ts: group.now(), fields });
  remember(300);
  await group.pass(1_500);
  remember(100);
  await group.pass(2_500);
  remember(50);
  const rowsBefore = group.memory.liveKeys();
  await group.pass(130_000);
  remember(50);
  assert.ok(group.memory.liveKeys() < rowsBefore - 200, 'what has expired was purged');
  for (const { ts, fields } of moments) {
    assert.equal(await group.readAt(ts, 'hlen', 'h'), fields);
    const all = (await group.readAt(ts, 'hkeys', 'h')) as Buffer[];
    assert.deepEqual(all.map(String).sort(), names.slice(300 - fields).sort());
    assert.equal((await group.readAt(ts, 'hget', 'h', 'field 3')) === null, fields < 300);
  }
});
