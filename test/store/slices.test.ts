import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Slices } from '../../src/store/flush/slices.ts';

/** Does work of 600 bytes a piece, so much of it that it takes 20 turns or more. @returns pieces of each turn */
async function turnsOf(msAPiece: number): Promise<readonly number[]> {
  let nowMs = 5;
  const turns = [0];
  const slices = new Slices({ nowMs: () => nowMs, monotonicMs: () => nowMs }, async () => {
    // Other work has a turn, which is not counted.
    nowMs += 50;
    turns.push(0);
  });
  while (turns.length <= 20) {
    turns[turns.length - 1]!++;
    nowMs += msAPiece;
    if (slices.isOver(600)) await slices.next();
  }
  return turns.slice(0, 20);
}

describe('slices of a flush', () => {
  test('end by the clock where rows are slow', async () => {
    for (const pieces of await turnsOf(0.05))
      assert.ok(pieces >= 40 && pieces < 40 + 55, `${pieces} pieces of 0.05 ms`);
    for (const pieces of await turnsOf(3)) assert.ok(pieces <= 55, `${pieces} pieces of 3 ms`);
  });

  test('end by what they cost where the clock stands still', async () => {
    for (const pieces of await turnsOf(0)) assert.ok(pieces > 1_700 && pieces < 1_900, `${pieces} pieces`);
  });
});
