/** Apply, seen from the spans: what is refused, what is captured, what arrives, and what each span command does beside. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SpanCommand } from '../../src/distribution/ownership/span-types.ts';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import type { SpanReply } from '../../src/kv/contract/range-transfer.ts';
import { encodeBatch, encodePurge, encodeSetGc, type Mutation } from '../../src/kv/entry/entry.ts';
import { captureBounds } from '../../src/kv/entry/local-keys.ts';
import { encodeImport, encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { groupId } from '../../src/platform/index.ts';
import type { CommittedEntry } from '../../src/raftengine/contract/types.ts';
import { EntryKind } from '../../src/raftengine/core/types.ts';
import { applyWithPressure, bytes, CONF } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';
import {
  activate,
  captureOn,
  expects,
  fence,
  incoming,
  Machine,
  put,
  range,
  release,
  remove,
  removeRange,
  ts,
  version,
  whole,
} from './span-machine.ts';

describe('a batch', () => {
  test('applies units whose keys are all the own ones, and says of each other unit why not', () => {
    const one = new Machine(['d', 'm']);
    const result = one.batch(
      10,
      [put(0, 'd', '1'), put(1, 'e', '1'), put(1, 'm', '1'), remove(2, 'c'), put(3, 'f', '1'), put(4, 'g', '1')],
      [expects(3, 'a', 0), expects(4, 'h', 7)],
    );
    const expected = new Map([
      [3, 'notOwned'],
      [4, 'conflict'],
      [1, 'notOwned'],
      [2, 'notOwned'],
    ]);
    assert.deepEqual(result, expected);
    assert.deepEqual(
      ['d', 'e', 'f', 'g', 'm'].map((key) => one.value(key)),
      ['1', undefined, undefined, undefined, undefined],
    );
  });

  test('owns nothing at all before it is given something', () => {
    const one = new Machine('nothing');
    assert.deepEqual(one.batch(10, [put(0, 'k', '1')]), whole('notOwned'));
    assert.equal(one.value('k'), undefined);
  });

  test('deletes a range only when the whole of it is owned', () => {
    const one = new Machine(['d', 'm']);
    one.batch(10, [put(0, 'e', '1')]);
    assert.deepEqual(one.batch(20, [removeRange(0, 'c', 'f')]), whole('notOwned'));
    assert.deepEqual(one.batch(30, [removeRange(0, 'd', 'n')]), whole('notOwned'));
    assert.equal(one.value('e'), '1');
    assert.equal(one.batch(40, [removeRange(0, 'd', 'm')]), undefined);
    assert.equal(one.value('e'), undefined);
  });

  test('writes nothing on a fenced range, and nothing computed from it', () => {
    const one = new Machine();
    one.done(captureOn);
    one.done(fence);
    assert.deepEqual(one.batch(100, [put(0, 'f', '1')]), whole('notOwned'));
    assert.deepEqual(one.batch(110, [put(0, 'a', '1')], [expects(0, 'f', 0)]), whole('notOwned'));
    assert.deepEqual(one.batch(120, [removeRange(0, 'a', 'g')]), whole('notOwned'));
    assert.equal(one.batch(130, [put(0, 'e', '1'), put(0, 'm', '1')]), undefined);
    one.done({ kind: 'unfence', job: 1, attempt: 1 });
    assert.equal(one.batch(140, [put(0, 'f', '1')]), undefined);
  });

  test('is not committed at or below what the owner before may have served', () => {
    const one = new Machine('nothing');
    one.done(incoming());
    one.done(activate(500));
    assert.deepEqual(one.batch(499, [put(0, 'f', '1')]), whole('belowFloor'));
    assert.deepEqual(one.batch(500, [put(0, 'f', '1')]), whole('belowFloor'));
    assert.deepEqual(one.batch(501, [removeRange(0, 'f', 'g')]), whole('belowFloor'));
    assert.equal(
      one.batch(501, [put(0, 'f', '1')]),
      undefined,
      'a range delete lies one below its entry, a put does not',
    );
    assert.equal(one.batch(502, [removeRange(0, 'f', 'g')]), undefined);
  });

  test('cannot touch what the group keeps for itself, whatever it owns', async () => {
    const one = new Machine(['', undefined]);
    one.done(captureOn);
    one.batch(100, [put(0, 'f', '1')]);
    const [row] = captureBounds(1);
    const key = row.toString('latin1');
    assert.deepEqual(one.batch(110, [put(0, key, 'x')]), whole('notOwned'));
    assert.deepEqual(one.batch(120, [put(0, 'a', 'x')], [expects(0, key, 0)]), whole('notOwned'));
    assert.deepEqual(one.batch(130, [removeRange(0, '\0', 'z')]), whole('notOwned'));
    assert.equal((await one.captured()).length, 1);
  });

  test('purges only what is its own', () => {
    const one = new Machine();
    one.batch(10, [put(0, 'e', '1', 20), put(0, 'f', '1', 20)]);
    one.done(captureOn);
    one.done(fence);
    one.apply(
      encodePurge(
        ts(100),
        ['e', 'f'].map((key) => ({ key: bytes(key), commitTs: ts(10) })),
      ),
    );
    assert.equal(one.value('e'), undefined);
    assert.equal(one.value('f'), '1');
  });
});

describe('the capture log', () => {
  test('names every effect on its range in the order of the log, and nothing else', async () => {
    const one = new Machine();
    one.batch(10, [put(0, 'f', 'before', 15), put(0, 'g', 'before')]);
    one.done(captureOn);
    const from = one.index;
    one.batch(100, [put(0, 'e', '1'), put(0, 'f', '1'), remove(1, 'g'), put(1, 'm', '1'), put(2, 'h', '1', 150)]);
    one.batch(110, [put(0, 'i', 'refused')], [expects(0, 'i', 77)]);
    one.batch(120, [removeRange(0, 'a', 'h'), put(0, 'f', '2')]);
    one.batch(130, [removeRange(0, 'a', 'f'), removeRange(0, 'h', 'z')]);
    one.apply(encodePurge(ts(200), [{ key: bytes('h'), commitTs: ts(100) }]));
    const rows = [
      `${from + 1}.0 put 100 f`,
      `${from + 1}.1 delete 100 g`,
      `${from + 1}.2 put 100 h`,
      `${from + 3}.0 deleteRange 119 f-h`,
      `${from + 3}.1 put 120 f`,
      `${from + 4}.0 deleteRange 129 h-m`,
    ];
    assert.deepEqual(await one.captured(), rows);
    one.batch(210, [put(0, 'i', 'soon', 220)]);
    one.apply(encodePurge(ts(230), [{ key: bytes('i'), commitTs: ts(210) }]));
    assert.deepEqual((await one.captured()).slice(-1), [`${from + 7}.0 delete 230 i`]);
  });

  test('is one for each move, and counts its effects in one row of numbers', async () => {
    const one = new Machine();
    one.done(captureOn);
    one.done({ kind: 'captureOn', job: 2, ...range('p', 's') });
    const from = one.index;
    one.batch(100, [removeRange(0, 'a', 'z'), put(0, 'g', '1'), put(0, 'q', '1')]);
    assert.deepEqual(await one.captured(1), [`${from + 1}.0 deleteRange 99 f-m`, `${from + 1}.2 put 100 g`]);
    assert.deepEqual(await one.captured(2), [`${from + 1}.1 deleteRange 99 p-s`, `${from + 1}.3 put 100 q`]);
  });

  test('ends when the move is given up, and when the data is gone', async () => {
    const one = new Machine();
    one.done(captureOn);
    one.batch(100, [put(0, 'f', '1')]);
    one.done({ kind: 'captureOff', job: 1 });
    assert.deepEqual(await one.captured(), []);
    one.batch(200, [put(0, 'f', '2')]);
    assert.deepEqual(await one.captured(), []);
    one.done({ ...captureOn, job: 2 } as SpanCommand);
    one.batch(300, [put(0, 'f', '3')]);
    one.done({ kind: 'fence', job: 2, attempt: 1 });
    one.done({ ...release(400), job: 2 } as SpanCommand);
    assert.equal((await one.captured(2)).length, 1, 'a release keeps it');
    one.done({ kind: 'purge', job: 2 });
    assert.deepEqual(await one.captured(2), []);
  });

  test('is no key of the group', async () => {
    const one = new Machine();
    one.done(captureOn);
    one.batch(100, [put(0, 'f', '1')]);
    assert.equal(one.store.liveKeys(), 1);
  });
});

describe('a span command', () => {
  test('is answered with the outcome and the threshold below which history is not complete', () => {
    const one = new Machine();
    one.apply(encodeSetGc(ts(40)));
    const reply = one.done(captureOn);
    assert.equal(reply.gcThreshold, 40n);
    assert.ok(reply.outcome.kind === 'done' && reply.outcome.isChanged && reply.outcome.span?.job === 1);
    assert.ok(one.machine.spanTable.spanOf(1) !== undefined);
    one.refuses({ ...captureOn, job: 2 } as SpanCommand, 'BUSY');
    assert.equal(one.machine.spanTable.spanOf(2), undefined);
  });

  test('assign gives keys to a group once', () => {
    const one = new Machine(['a', 'f']);
    assert.equal(one.batch(10, [put(0, 'a', '1')]), undefined);
    assert.deepEqual(one.span({ kind: 'assign', ...range('a', 'f'), epoch: 1 }).outcome.kind, 'done');
    one.refuses({ kind: 'assign', ...range('e', 'g'), epoch: 1 }, 'OWNED');
  });

  test('incoming empties the range and begins to count imports, and again for a higher attempt', async () => {
    const one = new Machine('nothing');
    one.done(incoming());
    one.import(1, [version('f', 10, 'a'), version('f', 20, 'b')]);
    assert.deepEqual(one.machine.importOf(1), { attempt: 1, seq: 1, bookmark: bytes('#1') });
    one.done(incoming());
    assert.equal(one.machine.importOf(1)?.seq, 1, 'a repetition changes nothing');
    one.done(incoming(2));
    assert.deepEqual(one.machine.importOf(1), { attempt: 2, seq: 0, bookmark: bytes('') });
    assert.deepEqual(await one.history('f'), []);
    assert.equal(one.import(1, [version('f', 10, 'late')]).kind, 'refused');
    assert.deepEqual(one.import(1, [version('f', 5, 'c')], 2).kind, 'done');
    assert.deepEqual(await one.history('f'), ['5:c']);
  });

  test('drop forgets what came in and how far it had come', async () => {
    const one = new Machine('nothing');
    one.done(incoming());
    one.import(1, [version('f', 10, 'a')]);
    one.done({ kind: 'drop', job: 1 });
    assert.deepEqual(await one.history('f'), []);
    assert.equal(one.machine.importOf(1), undefined);
    one.refuses(incoming(), 'JOB_CLOSED');
    assert.deepEqual(one.import(2, []), { kind: 'refused', reason: 'NOT_INCOMING' });
  });

  test('purge forgets the data of the range and of no other', async () => {
    const one = new Machine();
    one.batch(10, [put(0, 'e', '1'), put(0, 'f', '1'), put(0, 'm', '1')]);
    one.done(captureOn);
    one.done(fence);
    one.done(release(100));
    assert.equal(one.value('f'), '1', 'a release deletes nothing');
    one.done({ kind: 'purge', job: 1 });
    assert.deepEqual(await one.history('f'), []);
    assert.equal(one.value('e'), '1');
    assert.equal(one.value('m'), '1');
  });

  test('release and activate hand over timestamps and threshold with the range', () => {
    const source = new Machine();
    source.apply(encodeSetGc(ts(60)));
    source.done(captureOn);
    source.done(fence);
    const released = source.done(release(1000));
    assert.equal(released.gcThreshold, 60n);
    assert.ok(released.outcome.kind === 'done' && released.outcome.span?.minWriteTs === 1000n);
    const again = source.done(release(2000));
    assert.ok(again.outcome.kind === 'done' && again.outcome.span?.minWriteTs === 1000n);

    const target = new Machine('nothing');
    target.done(incoming());
    const reply = target.done(activate(1000), { gc: 60 });
    assert.equal(reply.gcThreshold, 60n);
    assert.equal(target.store.gcThreshold, 60n);
    assert.equal(target.machine.maxTs, 1000n);
    assert.equal(target.machine.importOf(1), undefined);
    const other = new Machine('nothing');
    other.apply(encodeSetGc(ts(90)));
    other.done(incoming());
    assert.equal(other.done(activate(1000), { gc: 60 }).gcThreshold, 90n, 'a threshold never falls');
  });

  test('activate waits until all has arrived', () => {
    const one = new Machine('nothing');
    one.done(incoming());
    one.import(1, []);
    one.import(2, [version('f', 10, 'a')]);
    one.refuses(activate(100), 'IMPORT_GAP', { imports: 3 });
    one.refuses(activate(100), 'IMPORT_GAP', { imports: 1 });
    assert.deepEqual(one.batch(200, [put(0, 'f', 'x')]), whole('notOwned'));
    one.done(activate(100), { imports: 2 });
    one.done(activate(100), { imports: 2 });
    assert.equal(one.batch(300, [put(0, 'f', 'x')]), undefined);
  });

  test('never gives away the keys that the group keeps for itself', () => {
    const one = new Machine(['', undefined]);
    one.refuses({ kind: 'captureOn', job: 1, start: bytes(''), end: bytes('b') }, 'INVALID_RANGE');
    const other = new Machine('nothing');
    other.refuses({ kind: 'incoming', job: 1, attempt: 1, start: bytes('\0c'), end: undefined }, 'INVALID_RANGE');
  });

  test('deletes capture rows above everything before it, also when it comes out of order', async () => {
    const one = new Machine();
    one.done(captureOn);
    one.batch(1000, [put(0, 'f', '1')]);
    one.span({ kind: 'captureOff', job: 1 }, 500);
    assert.deepEqual(await one.captured(), []);
    assert.ok(one.machine.maxTs > 1000n);
  });
});

describe('garbage collection', () => {
  test('stands still while a move needs history, and goes on afterwards', () => {
    const source = new Machine();
    const threshold = (machine: Machine, to: number): number => {
      machine.apply(encodeSetGc(ts(to)));
      return Number(machine.store.gcThreshold);
    };
    assert.equal(threshold(source, 10), 10);
    source.done(captureOn);
    assert.equal(threshold(source, 20), 10);
    source.done(fence);
    assert.equal(threshold(source, 30), 10);
    source.done(release(1000));
    assert.equal(threshold(source, 40), 40);
    const target = new Machine();
    target.refuses(incoming(), 'OWNED');
    assert.equal(threshold(target, 10), 10);
    const empty = new Machine('nothing');
    empty.done(incoming());
    assert.equal(threshold(empty, 10), 0);
    empty.done({ kind: 'drop', job: 1 });
    assert.equal(threshold(empty, 20), 20);
  });
});

describe('a threshold that comes with a range', () => {
  const other = range('p', 's');
  const second: SpanCommand = { kind: 'incoming', job: 2, attempt: 1, ...other };
  const arrives: SpanCommand = { kind: 'activate', job: 2, floor: ts(1000), epoch: 2 };

  test('waits while another move needs history, through a restart, and counts when none does', () => {
    for (const isReleased of [true, false]) {
      const store = new MemoryStore();
      const one = new Machine(['a', 'p'], store);
      one.done(captureOn);
      one.done(second);
      assert.equal(one.done(arrives, { gc: 60 }).gcThreshold, 60n, 'it is what a reader and the next owner are told');
      assert.equal(store.gcThreshold, 0n);
      one.machine = new GroupStateMachine({ store, initialConf: CONF });
      assert.equal(one.done(fence).gcThreshold, 60n);
      assert.equal(store.gcThreshold, 0n);
      const last = isReleased ? release(2000) : ({ kind: 'captureOff', job: 1 } as const);
      if (!isReleased) one.done({ kind: 'unfence', job: 1, attempt: 1 });
      assert.equal(one.done(last).gcThreshold, 60n);
      assert.equal(store.gcThreshold, 60n);
    }
  });
});

describe('an import', () => {
  const target = (): Machine => {
    const one = new Machine('nothing');
    one.done(incoming());
    return one;
  };

  test('puts whole histories in, at their own timestamps', async () => {
    const one = target();
    one.import(1, [
      version('f', 10, 'a'),
      version('f', 20, undefined),
      version('f', 30, 'b', 99),
      version('g', 5, 'c'),
    ]);
    assert.deepEqual(await one.history('f'), ['10:a', '20:x', '30:b']);
    assert.equal(one.store.latest(bytes('f'))?.expireTs, 99n);
    assert.equal(one.machine.maxTs, 30n);
  });

  test('passes over what is there already, because backfill and capture overlap', async () => {
    const one = target();
    one.import(1, [version('f', 10, 'a'), version('f', 20, 'b')]);
    one.import(2, [version('f', 20, 'b'), version('f', 30, 'c'), version('f', 30, 'again'), version('f', 25, 'late')]);
    assert.deepEqual(await one.history('f'), ['10:a', '20:b', '30:c']);
  });

  test('happens once, in order, or not at all', async () => {
    const one = target();
    assert.deepEqual(one.import(2, [version('f', 10, 'a')]), { kind: 'refused', reason: 'IMPORT_GAP' });
    const first = one.import(1, [version('f', 10, 'a')]);
    assert.deepEqual(first, { kind: 'done', state: { attempt: 1, seq: 1, bookmark: bytes('#1') } });
    assert.deepEqual(one.import(1, [version('f', 20, 'other')]), first);
    assert.deepEqual(await one.history('f'), ['10:a']);
    // Sent before the first was answered, behind a page that somebody else cut differently.
    assert.deepEqual(one.import(2, [version('g', 20, 'b')], 1, 1, '#0'), { kind: 'refused', reason: 'IMPORT_GAP' });
    assert.equal(one.import(2, [version('g', 20, 'b')], 1, 1, '#1').kind, 'done');
  });

  test('is refused for another job, another attempt, another range and outside of a move', async () => {
    const one = target();
    assert.deepEqual(one.import(1, [], 1, 2), { kind: 'refused', reason: 'UNKNOWN_JOB' });
    assert.deepEqual(one.import(1, [], 2), { kind: 'refused', reason: 'STALE_ATTEMPT' });
    for (const key of ['e', 'm']) {
      assert.deepEqual(one.import(1, [version('f', 1, 'a'), version(key, 10, 'a')]), {
        kind: 'refused',
        reason: 'NOT_INCOMING',
      });
      assert.equal(one.value('f'), undefined);
    }
    const source = new Machine();
    source.done(captureOn);
    assert.deepEqual(source.import(1, []), { kind: 'refused', reason: 'NOT_INCOMING' });
    one.done(activate(100), { imports: 0 });
    assert.deepEqual(one.import(1, []), { kind: 'refused', reason: 'NOT_INCOMING' });
  });

  test('writes a tombstone that the own threshold hides only where it hides something', async () => {
    const one = new Machine('nothing');
    one.apply(encodeSetGc(ts(100)));
    one.done(incoming());
    one.import(1, [version('f', 50, undefined), version('g', 40, 'a'), version('g', 60, undefined)]);
    assert.equal(await one.store.versionAt(bytes('f'), ts(50)), undefined);
    assert.equal(one.value('f'), undefined);
    assert.equal(one.value('g'), undefined);
    assert.equal(await one.store.get(bytes('g'), ts(100)), undefined);
    assert.equal(await one.store.countRange(0, bytes('f'), bytes('m')), 0);
  });
});

describe('a range that comes back', () => {
  test('holds back what follows while this replica is still dropping the old data', async () => {
    const store = new MemoryStore();
    const one = new Machine(['a', 'z'], store);
    assert.equal(one.machine.applyPressure(), undefined);
    one.batch(10, [put(0, 'f', 'old')]);
    one.done(captureOn);
    one.done(fence);
    one.done(release(100));
    store.holdDrops = true;
    one.done({ kind: 'purge', job: 1 });
    assert.equal(one.machine.applyPressure(), undefined, 'a purge goes on in the background');
    one.done(incoming(1, 2));
    const waits = one.machine.applyPressure();
    assert.ok(waits !== undefined);
    const restarted = new GroupStateMachine({ store, initialConf: CONF });
    assert.ok(restarted.applyPressure() !== undefined, 'a restart does not forget it');
    store.carryOutDrops();
    await waits;
    assert.equal(one.machine.applyPressure(), undefined);
    assert.equal(restarted.applyPressure(), undefined);
    one.import(1, [version('f', 5, 'older')], 1, 2);
    assert.deepEqual(await one.history('f'), ['5:older']);
  });

  test('lets no entry be applied in one go with the command that brought it', () => {
    const one = new Machine();
    const entry = (payload: Buffer, kind: EntryKind = EntryKind.Normal) => ({ index: 9, term: 1, kind, payload });
    assert.equal(one.machine.endsBatch(entry(encodeSpan(ts(9), incoming()))), true);
    assert.equal(one.machine.endsBatch(entry(encodeSetGc(ts(9)))), false);
    assert.equal(one.machine.endsBatch(entry(Buffer.alloc(0))), false);
    assert.equal(one.machine.endsBatch(entry(encodeSpan(ts(9), incoming()), EntryKind.ConfChange)), false);
  });
});

describe('the span state', () => {
  const job = fc.constantFrom(1, 1, 2, 3);
  const attempt = fc.constantFrom(1, 1, 1, 2);
  const key = fc.constantFrom('b', 'd', 'f', 'h', 'j');
  const bounds = fc
    .constantFrom(['a', 'e'], ['c', 'g'], ['e', 'k'], ['g', 'k'], ['g', 'k'])
    .map(([a, b]) => range(a!, b!));
  const command: fc.Arbitrary<(at: number) => SpanCommand> = fc
    .record({
      kind: fc.constantFrom(
        ...(['assign', 'incoming', 'incoming', 'captureOn', 'captureOn', 'captureOff', 'fence', 'unfence'] as const),
        ...(['release', 'activate', 'drop', 'purge', 'forget'] as const),
      ),
      job,
      attempt,
      bounds,
    })
    .map((one) => (at: number): SpanCommand => {
      const { kind, job: number, attempt: tries } = one;
      switch (kind) {
        case 'assign':
          return { kind, ...one.bounds, epoch: 1 };
        case 'incoming':
          return { kind, job: number, attempt: tries, ...one.bounds };
        case 'captureOn':
          return { kind, job: number, ...one.bounds };
        case 'fence':
        case 'unfence':
          return { kind, job: number, attempt: tries };
        case 'release':
          return { kind, job: number, attempt: tries, dst: groupId(5), fenceTs: ts(at) };
        case 'activate':
          return { kind, job: number, floor: ts(at), epoch: 2 };
        default:
          return { kind, job: number };
      }
    });
  const write = fc.record({ unit: fc.nat(2), key, kind: fc.constantFrom('put', 'soon', 'delete', 'range') });
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: command.map((make) => (at: number) => encodeSpan(ts(at), make(at), ts(Math.max(0, at - 30)), at % 3)),
    },
    {
      weight: 5,
      arbitrary: fc
        .tuple(fc.uniqueArray(write, { maxLength: 4, selector: (one) => one.key }), fc.constantFrom(0, 0, 0, 35))
        .map(([writes, late]) => (at: number) => {
          const mutations = writes.map(({ unit, key: name, kind }): Mutation => {
            if (kind === 'put') return put(unit, name, `${name}${at}`);
            if (kind === 'soon') return put(unit, name, 'soon', at + 25);
            return kind === 'delete' ? remove(unit, name) : removeRange(unit, name, 'i');
          });
          return encodeBatch(ts(Math.max(2, at - late)), 3, [], mutations);
        }),
    },
    {
      weight: 2,
      arbitrary: fc
        .record({
          job,
          attempt,
          seq: fc.constantFrom(1, 1, 2, 3),
          keys: fc.array(fc.constantFrom('h', 'j'), { maxLength: 3 }),
        })
        .map(({ job: number, attempt: tries, seq, keys }) => (at: number) => {
          const versions = keys.map((name, place) => version(name, at + place, place === 1 ? undefined : 'in'));
          return encodeImport({ job: number, attempt: tries, seq, bookmark: bytes(`${at}`), versions });
        }),
    },
    { weight: 1, arbitrary: fc.constant((at: number) => encodeSetGc(ts(Math.max(0, at - 40)))) },
    {
      weight: 1,
      arbitrary: fc.array(key).map((keys) => (at: number) => {
        const seen = keys.map((name) => ({ key: bytes(name), commitTs: ts(Math.max(1, at - 10)) }));
        return encodePurge(ts(at + 1), seen);
      }),
    },
  );

  test('is the same on every replica, restarted or restored from a snapshot half-way', async () => {
    let changes = 0;
    let imports = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), fc.nat(), async (steps, cut) => {
        const founded = [
          encodeSpan(ts(1), { kind: 'assign', ...range('a', 'g'), epoch: 1 }),
          encodeSpan(ts(2), { kind: 'incoming', job: 1, attempt: 1, ...range('g', 'k') }),
          ...steps.map((make, at) => make(at * 10 + 10)),
        ];
        const log: CommittedEntry[] = founded.map((payload, at) => {
          return { index: at + 1, term: 1, kind: EntryKind.Normal, payload, conf: undefined };
        });
        const half = cut % (log.length + 1);
        const open = (store: MemoryStore) => new GroupStateMachine({ store, initialConf: CONF });
        const stores = [new MemoryStore(), new MemoryStore(), new MemoryStore()];
        const [plain, restarted, restored] = stores.map(open);
        const applied = (at: number, machine: GroupStateMachine, entries: readonly CommittedEntry[]): unknown[] =>
          applyWithPressure(machine, stores[at]!, entries);
        const results = [applied(0, plain!, log), applied(1, restarted!, log.slice(0, half)), [] as unknown[]];
        const reader = await restarted!.openSnapshot(groupId(1));
        const stage = await restored!.stageSnapshot(groupId(1), reader.manifest);
        for (const at of stage.missing) await stage.receive(at, reader.frames(at));
        await stage.finish();
        await stage.install();
        results[1]!.push(...applied(1, open(stores[1]!), log.slice(half)));
        results[2] = [...results[0]!.slice(0, half), ...applied(2, restored!, log.slice(half))];
        assert.deepEqual(results[1], results[0]);
        assert.deepEqual(results[2], results[0]);
        const digests = await Promise.all(stores.map((store) => store.digest()));
        assert.equal(new Set(digests).size, 1, 'equal digests');
        assert.deepEqual(restored!.spanTable.spans, plain!.spanTable.spans);
        assert.equal(restored!.maxTs, plain!.maxTs);
        for (const result of results[0]! as ({ outcome?: SpanReply['outcome']; kind?: string } | undefined)[]) {
          if (result?.outcome?.kind === 'done' && result.outcome.isChanged) changes++;
          if (result?.kind === 'done') imports++;
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(changes > 500 && imports > 100, `${changes} changes, ${imports} imports`);
  });
});
