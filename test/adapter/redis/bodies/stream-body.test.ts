import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  alarmWork,
  type BodyAccess,
  idText,
  MAX_ID,
  MIN_ID,
  newStream,
  openStream,
  type StreamBody,
  streamId,
} from '../../../../src/adapter/redis/bodies/index.ts';
import type { KeyView } from '../../../../src/kv/index.ts';
import { hlcTimestamp, physicalMs, timestampOfMs } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, checkAll, latin1, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('stream');

interface Pending {
  readonly consumer: string;
  readonly deliveredMs: number;
  readonly deliveries: number;
}

class GroupModel {
  readonly consumers = new Set<string>();
  readonly pending = new Map<number, Pending>();
  lastDelivered = 0;
}

/** Ids are numbers of one millisecond. */
class Model {
  lastId = 0;
  maxDeleted = 0;
  added = 0;
  readonly entries = new Map<number, string>();
  readonly groups = new Map<string, GroupModel>();

  sorted(): number[] {
    return [...this.entries.keys()].sort((a, b) => a - b);
  }
}

type StreamGroup = ReturnType<StreamBody['createGroup']>;

const idOf = (number: number) => streamId(1n, BigInt(number));
const numberOf = (id: Buffer): number => Number(id.readBigUInt64BE(8));

const groupName = fc.constantFrom('g', 'h', 'g\0', '', 'n'.repeat(40));
const consumerName = fc.constantFrom('a', 'b', 'a\0', 'a\0b', 'c'.repeat(40), '');
const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });

