/**
 * Operations that name so much that they are evaluated in parts, with the turns of others in between: they take effect as a whole, and nobody sees that they
 * take their time. Here each part touches one row.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { KeyView } from '../../src/kv/contract/view.ts';
import type { ExecutorLimits } from '../../src/kv/leader/executor-options.ts';
import { finish, NEVER } from '../../src/platform/index.ts';
import { NotLeaderError, TooLargeError } from '../../src/raftengine/errors.ts';
import { bytes, LoneGroup, Outcome, text } from '../support/lone-group.ts';
import { captureOn, fence, isElsewhere, release, SpanGroup } from './span-group.ts';
import { finish as endOf, request, txn, put as txnPut } from './txn/entries.ts';

const LIMITS: Partial<ExecutorLimits> = { mostNamedAtOnce: 0, partRows: 1 };

type Steps<Reply> = (view: KeyView) => Generator<void, Reply>;

interface Place {
  readonly source?: object;
  readonly order?: number;
}

let completions = 0;

/** Submits an operation that comes in parts. */
function inParts<Reply>(
  bed: LoneGroup,
  keys: readonly string[],
  steps: Steps<Reply>,
  place: Place = {},
): Outcome<Reply> {
  const outcome = new Outcome<Reply>();
  bed.executor.submit({
    ...place,
    mayComeInParts: true,
    storageKeys: () => keys.map(bytes),
    evaluate: (view) => finish(steps(view)),
    evaluateInParts: (view) => {
      outcome.evaluations++;
      return steps(view);
    },
    complete: (error, reply) => {
      outcome.order = ++completions;
      outcome.calls.push({ error, reply: reply as Reply | undefined });
    },
  });
  return outcome;
}

/** Submits one that does not. */
function whole<Reply>(bed: LoneGroup, key: string, evaluate: (view: KeyView) => Reply, place: Place): Outcome<Reply> {
  const outcome = new Outcome<Reply>();
  bed.executor.submit({
    ...place,
    storageKeys: () => [bytes(key)],
    evaluate,
    complete: (error, reply) => {
      outcome.order = ++completions;
      outcome.calls.push({ error, reply: reply as Reply | undefined });
    },
  });
  return outcome;
}

const put = (view: KeyView, key: string, value: string): void => view.put(bytes(key), bytes(value), NEVER);

/** Deletes keys, and says which were there with what. */
const deleting = (keys: readonly string[]): Steps<string> =>
  function* steps(view) {
    const found: string[] = [];
    for (const key of keys) {
      const value = text(view.get(bytes(key)));
      if (value !== undefined) {
        found.push(value);
        view.delete(bytes(key));
      }
      yield;
    }
    return found.join();
  };

function turns(bed: LoneGroup, count: number): void {
  for (let turn = 0; turn < count; turn++) bed.scheduler.passTurn();
}

/** Turns pass, and what is proposed is applied, until all are done. */
async function until(bed: LoneGroup, ...outcomes: readonly Outcome<unknown>[]): Promise<void> {
  for (let turn = 0; outcomes.some(({ isDone }) => !isDone); turn++) {
    assert.ok(turn < 1_000, 'it ends');
    for (let micro = 0; micro < 20; micro++) await Promise.resolve();
    bed.settle();
    bed.scheduler.passTurn();
  }
}

/** A group whose keys `a` to `e` have a value that names them. */
function bedOf(limits: Partial<ExecutorLimits> = {}): LoneGroup {
  const bed = new LoneGroup({ ...LIMITS, ...limits });
  for (const key of 'abcde') bed.set(key, `${key}1`);
  bed.settle();
  bed.raft.log.length = 0;
  return bed;
}

