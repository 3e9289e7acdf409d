import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { CorruptEntryError } from '../../src/kv/contract/errors.ts';
import { type Expectation, encodeBatch, encodePurge, encodeSetGc, type Mutation } from '../../src/kv/entry/entry.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, nodeId } from '../../src/platform/index.ts';
import type { CommittedEntry } from '../../src/raftengine/contract/types.ts';
import { type ConfState, EntryKind } from '../../src/raftengine/core/types.ts';
import { decodeManifest, encodeManifest } from '../../src/store/segments/manifest.ts';
import { ASSIGN_ALL, bytes, CONF } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));
const put = (unit: number, key: string, value: string, expire = 0): Mutation => ({
  unit,
  key: bytes(key),
  value: bytes(value),
  expireTs: ts(expire),
  end: undefined,
});
const remove = (unit: number, key: string): Mutation => ({
  unit,
  key: bytes(key),
  value: undefined,
  expireTs: ts(0),
  end: undefined,
});
const removeRange = (unit: number, start: string, end: string): Mutation => ({
  unit,
  key: bytes(start),
  value: undefined,
  expireTs: ts(0),
  end: bytes(end),
});
const expects = (unit: number, key: string, version: number): Expectation => ({
  unit,
  key: bytes(key),
  versionTs: ts(version),
});

class Machine {
  readonly store = new MemoryStore();
  readonly machine = new GroupStateMachine({ store: this.store, initialConf: CONF });

  constructor() {
    this.apply(ASSIGN_ALL);
  }

  apply(payload: Buffer, term = 1, conf?: ConfState): unknown {
    const index = this.machine.applied().index + 1;
    const kind = conf === undefined ? EntryKind.Normal : EntryKind.ConfChange;
    return this.machine.apply([{ index, term, kind, payload, conf }])[0];
  }

  batch(commitTs: number, mutations: readonly Mutation[], expectations: readonly Expectation[] = []): unknown {
    return this.apply(encodeBatch(ts(commitTs), 8, expectations, mutations));
  }

  value(key: string): string | undefined {
    const latest = this.store.latest(bytes(key));
    return latest === undefined || latest.isTombstone ? undefined : latest.value.toString();
  }
}

