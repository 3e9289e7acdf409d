/** The state machine and the executor on the real store, over databases in memory that crash on request. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { encodePurge, encodeSetGc } from '../../src/kv/entry/entry.ts';
import { groupId, SeededRandom, timestampOfMs } from '../../src/platform/index.ts';
import type { CommittedEntry } from '../../src/raftengine/contract/types.ts';
import { EntryKind } from '../../src/raftengine/core/types.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { ASSIGN_ALL, bytes, CONF, LoneGroup } from '../support/lone-group.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const KEYS = ['a', 'b', 'c', 'd'];

interface Replica {
  readonly levels: SimulatedLevels;
  readonly flushBytes: number;
  store: GroupStore;
  machine: GroupStateMachine;
}

async function openReplica(
  flushBytes: number,
  levels = new SimulatedLevels(),
  counterClassOf?: () => number,
): Promise<Replica> {
  const store = await openGroupStore({
    location: 'group',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new MemoryDisk(),
    limits: { flushBytes, flushIntervalMs: 5, inlineBytes: 8 },
    ...(counterClassOf === undefined ? {} : { counterClassOf }),
  });
  return { levels, flushBytes, store, machine: new GroupStateMachine({ store, initialConf: CONF }) };
}

/** What a leader wrote into its log while clients did this and that. */
function recordLog(seed: number, turns: number): CommittedEntry[] {
  const random = new SeededRandom(seed);
  const bed = new LoneGroup();
  const pick = (): string => KEYS[random.int(KEYS.length)]!;
  for (let turn = 0; turn < turns; turn++) {
    for (let count = random.int(6); count > 0; count--) {
      const kind = random.int(8);
      if (kind < 2) bed.incr(pick());
      else if (kind < 4) bed.set(pick(), 'v'.repeat(random.int(20)));
      else if (kind === 4) bed.set(pick(), 'soon', 1 + random.int(50));
      else if (kind === 5) bed.delete(pick());
      else if (kind === 6) bed.run((view) => view.deleteRange(bytes('b'), bytes('d')));
      else bed.run((view) => view.put(bytes(pick()), bytes('x'), 0n as typeof view.ts));
    }
    bed.clock.advance(random.int(20));
    const side = random.int(10);
    if (side === 0) void bed.executor.proposeMaintenance(() => encodeSetGc(timestampOfMs(bed.clock.nowMs() - 40)));
    else if (side === 1) {
      const seen = KEYS.flatMap((name) => {
        const latest = bed.store.latest(bytes(name));
        return latest === undefined ? [] : [{ key: bytes(name), commitTs: latest.commitTs }];
      });
      void bed.executor.proposeMaintenance((commitTs) => encodePurge(commitTs, seen));
    }
    if (random.int(2) === 0) bed.settle();
    else bed.scheduler.endTurn();
  }
  bed.settle();
  return [ASSIGN_ALL, ...bed.raft.log].map((payload, at) => {
    const kind = EntryKind.Normal;
    return { index: at + 1, term: 1 + Math.floor(at / 8), kind, payload, conf: undefined };
  });
}

/** Counting what a range delete covered goes on in the background; the digest includes the counters. */
async function settledDigest(store: GroupStore): Promise<string> {
  await store.settleCounters();
  return store.digest();
}

const visible = (store: GroupStore): (string | undefined)[] =>
  KEYS.map((name) => {
    const latest = store.latest(bytes(name));
    return latest === undefined || latest.isTombstone ? undefined : `${latest.commitTs}:${latest.value.toString()}`;
  });