describe('an operation that comes in parts', () => {
  test('takes effect as a whole, in one entry, while others have their turns', async () => {
    const bed = bedOf();
    const deletion = inParts(bed, [...'abcd'], deleting([...'abcd']));
    turns(bed, 3);
    const read = bed.get('a');
    const other = bed.set('e', 'e2');
    assert.equal(read.reply, 'a1', 'what it has deleted is there until it is proposed');
    bed.settle();
    assert.equal(other.reply, 'OK');
    assert.equal(deletion.isDone, false);
    await until(bed, deletion);
    assert.equal(deletion.reply, 'a1,b1,c1,d1');
    assert.equal(bed.raft.log.length, 2, 'one entry of the other one, one of its own');
    for (const key of 'abcd') assert.equal(bed.get(key).reply, undefined);
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('is not disturbed by who writes what it has read: they wait, and come after it', async () => {
    const bed = bedOf();
    const deletion = inParts(bed, [...'abc'], deleting([...'abc']));
    turns(bed, 2);
    const late = bed.set('a', 'a2');
    const early = bed.set('c', 'c2');
    await until(bed, deletion, late, early);
    assert.equal(deletion.reply, 'a1,b1,c2', 'c was written before it came there');
    assert.equal(bed.get('a').reply, 'a2');
    assert.equal(bed.get('c').reply, undefined);
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('is waited for, once it is in the log, by who reads what it writes', async () => {
    const bed = bedOf();
    const deletion = inParts(bed, [...'ab'], deleting([...'ab']));
    while (bed.raft.proposals.length === 0) turns(bed, 1);
    const read = bed.get('a');
    const changed = bed.incr('b');
    const other = bed.get('c');
    assert.equal(other.reply, 'c1');
    assert.deepEqual([read.isDone, changed.isDone], [false, false]);
    await until(bed, deletion, read, changed);
    assert.equal(read.reply, undefined);
    assert.equal(changed.reply, 1);
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('keeps its place among those of its source', async () => {
    const bed = bedOf();
    const source = {};
    const get = (view: KeyView) => text(view.get(bytes('a'))) ?? 'none';
    const before = whole(bed, 'a', (view) => put(view, 'a', 'a2'), { source, order: 1 });
    const deletion = inParts(bed, [...'ab'], deleting([...'ab']), { source, order: 2 });
    const read = whole(bed, 'a', get, { source, order: 3 });
    const after = whole(bed, 'a', (view) => put(view, 'a', `${get(view)}+`), { source, order: 4 });
    await until(bed, before, deletion, read, after);
    assert.equal(deletion.reply, 'a2,b1');
    assert.equal(read.reply, 'none');
    assert.equal(bed.get('a').reply, 'none+');
  });

  test('waits for what its source has asked for before, whatever becomes of that', async () => {
    const bed = bedOf();
    const source = {};
    const before = whole(bed, 'a', (view) => put(view, 'a', `${text(view.get(bytes('a')))}+`), { source, order: 1 });
    const writing = inParts(
      bed,
      [...'ab'],
      function* (view) {
        for (const key of 'ab') {
          put(view, key, 'last');
          yield;
        }
      },
      { source, order: 2 },
    );
    bed.scheduler.endTurn();
    turns(bed, 2);
    bed.overtake((other) => other.set('a', 'a2'));
    await until(bed, before, writing);
    assert.equal(before.error, undefined);
    assert.equal(bed.get('a').reply, 'last');
  });

  test('stays before those of its source that wait behind it when it has to begin again', async () => {
    const bed = bedOf();
    const source = {};
    const deletion = inParts(bed, [...'ab'], deleting([...'ab']), { source, order: 1 });
    const after = whole(bed, 'a', (view) => put(view, 'a', 'last'), { source, order: 2 });
    while (bed.raft.proposals.length === 0) turns(bed, 1);
    bed.overtake((other) => other.set('a', 'a2'));
    await until(bed, deletion, after);
    assert.equal(deletion.reply, 'a2,b1');
    assert.equal(after.error, undefined);
    assert.equal(bed.get('a').reply, 'last');
  });

  test('says nothing of what never came to pass', async () => {
    const bed = bedOf();
    const before = bed.run((view) => put(view, 'a', `${text(view.get(bytes('a')))}+`));
    bed.scheduler.endTurn();
    const read = inParts(bed, [...'ab'], function* (view) {
      const found = text(view.get(bytes('a')));
      yield;
      view.get(bytes('b'));
      return found;
    });
    turns(bed, 1);
    bed.overtake((other) => other.set('a', 'a2'));
    bed.raft.commit();
    await until(bed, before, read);
    assert.ok(read.reply === 'a2' || read.reply === 'a2+', read.reply);
  });

  test('is followed by another one on the same keys', async () => {
    const bed = bedOf();
    const first = inParts(bed, [...'ab'], deleting([...'ab']));
    const second = inParts(bed, [...'abc'], deleting([...'abc']));
    turns(bed, 20);
    await until(bed, first, second);
    assert.deepEqual([first.reply, second.reply], ['a1,b1', 'c1']);
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('and a transaction that locks its keys wait for each other', async () => {
    const bed = bedOf();
    const { txns } = bed.executor;
    const identity = (name: string) => ({ ...txn(name, 1n, 'a'), startTs: bed.hlc.next() });
    const [early, late] = [identity('early'), identity('late')];
    const preparing = txns.prepare(request(early, [txnPut('a', 'early')]));
    while (bed.raft.proposals.length === 0) turns(bed, 1);
    const deletion = inParts(bed, [...'ab'], deleting([...'ab']));
    turns(bed, 3);
    assert.equal((await bed.answered(preparing)).kind, 'prepared');
    const commitTs = bed.hlc.next();
    await bed.answered(txns.commit({ ...endOf(early, ['a']), commitTs }));
    turns(bed, 3);
    assert.equal(deletion.isDone, false);
    const second = txns.prepare(request(late, [txnPut('a', 'late')]));
    await until(bed, deletion);
    assert.equal(deletion.reply, 'early,b1');
    assert.equal((await bed.answered(second)).kind, 'prepared');
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('begins again when a value that it has found expires meanwhile', async () => {
    const bed = bedOf();
    bed.set('a', 'short', 50);
    bed.settle();
    const count = inParts(bed, [...'ab'], function* (view) {
      const found = [...'ab'].map((key) => view.get(bytes(key)) !== undefined);
      yield;
      view.get(bytes('c'));
      return found.join();
    });
    turns(bed, 1);
    assert.equal(count.isDone, false);
    bed.clock.advance(60);
    await until(bed, count);
    assert.equal(count.reply, 'false,true', 'it has written nothing, and says what is so when it ends');

    bed.set('a', 'short', 50);
    bed.settle();
    bed.raft.log.length = 0;
    const again = inParts(bed, [...'ab'], deleting([...'ab']));
    turns(bed, 2);
    bed.clock.advance(60);
    await until(bed, again);
    assert.equal(again.reply, 'b1');
    assert.equal(again.evaluations, 2);
  });

  test('takes one turn when it has begun several times in vain', async () => {
    const bed = bedOf();
    let writes = 0;
    const deletion = inParts(bed, [...'ab'], function* (view) {
      // Each time something expires while it is evaluated.
      const key = bytes(`x${writes++}`);
      view.get(key);
      yield;
      bed.clock.advance(60);
      yield;
      view.delete(bytes('a'));
      return 'done';
    });
    for (let at = 0; at < 3; at++) {
      bed.set(`x${at}`, 'short', 50 + at * 100);
      bed.settle();
    }
    await until(bed, deletion);
    assert.equal(deletion.reply, 'done');
    assert.ok(deletion.evaluations <= 3);
  });

  test('finds what it has written itself, and what others have on its way', async () => {
    const bed = bedOf();
    const set = bed.set('a', 'a2');
    const swapped = inParts(bed, [...'ab'], function* (view) {
      const [a, b] = [text(view.get(bytes('a')))!, text(view.get(bytes('b')))!];
      yield;
      put(view, 'a', b);
      yield;
      put(view, 'b', a);
      yield;
      return `${text(view.get(bytes('a')))},${text(view.get(bytes('b')))}`;
    });
    await until(bed, set, swapped);
    assert.equal(swapped.reply, 'b1,a2');
    assert.deepEqual([bed.get('a').reply, bed.get('b').reply], ['b1', 'a2']);
  });

  test('fails as a whole', async () => {
    const bed = bedOf({ maxCommandBytes: 1_000 });
    const failed = inParts(bed, ['a'], function* (view) {
      view.delete(bytes('a'));
      yield;
      view.get(bytes('b'));
      throw new RangeError('no');
    });
    const large = inParts(bed, ['a'], function* (view) {
      put(view, 'a', 'x'.repeat(600));
      yield;
      put(view, 'b', 'x'.repeat(600));
    });
    await until(bed, failed, large);
    assert.ok(failed.error instanceof RangeError);
    assert.ok(large.error instanceof TooLargeError);
    assert.deepEqual([bed.get('a').reply, bed.get('b').reply], ['a1', 'b1']);
    assert.equal(bed.raft.log.length, 0);
  });

  test('is evaluated whole when it deletes a range', async () => {
    const bed = bedOf();
    const cleared = inParts(bed, ['a'], function* (view) {
      view.get(bytes('a'));
      yield;
      view.deleteRange(bytes('a'), bytes('c'));
      yield;
      put(view, 'a', 'a2');
    });
    await until(bed, cleared);
    assert.equal(cleared.error, undefined);
    assert.deepEqual([bed.get('a').reply, bed.get('b').reply, bed.get('c').reply], ['a2', undefined, 'c1']);
  });

  test('ends with the leadership, and so do those that wait for it', async () => {
    const bed = bedOf();
    const deletion = inParts(bed, [...'abc'], deleting([...'abc']));
    const next = inParts(bed, [...'de'], deleting([...'de']));
    turns(bed, 2);
    const waiting = bed.set('a', 'a2');
    bed.raft.stepDown();
    for (const { error } of [deletion, next, waiting]) assert.ok(error instanceof NotLeaderError);
    bed.raft.lead();
    turns(bed, 5);
    const set = bed.set('a', 'a3');
    const again = inParts(bed, [...'ab'], deleting([...'ab']));
    await until(bed, set, again);
    assert.equal(again.reply, 'a3,b1');
  });

  test('is refused when what it has read is handed over before it ends', async () => {
    const bed = new SpanGroup({ limits: LIMITS });
    bed.set('k', '1');
    bed.settle();
    const read = inParts(bed, ['k'], function* (view) {
      const value = text(view.get(bytes('k')));
      yield;
      view.get(bytes('l'));
      yield;
      view.get(bytes('m'));
      return value;
    });
    turns(bed, 2);
    await bed.done(captureOn, fence, release);
    assert.equal(read.isDone, false);
    await until(bed, read);
    isElsewhere(read, 9);
  });

  test('is one of a serial order, whatever others do in between', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const command = fc.record({
      keys: fc.uniqueArray(key, { minLength: 1 }),
      writes: fc.boolean(),
      inParts: fc.boolean(),
    });
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('command' as const), command }) },
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('foreign' as const), key }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (drawn, isAlone) => {
        const bed = new LoneGroup(LIMITS);
        const model = new Map<string, string>();
        const rows: { label: string; keys: readonly string[]; writes: boolean; outcome: Outcome<string> }[] = [];
        /** Reads all of its keys, then leaves its mark in each: a row a step. */
        const steps = (keys: readonly string[], label: string, writes: boolean): Steps<string> =>
          function* (view) {
            const found: string[] = [];
            for (const name of keys) {
              found.push(text(view.get(bytes(name))) ?? '-');
              yield;
            }
            for (const name of writes ? keys : []) {
              put(view, name, label);
              yield;
            }
            return found.join();
          };
        let replayed = 0;
        const replay = (): void => {
          const done = rows.filter(({ outcome }) => outcome.isDone).sort((a, b) => a.outcome.order - b.outcome.order);
          for (; replayed < done.length; replayed++) {
            const { label, keys, writes, outcome } = done[replayed]!;
            assert.equal(outcome.reply, keys.map((name) => model.get(name) ?? '-').join(), label);
            if (writes) for (const name of keys) model.set(name, label);
          }
        };
        for (const [at, one] of drawn.entries()) {
          const label = `#${at}`;
          if (one.kind === 'command') {
            const { keys } = one.command;
            // No leader ever sees a foreign write: what has only read would not notice it.
            const writes = one.command.writes || !isAlone;
            const commandSteps = steps(keys, label, writes);
            const outcome = one.command.inParts
              ? inParts(bed, keys, commandSteps)
              : whole(bed, keys[0]!, (view) => finish(commandSteps(view)), {});
            rows.push({ label, keys, writes, outcome });
          } else if (one.kind === 'turn') bed.scheduler.passTurn();
          else if (one.kind === 'foreign') {
            if (isAlone) continue;
            bed.overtake((other) => other.set(one.key, label));
            model.set(one.key, label);
          } else if (bed.raft.proposals.length > 0) bed.raft.commit(1);
          replay();
        }
        for (let turn = 0; turn < 200; turn++) {
          bed.settle();
          replay();
          bed.scheduler.passTurn();
        }
        assert.equal(replayed, rows.length, 'every operation completes');
        for (const name of 'abc') assert.equal(text(bed.store.latest(bytes(name)) as never), model.get(name));
        if (isAlone) assert.equal(bed.executor.stats().conflicts, 0, 'nobody writes what it has read');
      }),
      { numRuns: 500 },
    );
  });
});