describe('apply', () => {
  test('writes a unit when every version it was computed from is still the latest', () => {
    const one = new Machine();
    assert.equal(one.batch(10, [put(0, 'a', '1')], [expects(0, 'a', 0)]), undefined);
    assert.equal(one.batch(20, [put(0, 'a', '2')], [expects(0, 'a', 10)]), undefined);
    assert.equal(one.value('a'), '2');
  });

  test('drops a unit as a whole when one expectation fails, and only that unit', () => {
    const one = new Machine();
    one.batch(10, [put(0, 'a', '1')]);
    const result = one.batch(
      20,
      [put(0, 'a', 'x'), put(0, 'b', 'x'), put(1, 'c', 'y')],
      [expects(0, 'b', 0), expects(0, 'a', 9)],
    );
    assert.deepEqual(result, new Map([[0, 'conflict']]));
    assert.equal(one.value('a'), '1');
    assert.equal(one.value('b'), undefined);
    assert.equal(one.value('c'), 'y');
  });

  test('checks all expectations against the state before the entry', () => {
    const one = new Machine();
    const result = one.batch(10, [put(0, 'a', '1'), put(1, 'b', '2')], [expects(0, 'b', 0), expects(1, 'a', 0)]);
    assert.equal(result, undefined);
  });

  test('takes a deleted key and a key that is expired at the commit timestamp for absent', () => {
    const one = new Machine();
    one.batch(10, [put(0, 'a', '1'), put(0, 'b', '1', 50)]);
    one.batch(20, [remove(0, 'a')]);
    assert.equal(one.batch(30, [put(0, 'c', '1')], [expects(0, 'a', 0)]), undefined);
    assert.deepEqual(one.batch(49, [put(0, 'c', '2')], [expects(0, 'b', 0)]), new Map([[0, 'conflict']]));
    assert.equal(one.batch(50, [put(0, 'c', '3')], [expects(0, 'b', 0)]), undefined);
  });

  test('never writes a version at or below a newer one of the same key', () => {
    const one = new Machine();
    one.batch(100, [put(0, 'a', 'new')]);
    assert.deepEqual(one.batch(100, [put(0, 'a', 'same'), put(1, 'b', 'x')]), new Map([[0, 'conflict']]));
    assert.deepEqual(one.batch(50, [put(0, 'a', 'old'), put(1, 'c', 'x')]), new Map([[0, 'conflict']]));
    assert.deepEqual(one.batch(60, [removeRange(0, 'a', 'z')]), new Map([[0, 'conflict']]));
    assert.equal(one.value('a'), 'new');
    assert.equal(one.value('b'), 'x');
    assert.equal(one.value('c'), 'x');
    assert.equal(one.machine.maxTs, 100n);
  });

  test('lets a put survive a range delete of its own entry', () => {
    const one = new Machine();
    one.batch(10, [put(0, 'a', '1'), put(0, 'b', '1')]);
    one.batch(20, [removeRange(0, 'a', 'z'), put(0, 'b', '2')]);
    assert.equal(one.value('a'), undefined);
    assert.equal(one.value('b'), '2');
  });

  test('purges exactly the versions that the leader saw, if they are expired at the commit timestamp', () => {
    const one = new Machine();
    one.batch(10, [put(0, 'a', '1', 20), put(0, 'b', '1', 20), put(0, 'c', '1', 90), put(0, 'd', '1')]);
    one.batch(15, [put(0, 'b', '2'), put(0, 'f', '2', 25)]);
    const seen = ['a', 'a', 'b', 'c', 'd', 'e', 'f'].map((key) => ({ key: bytes(key), commitTs: ts(10) }));
    one.apply(encodePurge(ts(30), seen));
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => one.value(key)),
      [undefined, '2', '1', '1', undefined, '2'],
    );
  });

  test('raises the GC threshold and never lowers it', () => {
    const one = new Machine();
    one.apply(encodeSetGc(ts(50)));
    one.apply(encodeSetGc(ts(40)));
    assert.equal(one.store.gcThreshold, 50n);
  });

  test('stops the replica at an opcode, a flag or a unit that it does not know', () => {
    for (const damage of [
      (entry: Buffer) => entry.fill(0x77, 0, 1),
      (entry: Buffer) => entry.fill(2, 1, 2),
      (entry: Buffer) => entry.fill(200, 22, 26),
      (entry: Buffer) => entry.fill(99, 26, 27),
    ]) {
      const one = new Machine();
      const entry = encodeBatch(ts(10), 1, [], [put(0, 'a', '1')]);
      damage(entry);
      assert.throws(() => one.apply(entry), CorruptEntryError);
    }
  });

  test('remembers term, membership and the largest timestamp in the store', () => {
    const one = new Machine();
    const conf: ConfState = { ...CONF, voters: [nodeId(1), nodeId(2)], learners: [nodeId(7)], autoLeave: true };
    one.batch(10, [put(0, 'a', '1')]);
    one.apply(Buffer.alloc(0), 5, conf);
    const again = new GroupStateMachine({ store: one.store, initialConf: CONF });
    assert.deepEqual(again.applied(), { index: 3, term: 5, conf });
    assert.equal(again.maxTs, 10n);
  });

  test('gives equal digests on replicas, however they batch, flush and restart', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd');
    const unit = fc.nat(2);
    const expectation = fc.record({ unit, key, version: fc.nat(12) });
    const effect = fc.record({
      unit,
      key,
      kind: fc.constantFrom('put', 'expiring', 'delete', 'range'),
    });
    const entry = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constant('batch' as const),
          expectation: fc.array(expectation, { maxLength: 3 }),
          effects: fc.uniqueArray(effect, { maxLength: 3, selector: (one) => one.key }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('purge' as const),
          keys: fc.array(fc.record({ key, version: fc.nat(12) })),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('gc' as const), threshold: fc.nat(100) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 25 }), fc.nat(5), async (log, chunk) => {
        const payloads = log.map((one, at) => {
          const commitTs = at * 10 + 10;
          let payload: Buffer;
          if (one.kind === 'gc') payload = encodeSetGc(ts(one.threshold));
          else if (one.kind === 'purge') {
            payload = encodePurge(
              ts(commitTs),
              one.keys.map((row) => ({ key: bytes(row.key), commitTs: ts(row.version * 10) })),
            );
          } else {
            const effects = one.effects.map(({ unit, key, kind }): Mutation => {
              if (kind === 'put') return put(unit, key, `${key}${commitTs}`);
              if (kind === 'expiring') return put(unit, key, 'soon', commitTs + 25);
              return kind === 'delete' ? remove(unit, key) : removeRange(unit, key, 'c');
            });
            const seen = one.expectation.map((row) => expects(row.unit, row.key, row.version * 10));
            payload = encodeBatch(ts(commitTs), 3, seen, effects);
          }
          return payload;
        });
        const entries: CommittedEntry[] = [ASSIGN_ALL, ...payloads].map((payload, at) => {
          return { index: at + 1, term: 1 + (at >> 3), kind: EntryKind.Normal, payload, conf: undefined };
        });
        const digests: string[] = [];
        const results: unknown[][] = [];
        for (const step of [1, chunk + 2, log.length + 1]) {
          const store = new MemoryStore();
          let machine = new GroupStateMachine({ store, initialConf: CONF });
          const outcomes: unknown[] = [];
          for (let at = 0; at < entries.length; at += step) {
            outcomes.push(...machine.apply(entries.slice(at, at + step)));
            if (step === 1) await store.flush();
            else machine = new GroupStateMachine({ store, initialConf: CONF });
          }
          digests.push(await store.digest());
          results.push(outcomes);
        }
        assert.equal(new Set(digests).size, 1);
        assert.deepEqual(results[0], results[1]);
        assert.deepEqual(results[0], results[2]);
      }),
    );
  });
});