describe('the state machine on the real store', () => {
  test('gives equal digests and results on three replicas, whatever they flush, collect and lose in crashes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1_000_000), async (seed) => {
        const log = recordLog(seed, 15);
        const random = new SeededRandom(seed);
        const reference = new LoneGroup();
        const replicas = [await openReplica(1), await openReplica(300), await openReplica(1 << 20)];
        const results: unknown[][] = replicas.map(() => []);
        for (const [which, replica] of replicas.entries()) {
          while (replica.machine.applied().index < log.length) {
            const from = replica.machine.applied().index;
            const entries = log.slice(from, from + 1 + random.int(5));
            results[which]!.length = from;
            results[which]!.push(...replica.machine.apply(entries));
            const event = random.int(8);
            if (event < 2) await replica.store.flush();
            if (event === 2) await replica.store.collectGarbage(1);
            if (event === 3 && which > 0) {
              await replica.levels.crash(random);
              Object.assign(replica, await openReplica(replica.flushBytes, replica.levels));
            }
          }
        }
        for (const { payload } of log) reference.raft.apply(payload);
        const digests = await Promise.all(replicas.map(({ store }) => settledDigest(store)));
        assert.equal(new Set(digests).size, 1, 'equal digests');
        assert.deepEqual(results[1], results[0]);
        assert.deepEqual(results[2], results[0]);
        for (const { store, machine } of replicas) {
          assert.deepEqual(visible(store), visible(reference.store));
          assert.equal(machine.maxTs, reference.stateMachine.maxTs);
          await store.close();
        }
      }),
      { numRuns: 40 },
    );
  });

  test('moves to another replica as a snapshot with the same digest', async () => {
    const log = recordLog(4711, 40);
    const source = await openReplica(200, new SimulatedLevels(), () => 0);
    source.machine.apply(log);
    const reader = await source.machine.openSnapshot(groupId(1));
    const target = await openReplica(200, new SimulatedLevels(), () => 0);
    target.machine.apply(log.slice(0, 3));
    const stage = await target.machine.stageSnapshot(groupId(1), reader.manifest);
    for (const at of stage.missing) await stage.receive(at, reader.frames(at));
    await reader.close();
    assert.deepEqual(await stage.finish(), source.machine.applied());
    await stage.install();
    assert.deepEqual(target.machine.applied(), source.machine.applied());
    assert.equal(target.machine.maxTs, source.machine.maxTs);
    assert.equal(await settledDigest(target.store), await settledDigest(source.store));
    await target.store.close();
    await source.store.close();
  });

  test('carries the executor: read-modify-writes, range deletes, scans and counts', async () => {
    const { store } = await openReplica(64, new SimulatedLevels(), () => 0);
    const bed = new LoneGroup({}, store);
    const counts = Array.from({ length: 30 }, () => bed.incr('hot'));
    bed.set('b', '1');
    bed.settle();
    assert.deepEqual(
      counts.map((outcome) => outcome.reply),
      Array.from({ length: 30 }, (_, at) => at + 1),
    );
    const flushed = bed.run((view) => {
      view.deleteRange(bytes('a'), bytes('z'));
      view.put(bytes('c'), bytes('after'), 0n as typeof view.ts);
    });
    const seen = bed.get('c');
    bed.settle();
    assert.equal(flushed.error, undefined);
    assert.equal(seen.reply, 'after');
    assert.equal(bed.get('hot').reply, undefined);
    const { rows } = await bed.executor.scan({ start: bytes('a'), end: bytes('z'), limit: 10 });
    assert.deepEqual(
      rows.map(({ key, value }) => [key.toString(), value.toString()]),
      [['c', 'after']],
    );
    assert.equal(await bed.executor.countKeys(0), 1);
    await store.close();
  });

  test('says when a key was deleted, under way and applied, and of a deleted range what it hides', async () => {
    const { store } = await openReplica(64, new SimulatedLevels(), () => 0);
    const bed = new LoneGroup({}, store);
    const deletedAt = () => {
      const outcome = bed.run((view) =>
        view.get(bytes('k')) === undefined ? view.deletedAt?.(bytes('k')) : undefined,
      );
      bed.settle();
      return outcome.reply;
    };
    assert.equal(deletedAt(), 0n, 'never there');
    bed.set('k', '1');
    bed.settle();
    bed.delete('k');
    const underWay = bed.run((view) => view.deletedAt?.(bytes('k')));
    bed.settle();
    const applied = deletedAt();
    assert.ok(typeof applied === 'bigint' && applied > 0n);
    assert.equal(underWay.reply, applied);
    const deleteAll = () => bed.run((view) => view.deleteRange(bytes('a'), bytes('z')));
    deleteAll();
    const hidden = bed.run((view) => view.deletedAt?.(bytes('k')));
    bed.settle();
    assert.equal(deletedAt(), applied, 'it was not there, so it is as it was');
    assert.equal(hidden.reply, applied);
    bed.set('k', '2');
    deleteAll();
    const came = bed.run((view) => view.deletedAt?.(bytes('k')));
    bed.settle();
    assert.ok(came.reply! > applied, 'it came, and went with the range');
    assert.equal(deletedAt(), came.reply);
    await store.close();
  });
});