const operation = fc.oneof(
  weighted(8, fc.record({ add: fc.integer({ min: 1, max: 30 }), bytes: fc.constantFrom(0, 3, 10, 40) })),
  weighted(3, fc.record({ remove: fc.array(share, { minLength: 1, maxLength: 10 }) })),
  weighted(2, fc.record({ keep: share, isExact: fc.boolean(), by: fc.constantFrom('count', 'id') })),
  weighted(3, fc.record({ create: groupName })),
  weighted(1, fc.record({ destroy: groupName })),
  weighted(8, fc.record({ group: groupName, consumer: consumerName, read: fc.integer({ min: 1, max: 40 }) })),
  weighted(3, fc.record({ group: groupName, consumer: consumerName, claim: fc.array(share, { maxLength: 8 }) })),
  weighted(4, fc.record({ group: groupName, acknowledge: fc.array(share, { minLength: 1, maxLength: 20 }) })),
  weighted(1, fc.record({ group: groupName, leave: consumerName })),
  weighted(1, fc.record({ rings: fc.integer({ min: 1, max: 3 }) })),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const pick = (numbers: readonly number[], shares: readonly number[]): number[] =>
  numbers.length === 0 ? [] : [...new Set(shares.map((at) => numbers[Math.floor(at * numbers.length)]!))];

function apply(stream: StreamBody, model: Model, op: Operation, nowMs: number): void {
  if ('add' in op) {
    for (let left = op.add; left > 0; left--) {
      const id = ++model.lastId;
      const value = 'v'.repeat(op.bytes);
      stream.add(idOf(id), ['f', value].map(bytesOf));
      model.entries.set(id, value);
      model.added++;
    }
  } else if ('remove' in op) {
    for (const id of pick(model.sorted(), op.remove)) {
      assert.equal(stream.delete(idOf(id)), true);
      assert.equal(stream.delete(idOf(id)), false);
      model.entries.delete(id);
      model.maxDeleted = Math.max(model.maxDeleted, id);
    }
  } else if ('keep' in op) trim(stream, model, op);
  else if ('create' in op) {
    if (model.groups.has(op.create)) return;
    stream.createGroup(bytesOf(op.create), MIN_ID, 0n);
    model.groups.set(op.create, new GroupModel());
  } else if ('destroy' in op) assert.equal(stream.destroyGroup(bytesOf(op.destroy)), model.groups.delete(op.destroy));
  else if ('group' in op) applyToGroup(stream, model, op, nowMs);
}

function trim(stream: StreamBody, model: Model, op: Extract<Operation, { keep: number }>): void {
  const sorted = model.sorted();
  const from = Math.floor(op.keep * sorted.length);
  const atMost = sorted.length - from;
  const removed = stream.trim(
    op.by === 'count' ? { atMost } : { from: idOf(sorted[from] ?? 0) },
    op.isExact ? 'exact' : { atMost: 0 },
  );
  if (op.isExact) assert.equal(removed, sorted.length === 0 ? 0 : from);
  else assert.ok(removed <= from, 'what is to be kept is kept');
  for (const id of sorted.slice(0, removed)) model.entries.delete(id);
}

function applyToGroup(
  stream: StreamBody,
  model: Model,
  op: Extract<Operation, { group: string }>,
  nowMs: number,
): void {
  const [group, ofModel] = [stream.group(bytesOf(op.group)), model.groups.get(op.group)];
  assert.equal(group === undefined, ofModel === undefined);
  if (group === undefined || ofModel === undefined) return;
  if ('leave' in op) {
    const pending = [...ofModel.pending].filter(([, { consumer }]) => consumer === op.leave);
    const expected = ofModel.consumers.delete(op.leave) ? pending.length : undefined;
    assert.equal(group.deleteConsumer(bytesOf(op.leave)), expected);
    for (const [id] of pending) ofModel.pending.delete(id);
    return;
  }
  if ('acknowledge' in op) {
    for (const id of pick([...ofModel.pending.keys()], op.acknowledge)) {
      assert.equal(group.release(idOf(id)), true);
      assert.equal(group.release(idOf(id)), false);
      ofModel.pending.delete(id);
    }
    return;
  }
  const consumer = group.consumer(bytesOf(op.consumer)) ?? group.createConsumer(bytesOf(op.consumer), nowMs);
  ofModel.consumers.add(op.consumer);
  const assign = (id: number, deliveries: number): void => {
    group.assign(idOf(id), consumer, nowMs, deliveries);
    ofModel.pending.set(id, { consumer: op.consumer, deliveredMs: nowMs, deliveries });
  };
  if ('read' in op) {
    const entries = [...stream.range(idOf(ofModel.lastDelivered + 1), MAX_ID, { limit: op.read })];
    for (const { id } of entries) assign(numberOf(id), 1);
    ofModel.lastDelivered = Math.max(ofModel.lastDelivered, ...entries.map(({ id }) => numberOf(id)));
  } else for (const id of pick([...ofModel.pending.keys()], op.claim)) assign(id, 2);
}

function compare(stream: StreamBody, model: Model): void {
  const sorted = model.sorted();
  assert.equal(stream.length, sorted.length);
  assert.equal(stream.entriesAdded, BigInt(model.added));
  assert.equal(idText(stream.lastId), model.lastId === 0 ? '0-0' : `1-${model.lastId}`);
  assert.equal(idText(stream.maxDeletedId), model.maxDeleted === 0 ? '0-0' : `1-${model.maxDeleted}`);
  const shown = [...stream.range(MIN_ID, MAX_ID)].map(({ id, parts }) => [numberOf(id), latin1(parts[1]!)]);
  assert.deepEqual(
    shown,
    sorted.map((id) => [id, model.entries.get(id)]),
  );
  const reversed = [...stream.range(MIN_ID, MAX_ID, { isReverse: true })].map(({ id }) => numberOf(id));
  assert.deepEqual(reversed, sorted.toReversed());
  assert.equal(idText(stream.firstId), sorted.length === 0 ? '0-0' : `1-${sorted[0]}`);
  const names = [...model.groups.keys()].sort((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)));
  assert.deepEqual(
    [...stream.groups()].map(({ name }) => latin1(name)),
    names,
  );
  for (const group of stream.groups()) compareGroup(group, model.groups.get(latin1(group.name))!);
}

