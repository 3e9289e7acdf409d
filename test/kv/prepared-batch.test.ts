/** Work on a large batch before it is applied changes nothing: neither its outcome nor what anybody sees meanwhile. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BatchUnderWay } from '../../src/kv/apply/batch.ts';
import { LockTable } from '../../src/kv/apply/lock-table.ts';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { EntryReader, encodeBatch } from '../../src/kv/entry/entry.ts';
import { hlcTimestamp } from '../../src/platform/index.ts';
import { type Entry, EntryKind } from '../../src/raftengine/core/types.ts';
import { ASSIGN_ALL, bytes, CONF } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const KEYS = ['a', 'b', 'c', 'd'] as const;
const UNITS = 3;

class Machine {
  readonly store = new MemoryStore();
  readonly machine = new GroupStateMachine({ store: this.store, initialConf: CONF });

  constructor() {
    this.apply(ASSIGN_ALL);
  }

  entry(payload: Buffer): Entry {
    return { index: this.machine.applied().index + 1, term: 1, kind: EntryKind.Normal, payload };
  }

  apply(payload: Buffer): unknown {
    return this.machine.apply([{ ...this.entry(payload), conf: undefined }])[0];
  }

  get rows() {
    return KEYS.map((key) => this.store.latest(bytes(key))).map((row) => row && [row.commitTs, row.value.toString()]);
  }
}

const key = fc.constantFrom(...KEYS);
const unit = fc.nat(UNITS - 1);
const batch = fc.record({
  commitTs: fc.integer({ min: 10, max: 40 }),
  expects: fc.array(fc.record({ unit, key, versionTs: fc.constantFrom(0, 10, 20) }), { maxLength: 6 }),
  mutations: fc.uniqueArray(fc.record({ unit, key, kind: fc.constantFrom('put', 'delete', 'range') }), {
    selector: (mutation) => mutation.key,
    maxLength: KEYS.length,
  }),
});

type Batch = typeof batch extends fc.Arbitrary<infer Value> ? Value : never;

const encoded = ({ commitTs, expects, mutations }: Batch): Buffer =>
  encodeBatch(
    ts(commitTs),
    UNITS,
    expects.map((expect) => ({ unit: expect.unit, key: bytes(expect.key), versionTs: ts(expect.versionTs) })),
    mutations.map((mutation) => ({
      unit: mutation.unit,
      key: bytes(mutation.key),
      value: mutation.kind === 'put' ? bytes(`${mutation.key} of ${commitTs}`) : undefined,
      expireTs: ts(0),
      end: mutation.kind === 'range' ? bytes('z') : undefined,
    })),
  );

describe('a batch that is prepared', () => {
  test('comes to what it comes to without, however few rows are prepared at a time', () => {
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 5 }), (batches, rows) => {
        const [plain, prepared] = [new Machine(), new Machine()];
        for (const payload of batches.map(encoded)) {
          const before = prepared.rows;
          const { store, machine } = prepared;
          const under = new BatchUnderWay(new EntryReader(payload), {
            store,
            locks: new LockTable(),
            table: machine.spanTable,
            largestTs: machine.maxTs,
          });
          for (let steps = 0; !under.prepare(rows); steps++) assert.ok(steps < 20, 'it comes to an end');
          assert.deepEqual(prepared.rows, before, 'nothing is seen of it');
          const work = machine.prepare(prepared.entry(payload))!;
          while (!work.step()) assert.deepEqual(prepared.rows, before, 'nothing is seen of it');
          assert.deepEqual(prepared.rows, before, 'nor at its end');
          assert.deepEqual(prepared.apply(payload), plain.apply(payload));
          assert.deepEqual(prepared.rows, plain.rows);
        }
      }),
    );
  });

  test('is prepared in slices when it is large, and applied from where that was left off', () => {
    const [plain, prepared] = [new Machine(), new Machine()];
    const mutation = (name: string) => ({
      unit: 0,
      key: bytes(name),
      value: bytes('v'),
      expireTs: ts(0),
      end: undefined,
    });
    const names = Array.from({ length: 1_000 }, (_, at) => `k${at}`);
    const payload = encodeBatch(ts(9), 1, [], names.map(mutation));
    for (const slices of [0, 2, Number.POSITIVE_INFINITY]) {
      const work = prepared.machine.prepare(prepared.entry(payload))!;
      let done = 0;
      while (done < slices && !work.step()) done++;
      if (slices === Number.POSITIVE_INFINITY) assert.ok(done > 3, `${done} slices`);
    }
    assert.equal(prepared.apply(payload), plain.apply(payload));
    for (const name of names) assert.equal(prepared.store.latest(bytes(name))?.commitTs, ts(9));
    // What was prepared for one entry is not used for another.
    const next = encodeBatch(ts(10), 1, [], [mutation('next')]);
    prepared.apply(next);
    assert.equal(prepared.store.latest(bytes('next'))?.commitTs, ts(10));
  });
});
