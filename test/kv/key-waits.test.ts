/** Operations that wait at a group's leader until somebody writes a key. Values are lists: elements with commas between. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KeyView, Operation } from '../../src/kv/contract/view.ts';
import { AwaitedKeys, TooManyWaitersError, WaitEndedError, type WaitingLine } from '../../src/kv/contract/waiting.ts';
import { PRECEDENCE_MS } from '../../src/kv/leader/key-waits.ts';
import { NEVER } from '../../src/platform/index.ts';
import { NotLeaderError, OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import { bytes, LoneGroup, text } from '../support/lone-group.ts';

const LINE: WaitingLine = { name: 'list', takesTurns: true };

const elementsOf = (view: KeyView, key: string): string[] => {
  const value = text(view.get(bytes(key))) ?? '';
  return value === '' ? [] : value.split(',');
};

const put = (view: KeyView, key: string, elements: readonly string[]): void => {
  if (elements.length === 0) view.delete(bytes(key));
  else view.put(bytes(key), bytes(elements.join(',')), NEVER);
};

const push = (view: KeyView, key: string, ...elements: string[]): void =>
  put(view, key, [...elementsOf(view, key), ...elements]);

/** Takes the first element of the first key that has one, and waits for one. */
class Pop implements Operation<string> {
  readonly keys: readonly string[];
  readonly waitedMs: number;
  readonly isNotice: boolean;
  readonly wait = this;
  readyKey: Buffer | undefined;
  isSuspended = false;
  isEnded = false;
  evaluations = 0;
  error: Error | undefined;
  reply: string | undefined;
  completions = 0;
  begun = 0;
  /** Puts what it takes there. */
  target: string | undefined;
  line = LINE;

  constructor(
    keys: readonly string[],
    { waitedMs = 0, isNotice = false, target = undefined as string | undefined } = {},
  ) {
    this.keys = keys;
    this.waitedMs = waitedMs;
    this.isNotice = isNotice;
    this.target = target;
  }

  evaluate(view: KeyView): string | AwaitedKeys {
    this.evaluations++;
    for (const key of this.readyKey === undefined ? this.keys : [this.readyKey.toString('latin1')]) {
      const [first, ...rest] = elementsOf(view, key);
      if (first === undefined) continue;
      if (this.isNotice) return 'come';
      put(view, key, rest);
      if (this.target !== undefined) push(view, this.target, first);
      return `${key}=${first}`;
    }
    return new AwaitedKeys(this.keys.map(bytes), this.line);
  }

  begins(): void {
    this.begun++;
  }

  complete(error: Error | undefined, reply: string | undefined): void {
    this.completions++;
    this.error = error;
    this.reply = reply;
  }
}

class Bed extends LoneGroup {
  pop(keys: string, options: ConstructorParameters<typeof Pop>[1] = {}): Pop {
    const operation = new Pop(keys.split(' '), options);
    this.executor.submit(operation as Operation<unknown>);
    return operation;
  }

  push(key: string, ...elements: string[]) {
    return this.run((view) => push(view, key, ...elements));
  }

  end(operation: Pop): void {
    operation.isEnded = true;
    this.executor.endWait(operation as Operation<unknown>);
  }

  /** The oldest entry that is proposed loses a conflict. */
  refuse(): void {
    const lost = this.raft.proposals.shift()!;
    lost.done({ kind: 'applied', index: 0, result: new Map([[0, 'conflict']]) } as Parameters<typeof lost.done>[0]);
  }

  get waiters(): number {
    return this.executor.stats().keyWaiters;
  }

  elements(key: string): string[] {
    const read = this.run((view) => elementsOf(view, key));
    this.settle();
    return read.reply!;
  }
}