function compareGroup(group: StreamGroup, model: GroupModel): void {
  const ids = [...model.pending.keys()].sort((a, b) => a - b);
  assert.equal(group.pendingCount, ids.length);
  assert.deepEqual(
    [group.firstPending, group.lastPending].map((id) => id && numberOf(id)),
    [ids[0], ids.at(-1)],
  );
  const shown = [...group.pendingFrom(MIN_ID)].map(({ id, consumer, deliveredMs, deliveries }) => [
    numberOf(id),
    { consumer: latin1(group.consumerOf(consumer).name), deliveredMs, deliveries },
  ]);
  assert.deepEqual(
    shown,
    ids.map((id) => [id, model.pending.get(id)]),
  );
  const names = [...model.consumers].sort((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)));
  assert.deepEqual(
    [...group.consumers()].map(({ name }) => latin1(name)),
    names,
  );
  for (const consumer of group.consumers()) {
    const own = ids.filter((id) => model.pending.get(id)!.consumer === latin1(consumer.name));
    assert.equal(consumer.pending.count, own.length);
    assert.deepEqual([...group.pendingOf(consumer, MIN_ID)].map(numberOf), own);
  }
}

/** What the leader does with rows that have expired. @returns how many alarms there were */
function ring(access: TestAccess): number {
  const { view } = access;
  const expired = view.expired();
  const byStorageKey = (over: KeyView): BodyAccess => ({ ...access, view: over, storageKey: (key) => key });
  for (const key of expired) alarmWork(key, byStorageKey)!(view as unknown as KeyView);
  return expired.length;
}

function later(access: TestAccess, ms: number): void {
  access.view.ts = timestampOfMs(physicalMs(access.view.ts) + ms);
}

