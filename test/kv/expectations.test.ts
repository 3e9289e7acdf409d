/** What the commands of an entry have read stands in it once for each set of commands with one fate. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { encodeBatch } from '../../src/kv/entry/entry.ts';
import { KeyWrite, OpenEntry, Overlay, Unit } from '../../src/kv/leader/overlay.ts';
import { hlcTimestamp } from '../../src/platform/index.ts';
import { ASSIGN_ALL, bytes, CONF, FakeRaft, LoneGroup } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

const batch = (payload: Buffer) => {
  const entry = decodeEntry(payload);
  assert.equal(entry.opcode, 'batch');
  if (entry.opcode !== 'batch') throw new Error('unreachable');
  return entry;
};

const ts = (value: number) => hlcTimestamp(BigInt(value));
const COMMIT = 100;

const command = fc.record({
  reads: fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.constantFrom(0, 1, 2) }), {
    maxLength: 5,
  }),
  writes: fc.array(fc.constantFrom('u', 'v', 'w', 'x', 'y', 'z'), { minLength: 1, maxLength: 3 }),
});

interface Read {
  readonly unit: Unit;
  readonly key: string;
  readonly version: number;
}

function fill(commands: readonly { readonly reads: readonly { key: string; version: number }[]; writes: string[] }[]) {
  const overlay = new Overlay();
  const entry = new OpenEntry(ts(COMMIT), 1);
  const reads: Read[] = [];
  for (const { reads: own, writes } of commands) {
    const values = [...new Set(writes)].map((name) => new KeyWrite(name, bytes(name), bytes('v'), ts(0), ts(COMMIT)));
    const unit = overlay.add(entry, new Unit(), values, []);
    for (const { key, version } of own) {
      entry.expect(unit, key, bytes(key), ts(version));
      reads.push({ unit, key, version });
    }
  }
  return { entry, reads };
}

const shown = ({ unit, key, version }: { unit: number; key: string; version: number }): string =>
  `${unit} ${key} ${version}`;

describe('the expectations of an entry', () => {
  test('are those of all its commands, each once a unit', () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 30 }), (commands) => {
        const { entry, reads } = fill(commands);
        const { payload } = entry.encode(0);
        const { expects } = batch(payload);
        const found = expects.map(({ unit, key, versionTs }) =>
          shown({ unit, key: key.toString(), version: Number(versionTs) }),
        );
        const wanted = new Set(reads.map(({ unit, ...read }) => shown({ unit: unit.root().number, ...read })));
        assert.equal(new Set(found).size, found.length, 'none is there twice');
        assert.deepEqual(found.sort(), [...wanted].sort());
      }),
    );
  });

  test('come to the same as one for every read, in fewer bytes', () => {
    const state = fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.constantFrom(1, 2) }), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 20 }), state, (commands, before) => {
        const { entry, reads } = fill(commands);
        const { payload, units } = entry.encode(0);
        const all = reads.map(({ unit, key, version }) => ({
          unit: unit.root().number,
          key: bytes(key),
          versionTs: ts(version),
        }));
        const plain = encodeBatch(ts(COMMIT), units.length, all, batch(payload).mutations);
        assert.ok(payload.length <= plain.length);
        const [one, other] = [payload, plain].map((bytesOfEntry) => {
          const store = new MemoryStore();
          const raft = new FakeRaft(new GroupStateMachine({ store, initialConf: CONF }), store);
          raft.apply(ASSIGN_ALL);
          for (const { key, version } of before) {
            const old = { unit: 0, key: bytes(key), value: bytes('old'), expireTs: ts(0), end: undefined };
            if (store.latest(bytes(key)) === undefined) raft.apply(encodeBatch(ts(version), 1, [], [old]));
          }
          const result = raft.apply(bytesOfEntry);
          const rows = ['u', 'v', 'w', 'x', 'y', 'z'].map((name) => store.latest(bytes(name))?.commitTs);
          return { result, rows };
        });
        assert.deepEqual(one, other);
      }),
    );
  });

  test('of forty commands that read one row which nobody writes are one when they write a row together', () => {
    const bed = new LoneGroup();
    bed.set('page', 'names');
    bed.settle();
    for (let at = 0; at < 40; at++) {
      bed.run((view) => {
        view.get(bytes('page'));
        const count = Number(view.get(bytes('head'))?.value.toString() ?? 0);
        view.put(bytes('head'), bytes(String(count + 1)), ts(0));
      });
    }
    bed.scheduler.endTurn();
    assert.deepEqual(
      batch(bed.raft.log.at(-1)!).expects.map(({ key }) => key.toString()),
      ['page', 'head'],
    );
    bed.settle();
    assert.equal(bed.get('head').reply, '40');
  });

  test('of many commands that read one row and write rows of their own are one each', () => {
    const bed = new LoneGroup();
    for (let at = 0; at < 10; at++) {
      bed.run((view) => {
        for (let time = 0; time < 3; time++) view.get(bytes('page'));
        view.put(bytes(`k${at}`), bytes('v'), ts(0));
      });
    }
    bed.scheduler.endTurn();
    const { expects, unitCount } = batch(bed.raft.log.at(-1)!);
    assert.deepEqual([expects.length, unitCount], [10, 10]);
  });
});