describe('a snapshot', () => {
  test('carries the state to another replica, with index, term and membership', async () => {
    const source = new Machine();
    const conf: ConfState = { ...CONF, voters: [nodeId(1), nodeId(3)] };
    for (let at = 1; at <= 50; at++) source.batch(at * 10, [put(0, `k${at}`, 'v'.repeat(100))]);
    source.apply(Buffer.alloc(0), 4, conf);
    const opening = source.machine.openSnapshot(groupId(1));
    source.apply(Buffer.alloc(0), 9, CONF);
    const reader = await opening;
    source.batch(9999, [put(0, 'later', 'x')]);
    // Of one moment, be it before or after what was applied while the copy was cut.
    const moments = [
      { index: 52, term: 4, conf },
      { index: 53, term: 9, conf: CONF },
    ];
    assert.ok(
      moments.some((moment) => isDeepStrictEqual(reader.meta, moment)),
      JSON.stringify(reader.meta),
    );
    const target = new Machine();
    target.batch(5, [put(0, 'old', 'x')]);
    const stage = await target.machine.stageSnapshot(groupId(1), reader.manifest);
    for (const at of stage.missing) await stage.receive(at, reader.frames(at));
    await reader.close();
    assert.deepEqual(await stage.finish(), reader.meta);
    assert.equal(target.value('old'), 'x', 'nothing shows before it is installed');
    await stage.install();
    assert.deepEqual(target.machine.applied(), reader.meta);
    assert.equal(target.machine.maxTs, 500n);
    assert.equal(target.value('old'), undefined);
    assert.equal(target.value('k50'), 'v'.repeat(100));
  });

  test('is refused when its manifest is damaged, or is that of another group', async () => {
    const source = new Machine();
    source.batch(10, [put(0, 'k', 'v')]);
    const { manifest } = await source.machine.openSnapshot(groupId(1));
    const { machine } = new Machine();
    await assert.rejects(machine.stageSnapshot(groupId(2), manifest), CorruptEntryError);
    const damaged = Buffer.from(manifest);
    damaged[20]! ^= 1;
    await assert.rejects(machine.stageSnapshot(groupId(1), damaged), { code: 'CORRUPT_SNAPSHOT' });
  });

  test('is refused when the copy is not what its manifest says', async () => {
    const source = new Machine();
    source.batch(10, [put(0, 'k', 'v')]);
    const reader = await source.machine.openSnapshot(groupId(1));
    const manifest = decodeManifest(reader.manifest, 'it');
    const lying = encodeManifest({ ...manifest, about: { ...manifest.about, term: 77 } });
    const target = new Machine();
    const stage = await target.machine.stageSnapshot(groupId(1), lying);
    for (const at of stage.missing) await stage.receive(at, reader.frames(at));
    await assert.rejects(stage.finish(), CorruptEntryError);
    assert.equal(target.machine.applied().index, 1);
  });
});

describe('leadership news', () => {
  test('that come before anybody listens are delivered to the listener', () => {
    const { machine } = new Machine();
    machine.onLeadership({ kind: 'serving', term: 3 });
    const heard: unknown[] = [];
    machine.listenToLeadership((event) => heard.push(event));
    machine.onLeadership({ kind: 'stopped', term: 3 });
    assert.deepEqual(heard, [
      { kind: 'serving', term: 3 },
      { kind: 'stopped', term: 3 },
    ]);
  });
});