describe('a stream', () => {
  test('is what a list of entries and maps of pending ids are', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' }), (operations) => {
        const access = accessTo(TINY_LIMITS);
        access.view.ts = timestampOfMs(1_000_000);
        const model = new Model();
        newStream(access, KEY).save();
        for (const op of operations) {
          later(access, 10);
          if ('rings' in op) for (let left = op.rings; left > 0; left--) ring(access);
          else {
            const stream = openStream(access, KEY)!;
            apply(stream, model, op, physicalMs(access.view.ts));
            stream.save();
          }
          checkAll(access, KEY);
          if (!('leave' in op) && !('rings' in op)) continue;
          for (const group of openStream(access, KEY)!.groups())
            compareGroup(group, model.groups.get(latin1(group.name))!);
        }
        compare(openStream(access, KEY)!, model);
      }),
      { numRuns: 60 },
    );
  });

  test('exists without entries, and does not come about by being looked for', () => {
    const access = accessTo();
    assert.equal(openStream(access, KEY), undefined);
    newStream(access, KEY).save();
    const stream = openStream(access, KEY)!;
    assert.equal(stream.length, 0);
    stream.save();
    checkAll(access, KEY);
  });

  test('lets go of a group of any size in slices', () => {
    const access = accessTo();
    access.view.ts = hlcTimestamp(1_000_000n << 16n);
    const stream = newStream(access, KEY);
    const group = stream.createGroup(bytesOf('g'), MIN_ID, 0n);
    const consumers = ['a', 'b'].map((name) => group.createConsumer(bytesOf(name), 0));
    for (let id = 1; id <= 20_000; id++) group.assign(idOf(id), consumers[id % 2]!, 0, 1);
    stream.save();
    checkAll(access, KEY);
    access.view.forget();
    const changed = openStream(access, KEY)!;
    assert.equal(changed.destroyGroup(bytesOf('g')), true);
    changed.save();
    assert.ok(access.view.written.size < 400, `${access.view.written.size} rows are written at once`);
    checkAll(access, KEY);
    let rings = 0;
    for (; rings < 100; rings++) {
      later(access, 2);
      access.view.forget();
      if (ring(access) === 0) break;
      assert.ok(access.view.written.size < 400, `${access.view.written.size} rows are written in a slice`);
      checkAll(access, KEY);
    }
    assert.ok(rings > 10, 'there were slices');
    assert.equal(access.view.keys().length, 1, 'only the head is left');
  });

  test('lets go of a consumer of any size in slices, and nobody sees what is left of it', () => {
    const access = accessTo();
    access.view.ts = hlcTimestamp(1_000_000n << 16n);
    const stream = newStream(access, KEY);
    const group = stream.createGroup(bytesOf('g'), MIN_ID, 0n);
    const model = new GroupModel();
    const names = ['a', 'b', 'c'];
    const consumers = names.map((name) => group.createConsumer(bytesOf(name), 0));
    for (const name of names) model.consumers.add(name);
    for (let id = 1; id <= 6_000; id++) {
      // The lowest and the highest ids are of one that goes.
      const at = id <= 1_000 || id > 5_000 ? 0 : id % 3;
      group.assign(idOf(id), consumers[at]!, 0, 1);
      model.pending.set(id, { consumer: names[at]!, deliveredMs: 0, deliveries: 1 });
    }
    stream.save();
    const leave = (name: string): void => {
      const own = [...model.pending].filter(([, { consumer }]) => consumer === name);
      access.view.forget();
      const changed = openStream(access, KEY)!;
      assert.equal(changed.group(bytesOf('g'))!.deleteConsumer(bytesOf(name)), own.length);
      changed.save();
      assert.ok(access.view.written.size < 10, `${access.view.written.size} rows are written at once`);
      for (const [id] of own) model.pending.delete(id);
      model.consumers.delete(name);
      check();
    };
    const check = (): void => {
      checkAll(access, KEY);
      compareGroup(openStream(access, KEY)!.group(bytesOf('g'))!, model);
    };
    const change = (work: (changed: StreamGroup) => void): void => {
      const changed = openStream(access, KEY)!;
      work(changed.group(bytesOf('g'))!);
      changed.save();
    };
    leave('a');
    // What was pending of it is not there, and comes again as something new; under its name too.
    change((changed) => {
      assert.equal(changed.release(idOf(1)), false);
      assert.equal(changed.pendingEntry(idOf(1)), undefined);
      changed.assign(idOf(2), changed.consumer(bytesOf('b'))!, 5, 3);
      changed.assign(idOf(5_999), changed.createConsumer(bytesOf('a'), 5), 5, 1);
      assert.equal(changed.release(idOf(4_000)), true);
    });
    model.consumers.add('a');
    model.pending.set(2, { consumer: 'b', deliveredMs: 5, deliveries: 3 });
    model.pending.set(5_999, { consumer: 'a', deliveredMs: 5, deliveries: 1 });
    model.pending.delete(4_000);
    check();
    later(access, 2);
    ring(access);
    check();
    leave('b');
    const destroyed = { ...access, view: access.view.copy() };
    const last = openStream(destroyed, KEY)!;
    assert.equal(last.destroyGroup(bytesOf('g')), true);
    last.save();
    for (const here of [access, destroyed]) {
      let rings = 0;
      for (; rings < 100; rings++) {
        later(here, 2);
        here.view.forget();
        if (ring(here) === 0) break;
        assert.ok(here.view.written.size < 1_500, `${here.view.written.size} rows are written in a slice`);
        checkAll(here, KEY);
      }
      assert.ok(rings > 2, 'there were slices');
    }
    check();
    assert.equal(destroyed.view.keys().length, 1, 'only the head is left');
  });

  test('writes what a trim keeps anew when that is little', () => {
    const access = accessTo();
    access.view.ts = hlcTimestamp(1_000_000n << 16n);
    const stream = newStream(access, KEY);
    for (let id = 1; id <= 50_000; id++) stream.add(idOf(id), ['field', 'value'].map(bytesOf));
    stream.save();
    for (const kept of [{ atMost: 100 }, { from: idOf(49_901) }]) {
      const view = access.view.copy();
      const copied = { ...access, view };
      const trimmed = openStream(copied, KEY)!;
      assert.equal(trimmed.trim(kept, 'exact'), 49_900);
      trimmed.save();
      assert.ok(view.written.size < 1_500, `${view.written.size} rows are written`);
      checkAll(copied, KEY);
      for (let rings = 0; rings < 100; rings++) {
        later(copied, 2);
        if (ring(copied) === 0) break;
      }
      checkAll(copied, KEY);
      assert.ok(view.keys().length < 20, 'what was left behind is gone');
    }
  });
});