describe('operations that wait for keys', () => {
  test('are served behind the write that makes a key ready, in its entry, the oldest first', () => {
    const bed = new Bed();
    const waiters = [bed.pop('a'), bed.pop('a'), bed.pop('a')];
    assert.equal(bed.waiters, 3);
    const later = [bed.push('a', '1', '2'), bed.run((view) => elementsOf(view, 'a'))] as const;
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1);
    assert.ok(
      waiters.every(({ completions }) => completions === 0),
      'no answer before the entry is applied',
    );
    bed.raft.commit();
    assert.deepEqual(
      waiters.map(({ reply }) => reply),
      ['a=1', 'a=2', undefined],
    );
    assert.deepEqual(later[1].reply, [], 'what comes behind finds nothing left');
    assert.equal(bed.waiters, 1);
  });

  test('are not looked at before the whole operation has ended', () => {
    const bed = new Bed();
    const waiter = bed.pop('a');
    bed.run((view) => {
      push(view, 'a', 'early');
      put(view, 'a', []);
      push(view, 'a', 'late');
    });
    bed.settle();
    assert.equal(waiter.reply, 'a=late');
  });

  test('wait on when an operation takes back what it wrote', () => {
    const bed = new Bed();
    const waiter = bed.pop('a');
    bed.run((view) => {
      push(view, 'a', 'x');
      put(view, 'a', []);
    });
    bed.settle();
    assert.equal(waiter.completions, 0);
    bed.push('a', 'y');
    bed.settle();
    assert.equal(waiter.reply, 'a=y');
  });

  test('take keys in the order in which they became ready, not in that of their own', () => {
    const bed = new Bed();
    const waiter = bed.pop('a b');
    bed.run((view) => {
      push(view, 'b', '1');
      push(view, 'a', '2');
    });
    bed.settle();
    assert.equal(waiter.reply, 'b=1');
  });

  test('wake others by what they write themselves', () => {
    const bed = new Bed();
    const end = bed.pop('c');
    const middle = bed.pop('b', { target: 'c' });
    const first = bed.pop('a', { target: 'b' });
    bed.push('a', 'x');
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1);
    bed.raft.commit();
    assert.deepEqual([first.reply, middle.reply, end.reply], ['a=x', 'b=x', 'c=x']);
  });

  test('go by how long they have waited, wherever that was', () => {
    const bed = new Bed();
    bed.clock.advance(1_000);
    const here = bed.pop('a');
    const elsewhere = bed.pop('a', { waitedMs: 500 });
    bed.push('a', '1');
    bed.settle();
    assert.equal(elsewhere.reply, 'a=1');
    assert.equal(here.completions, 0);
  });

  test('of one line are asked until one gets nothing, and those of other lines all the same', () => {
    const bed = new Bed();
    const others = [bed.pop('a'), bed.pop('a')];
    const strangers = [new Pop(['a']), new Pop(['a'])];
    for (const stranger of strangers) {
      stranger.line = { name: 'other', takesTurns: false };
      bed.executor.submit(stranger as Operation<unknown>);
    }
    bed.run((view) => put(view, 'a', []));
    bed.run((view) => view.put(bytes('a'), bytes(''), NEVER));
    bed.settle();
    assert.deepEqual(
      others.map(({ evaluations }) => evaluations),
      [3, 1],
    );
    assert.deepEqual(
      strangers.map(({ evaluations }) => evaluations),
      [3, 3],
    );
  });

  test('keep their place when the entry that served them is refused', () => {
    const bed = new Bed();
    const waiters = [bed.pop('a'), bed.pop('a')];
    // A writer that nobody here knows changes the key in between, so that the entry loses.
    bed.push('a', '1');
    bed.scheduler.endTurn();
    bed.refuse();
    bed.settle();
    assert.deepEqual(
      waiters.map(({ reply }) => reply),
      ['a=1', undefined],
    );
    assert.equal(bed.waiters, 1);
  });

  test('that found nothing because of a write that never came are looked at again', () => {
    const bed = new Bed({ pipelineDepth: 8 });
    bed.push('a', '1');
    bed.settle();
    const taker = bed.run((view) => {
      const [first, ...rest] = elementsOf(view, 'a');
      put(view, 'a', rest);
      return first;
    });
    const waiter = bed.pop('a');
    bed.scheduler.endTurn();
    bed.raft.drop('notProposed');
    assert.ok(taker.error instanceof NotLeaderError);
    bed.settle();
    assert.equal(waiter.reply, 'a=1');
  });

  test('wait on when the entry that served them was not proposed', () => {
    const bed = new Bed();
    const waiter = bed.pop('a');
    bed.push('a', '1');
    bed.scheduler.endTurn();
    bed.raft.drop('notProposed');
    assert.equal(waiter.completions, 0);
    assert.equal(bed.waiters, 1);
    bed.push('a', '2');
    bed.settle();
    assert.equal(waiter.reply, 'a=2');
  });

  test('are told that nobody knows when the entry that served them is lost', () => {
    const bed = new Bed();
    const [served, left] = [bed.pop('a'), bed.pop('a')];
    bed.push('a', '1');
    bed.scheduler.endTurn();
    bed.raft.drop('unknown');
    assert.ok(served.error instanceof OutcomeUnknownError);
    assert.equal(left.completions, 0);
  });

  test('go back to whoever sent them when leadership is lost', () => {
    const bed = new Bed();
    const waiter = bed.pop('a');
    bed.raft.stepDown();
    assert.ok(waiter.error instanceof NotLeaderError);
    assert.equal(bed.waiters, 0);
  });

  test('are ended at once, and on their way get what they have taken', () => {
    const bed = new Bed();
    const [ended, served] = [bed.pop('a'), bed.pop('a')];
    bed.end(ended);
    assert.ok(ended.error instanceof WaitEndedError);
    bed.push('a', '1');
    bed.end(served);
    assert.equal(served.completions, 0);
    bed.settle();
    assert.equal(served.reply, 'a=1');
    assert.deepEqual(bed.elements('a'), []);
  });

  test('that are ended on their way do not run again when their entry is refused', () => {
    const bed = new Bed();
    const waiter = bed.pop('a');
    bed.push('a', '1');
    bed.scheduler.endTurn();
    bed.end(waiter);
    bed.refuse();
    bed.settle();
    assert.ok(waiter.error instanceof WaitEndedError);
    assert.deepEqual(bed.elements('a'), ['1']);
  });

  test('keep their place while they are suspended, and take nothing', () => {
    const bed = new Bed();
    const [suspended, other] = [bed.pop('a'), bed.pop('a')];
    suspended.isSuspended = true;
    bed.push('a', '1', '2');
    bed.settle();
    assert.equal(suspended.completions, 0);
    assert.equal(other.reply, 'a=1');
    suspended.isSuspended = false;
    bed.executor.wakeWait(suspended as Operation<unknown>);
    bed.settle();
    assert.equal(suspended.reply, 'a=2');
  });

  test('that are only told have a moment in which nobody else in line is served', () => {
    const bed = new Bed();
    const [told, behind] = [bed.pop('a', { isNotice: true }), bed.pop('a')];
    bed.push('a', '1');
    bed.settle();
    assert.equal(told.reply, 'come');
    assert.equal(behind.completions, 0);
    bed.scheduler.advance(PRECEDENCE_MS);
    bed.settle();
    assert.equal(behind.reply, 'a=1');
  });

  test('are said to wait when what they saw has come to pass, at a leader that still leads', async () => {
    const bed = new Bed();
    bed.push('a', '1');
    bed.settle();
    bed.run((view) => put(view, 'a', []));
    const waiter = bed.pop('a');
    bed.scheduler.endTurn();
    await Promise.resolve();
    assert.equal(waiter.begun, 0, 'the list may still be there when this leader does not lead any more');
    bed.raft.commit();
    await Promise.resolve();
    assert.equal(waiter.begun, 1);
    bed.raft.hasLease = false;
    const late = bed.pop('b');
    await Promise.resolve();
    assert.equal(late.begun, 0, 'nobody has confirmed that this node leads');
    bed.raft.stepDown();
    await Promise.resolve();
    assert.equal(late.begun, 0);
  });

  test('are refused when there are too many', () => {
    const bed = new Bed({ maxWaiters: 1 });
    const [first, second] = [bed.pop('a'), bed.pop('b')];
    assert.equal(first.completions, 0);
    assert.ok(second.error instanceof TooManyWaitersError);
  });
});
