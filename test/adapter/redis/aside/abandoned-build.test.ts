/** A build that is given up: its rows, which no head names, are collected by the store, and nothing else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AsideParts, buildAside } from '../../../../src/adapter/redis/aside/index.ts';
import type { CopyRows } from '../../../../src/adapter/redis/bodies/index.ts';
import { Effects, EvaluationContext } from '../../../../src/adapter/redis/command/index.ts';
import { dataCommands } from '../../../../src/adapter/redis/commands/index.ts';
import { bodyOf, incarnationIn, KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { OK, type Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import { encodeSetGc } from '../../../../src/kv/entry/index.ts';
import type { KeyView } from '../../../../src/kv/index.ts';
import { type HlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';
import type { GroupStore } from '../../../../src/store/index.ts';
import { openGroupStore } from '../../../../src/store/index.ts';
import { SimulatedLevels } from '../../../../src/store/level/simulated-level.ts';
import { LoneGroup } from '../../../support/lone-group.ts';
import { MemoryDisk } from '../../../support/memory-disk.ts';

const FIELDS = 2_500;
const ALL = { start: Buffer.of(0), end: Buffer.of(0xff), limit: 100_000 };
const headOf = (name: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(name));

class Group extends LoneGroup {
  slices = 0;
  private readonly random = new SeededRandom(5);

  private evaluate(view: KeyView, args: readonly string[], copyRows?: CopyRows): Reply {
    const { handler } = dataCommands.find(({ name }) => name === args[0])!;
    assert.equal(handler?.kind, 'data');
    const settings = { random: this.random, maxStringBytes: 1 << 20 };
    const ctx = new EvaluationContext(view, 0, 2, settings, new Effects(), undefined, undefined, copyRows);
    return handler.run(
      ctx,
      args.map((argument) => Buffer.from(argument)),
    );
  }

  private act<Result>(evaluate: (view: KeyView) => Result): Result {
    const outcome = this.run(evaluate);
    this.settle();
    return outcome.reply as Result;
  }

  command(...args: string[]): Reply {
    return this.act((view) => this.evaluate(view, args));
  }

  /** @param mostSlices later ones are not written */
  rename(from: string, to: string, mostSlices = Number.POSITIVE_INFINITY): Promise<Reply> {
    this.slices = 0;
    const { store, executor } = this;
    const parts = {
      clock: this.clock,
      scheduler: this.scheduler,
      stepTimeoutMs: 1_000,
      transactions: {
        run: async (_request: unknown, body: (view: KeyView) => unknown) => ({ reply: this.act(body) }),
        begin: async () => {
          const startTs = executor.clock.now();
          return {
            startTs,
            get: (key: Buffer) => store.get(key, startTs),
            scan: (request: { readonly start: Buffer; readonly end: Buffer; readonly limit: number }) =>
              store.scan({ ...request, readTs: startTs }),
            rollback: async () => {},
          };
        },
      } as unknown as AsideParts['transactions'],
      writeRows: async (rows) => {
        if (++this.slices > mostSlices) throw new Error('no leader');
        this.act((view) => {
          for (const { key, value, expireTs } of rows) view.put(key, value, expireTs);
        });
      },
    } satisfies AsideParts;
    return buildAside(parts, {
      heads: [headOf(from), headOf(to)],
      evaluate: (view, copyRows) => this.evaluate(view, ['rename', from, to], copyRows),
    });
  }

  /** Collects what no read at or above a moment after everything can see. */
  async collect(): Promise<void> {
    const threshold = this.executor.clock.now();
    void this.executor.proposeMaintenance(() => encodeSetGc(threshold));
    this.settle();
    assert.equal(this.store.gcThreshold, threshold);
    while (!(await this.store.collectGarbage(1_000)));
  }
}

/** Rows that are heads, of bodies that a head names, and of others. */
async function rowsOf(store: GroupStore, readTs: HlcTimestamp): Promise<{ named: number; lost: number }> {
  const { rows } = await store.scan({ ...ALL, readTs });
  const byKey = new Map(rows.map(({ key, value }) => [key.toString('latin1'), value]));
  let lost = 0;
  for (const { key } of rows) {
    const body = bodyOf(key);
    if (body === undefined) continue;
    const head = byKey.get(key.toString('latin1', 0, body.headLength));
    if (head === undefined || incarnationIn(head)?.equals(body.incarnation) !== true) lost++;
  }
  return { named: rows.length - lost, lost };
}

test('rows of a build that was given up are collected, and those of its source stay', async () => {
  const levels = new SimulatedLevels();
  const store = await openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new MemoryDisk(),
    bodies: { bodyOf, incarnationIn: (_head, value) => incarnationIn(value) },
  });
  const group = new Group({}, store);
  group.command('hset', 'a', ...Array.from({ length: FIELDS }, (_, nth) => [`f${nth}`, `${nth}`]).flat());
  const { named } = await rowsOf(store, group.executor.clock.now());
  await assert.rejects(group.rename('a', 'b', 2), /no leader/);
  const before = await rowsOf(store, group.executor.clock.now());
  assert.deepEqual(before, { named, lost: 2_000 });
  await group.collect();
  assert.deepEqual(await rowsOf(store, group.executor.clock.now()), { named, lost: 0 });
  assert.deepEqual([group.command('hlen', 'a'), group.command('exists', 'b')], [FIELDS, 0]);

  assert.equal(await group.rename('a', 'b'), OK);
  await group.collect();
  assert.deepEqual(await rowsOf(store, group.executor.clock.now()), { named, lost: 0 });
  assert.equal(group.command('exists', 'a'), 0);
  assert.equal(`${group.command('hget', 'b', 'f2499')}`, '2499');
  await store.close();
});
