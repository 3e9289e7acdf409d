/** Changes of a group between two moments: what is noted says the same as what is read, and what keeps them from counting. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ArchivedGroup, GroupArchive } from '../../../src/cluster/archive/group-archive.ts';
import { readChanges } from '../../../src/cluster/archive/group-changes.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, SystemClock, SystemScheduler } from '../../../src/platform/index.ts';
import { ChangeNotes } from '../../../src/store/flush/change-notes.ts';
import { UnitWriter } from '../../../src/store/flush/unit-writer.ts';
import { openGroupStore } from '../../../src/store/group/open.ts';
import type { ExportedVersion, GroupStore } from '../../../src/store/index.ts';
import { SimulatedLevels } from '../../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';

const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));
const key = (at: number): Buffer => Buffer.from(`k${at.toString().padStart(2, '0')}`);
const NEVER = ts(0);
const ALL = [{ start: Buffer.alloc(0), end: undefined }];

const shown = ({ key: name, commitTs, expireTs, value }: ExportedVersion): string =>
  `${name} ${commitTs} ${value === undefined ? 'deleted' : `${value} until ${expireTs}`}`;

async function read(store: GroupStore, from: number, to: number, spans = ALL as Parameters<typeof readChanges>[1]) {
  const found: ExportedVersion[] = [];
  let bytes = 0;
  const onRead = async (count: number): Promise<void> => {
    bytes += count;
  };
  for await (const page of readChanges(store, spans, { from: ts(from), to: ts(to) }, onRead)) found.push(...page);
  return { found, bytes };
}

/** Of each key in order, whatever the order of keys. */
const sorted = (versions: readonly ExportedVersion[]): string[] =>
  versions.toSorted((left, right) => Buffer.compare(left.key, right.key)).map(shown);

const openStore = (notes: () => boolean): Promise<GroupStore> => {
  const levels = new SimulatedLevels();
  return openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new MemoryDisk(),
    notesChanges: notes,
  });
};

type Write = { readonly kind: 'put' | 'delete' | 'range' | 'flush'; readonly at: number; readonly length: number };

