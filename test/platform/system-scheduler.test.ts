import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atEndOfTurn, SystemScheduler } from '../../src/platform/index.ts';

/** A scheduler whose time passes when a callback says so, and the order in which things ran. */
class TimedTurns {
  private ms = 0;
  readonly scheduler = new SystemScheduler(() => this.ms);
  readonly order: string[] = [];

  /** A callback of the turn's end that takes `ms`, and hands on what follows. */
  step(name: string, ms: number, then?: () => void): () => void {
    return () => {
      this.order.push(name);
      this.ms += ms;
      then?.();
    };
  }

  /** Time that passes outside of the turn's end. */
  pass(ms: number): void {
    this.ms += ms;
  }

  /** Settles after so many turns, each of which leaves a mark. */
  async turns(count: number): Promise<void> {
    for (let turn = 1; turn <= count; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.order.push(`turn ${turn}`);
    }
  }
}

test('what the end of a turn hands on still runs in it, while the turn is short', async () => {
  const bed = new TimedTurns();
  const { scheduler } = bed;
  const third = bed.step('third', 1);
  const second = bed.step('second', 1, () => scheduler.endOfTurn(third));
  scheduler.endOfTurn(bed.step('first', 1, () => scheduler.endOfTurn(second)));
  await bed.turns(2);
  assert.deepEqual(bed.order, ['first', 'second', 'third', 'turn 1', 'turn 2']);
});

test('each step of a long piece of work has a turn, so that others come between', async () => {
  const bed = new TimedTurns();
  const { scheduler } = bed;
  const third = bed.step('third', 100);
  const second = bed.step('second', 100, () => scheduler.endOfTurn(third));
  scheduler.endOfTurn(bed.step('first', 100, () => scheduler.endOfTurn(second)));
  await bed.turns(4);
  assert.deepEqual(bed.order, ['first', 'turn 1', 'second', 'turn 2', 'third', 'turn 3', 'turn 4']);
});

test('a turn that was long before its end puts its end off once, and not for ever', async () => {
  const bed = new TimedTurns();
  bed.scheduler.endOfTurn(bed.step('first', 1));
  bed.pass(50);
  // The turn after it is as long.
  setImmediate(() => bed.pass(50));
  await bed.turns(3);
  assert.deepEqual(bed.order, ['turn 1', 'first', 'turn 2', 'turn 3']);
});

test('callbacks that were there together run together, however long they take', async () => {
  const bed = new TimedTurns();
  bed.scheduler.endOfTurn(bed.step('one', 100));
  bed.scheduler.endOfTurn(bed.step('two', 100));
  await bed.turns(1);
  assert.deepEqual(bed.order, ['one', 'two', 'turn 1']);
});

test('an answer leaves at the end of its turn, once, and is not put off with what else is gathered there', async () => {
  const bed = new TimedTurns();
  bed.scheduler.endOfTurn(bed.step('gathered', 1));
  atEndOfTurn(bed.scheduler, bed.step('answer', 1));
  bed.pass(50);
  await bed.turns(2);
  assert.deepEqual(bed.order, ['answer', 'turn 1', 'gathered', 'turn 2']);

  const short = new TimedTurns();
  atEndOfTurn(short.scheduler, short.step('answer', 1));
  await short.turns(2);
  assert.deepEqual(short.order, ['answer', 'turn 1', 'turn 2']);
});