describe('changes of a store', () => {
  test('that are noted are those that are found by reading all', async () => {
    const write: fc.Arbitrary<Write> = fc.record({
      kind: fc.constantFrom('put', 'put', 'put', 'delete', 'range', 'flush'),
      at: fc.nat(11),
      length: fc.integer({ min: 1, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { minLength: 1, maxLength: 40 }),
        fc.nat(40),
        fc.nat(40),
        async (writes, a, b) => {
          const store = await openStore(() => true);
          try {
            for (const [step, { kind, at, length }] of writes.entries()) {
              if (kind === 'flush') {
                await store.flush();
                continue;
              }
              const writer = store.write();
              const commitTs = ts(10 + 2 * step);
              if (kind === 'put') writer.put(key(at), Buffer.from(`v${step}`), commitTs, NEVER);
              else if (kind === 'delete') writer.delete(key(at), commitTs);
              else writer.deleteRange(key(at), key(at + length), commitTs);
              writer.commit(store.appliedIndex + 1);
            }
            const [from, to] = [9 + 2 * Math.min(a, b), 10 + 2 * Math.max(a, b)];
            const spans = [
              { start: key(0), end: key(5) },
              { start: key(7), end: undefined },
            ];
            const noted = await read(store, from, to, spans);
            const plain = new Proxy(store, {
              get: (target, name) => {
                if (name === 'changesSince') return () => undefined;
                const value = Reflect.get(target, name, target) as unknown;
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
              },
            });
            const all = await read(plain, from, to, spans);
            // A delete of what was not there is noted, and says the same.
            const known = new Set(sorted(all.found));
            for (const line of known) assert.ok(sorted(noted.found).includes(line), `${line} is not noted`);
            for (const line of sorted(noted.found)) assert.ok(known.has(line) || line.endsWith('deleted'), line);
            const order = new Map<string, HlcTimestamp>();
            for (const version of noted.found) {
              const name = version.key.toString();
              assert.ok((order.get(name) ?? 0n) < version.commitTs, 'of each key in order, each once');
              order.set(name, version.commitTs);
            }
          } finally {
            await store.close();
          }
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });

  test('are known from where noting began, and read below', async () => {
    let isOn = false;
    const store = await openStore(() => isOn);
    const put = (at: number, commitTs: number): void => {
      const writer = store.write();
      writer.put(key(at), Buffer.from('v'), ts(commitTs), NEVER);
      writer.commit(store.appliedIndex + 1);
    };
    put(1, 10);
    isOn = true;
    put(2, 20);
    put(3, 30);
    assert.equal(store.changesSince?.(ts(9)), undefined);
    assert.equal(store.changesSince?.(ts(10))?.versions.length, 2);
    assert.equal((await read(store, 10, 30)).bytes, 0);
    assert.equal((await read(store, 9, 30)).found.length, 3);
    assert.ok((await read(store, 9, 30)).bytes > 0);
    isOn = false;
    put(4, 40);
    assert.equal(store.changesSince?.(ts(35)), undefined, 'what was noted is forgotten');
    await store.close();
  });
});

describe('notes of changes', () => {
  const unit = (entries: readonly (readonly [at: number, commitTs: number])[]): UnitWriter => {
    const writer = new UnitWriter(() => undefined);
    for (const [at, commitTs] of entries) writer.put(key(at), Buffer.from('v'), ts(commitTs), NEVER);
    return writer;
  };

  test('forget the older half, and say so', () => {
    const notes = new ChangeNotes(() => true, { notes: 4, bytes: 1 << 20 });
    // A transaction that is resolved late has an older timestamp than what came before.
    for (const [step, commitTs] of [10, 30, 20, 40, 50, 60, 70, 80, 90].entries())
      notes.note(unit([[step, commitTs]]), ts(5));
    assert.equal(notes.since(ts(39)), undefined);
    assert.deepEqual(
      notes.since(ts(40))?.versions.map(({ commitTs }) => Number(commitTs)),
      [50, 60, 70, 80, 90],
    );
  });

  test('are bounded by the bytes of names too', () => {
    const notes = new ChangeNotes(() => true, { notes: 1 << 20, bytes: 9 });
    for (let step = 0; step < 9; step++) notes.note(unit([[step, step + 1]]), ts(0));
    assert.equal(notes.since(ts(2)), undefined);
    assert.equal(notes.since(ts(6))?.versions.length, 3);
  });
});

interface Facts {
  gcThreshold: bigint;
  term: number;
  bound: number;
  assigned: bigint | undefined;
  locked: bigint | undefined;
  isServing: boolean;
  spans: { start: Buffer; end: Buffer | undefined; epoch: number; state: string }[];
}

function groupOf(changed: Partial<Facts> = {}): { facts: Facts; archive: GroupArchive } {
  const facts: Facts = {
    gcThreshold: 0n,
    term: 1,
    bound: 2,
    assigned: undefined,
    locked: undefined,
    isServing: true,
    spans: [{ start: key(0), end: key(9), epoch: 1, state: 'ACTIVE' }],
    ...changed,
  };
  const group = {
    groupId: groupId(1),
    raft: { status: () => ({ term: facts.term }), holdsLease: () => true, leader: () => undefined },
    stateMachine: {
      maxTs: ts(0),
      ceilingMs: 77,
      locks: { oldestMinCommitTs: () => facts.locked },
      get spanTable() {
        return { spans: facts.spans };
      },
    },
    executor: {
      get isServing() {
        return facts.isServing;
      },
      oldestAssigned: () => facts.assigned,
      clock: {
        now: () => ts(0),
        observeForeign: () => undefined,
        get bound() {
          return facts.bound;
        },
        opening: () => undefined,
      },
    },
    store: {
      get gcThreshold() {
        return facts.gcThreshold;
      },
      changesSince: () => ({ versions: [], ranges: [] }),
    },
  } as unknown as ArchivedGroup;
  return {
    facts,
    archive: new GroupArchive({ find: () => group, clock: new SystemClock(), scheduler: new SystemScheduler() }),
  };
}

/** In the second millisecond of all. */
const TO = ts(1 << 16);
const MOMENTS = { from: ts(100), to: TO };
const changesOf = ({ archive }: ReturnType<typeof groupOf>) =>
  archive.changes(groupId(1), MOMENTS, 30, async () => undefined);

describe('the changes of a group', () => {
  test('are all when nothing happened to it meanwhile', async () => {
    const group = groupOf({ gcThreshold: 100n, assigned: TO + 2n, locked: TO + 1n });
    const changes = await changesOf(group);
    assert.deepEqual(await changes.confirm(), { ceilingMs: 77 });
    assert.equal(changes.spans.length, 1);
    // Spans are cut and joined by moves that do not touch what is in them.
    group.facts.spans = [
      { start: key(0), end: key(4), epoch: 1, state: 'FENCED' },
      { start: key(4), end: key(9), epoch: 1, state: 'ACTIVE' },
    ];
    await changes.confirm();
  });

  test('are of keys of users only', async () => {
    const epoch = 1;
    const state = 'ACTIVE';
    const reserved = { start: Buffer.alloc(0), end: Buffer.from([1]), epoch, state };
    const spans = [reserved, { start: Buffer.from([1]), end: undefined, epoch, state }];
    const found = (await changesOf(groupOf({ spans }))).spans;
    assert.deepEqual(found, [{ start: Buffer.from([1]), end: undefined, epoch }]);
    const joined = [{ ...reserved, end: undefined }];
    assert.deepEqual((await changesOf(groupOf({ spans: joined }))).spans, found);
    assert.deepEqual((await changesOf(groupOf({ spans: [reserved] }))).spans, []);
  });

  test('are not read while something is open at the later moment, or the next leader could begin below it', async () => {
    for (const open of [{ assigned: TO + 1n }, { locked: BigInt(TO) }, { bound: 1 }]) {
      await assert.rejects(changesOf(groupOf(open)), { code: 'MOMENT_NOT_CLOSED' });
    }
  });

  test('do not count when the past, the range or the leadership is lost meanwhile', async () => {
    const cases: readonly (readonly [string, (facts: Facts) => void])[] = [
      ['MOMENT_COLLECTED', (facts) => Object.assign(facts, { gcThreshold: 101n })],
      ['NOT_LEADER', (facts) => Object.assign(facts, { term: 2 })],
      ['NOT_LEADER', (facts) => Object.assign(facts, { isServing: false })],
      ['RANGES_MOVED', (facts) => Object.assign(facts.spans[0]!, { state: 'MOVED_OUT' })],
      ['RANGES_MOVED', (facts) => Object.assign(facts.spans[0]!, { epoch: 3 })],
      ['RANGES_MOVED', (facts) => Object.assign(facts.spans[0]!, { end: key(8) })],
    ];
    for (const [code, happen] of cases) {
      const group = groupOf();
      const changes = await changesOf(group);
      happen(group.facts);
      await assert.rejects(changes.confirm(), { code });
    }
  });
});
