import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Redis } from 'ioredis';
import { checkThrough, History } from './kill-rounds.ts';

/** A client that reads from a map: what a node would show. */
function showing(state: ReadonlyMap<string, string>): Redis {
  const read = (key: string): string | null => state.get(key) ?? null;
  const pipeline = (commands: [string, string][]) => ({
    exec: async () => commands.map(([, key]) => [null, read(key)]),
  });
  return { get: async (key: string) => read(key), pipeline } as unknown as Redis;
}

describe('the check of a history', () => {
  const history = new History();
  history.singles.set('kept', { value: 'a', outcome: 'acknowledged' });
  history.singles.set('refused', { value: 'b', outcome: 'refused' });
  history.singles.set('open', { value: 'c', outcome: 'unknown' });
  history.registers.set('register', { acknowledged: 5, unknown: [7], refused: [6] });
  history.counterReplies.push(1, 2, 4);
  history.counterUnknown = 2;
  const good = new Map([
    ['kept', 'a'],
    ['register', '5'],
    ['counter', '4'],
  ]);
  const check = (changes: Record<string, string | undefined>): Promise<void> => {
    const state = new Map(good);
    for (const [key, value] of Object.entries(changes)) value === undefined ? state.delete(key) : state.set(key, value);
    return checkThrough(showing(state), history, 'here');
  };

  test('accepts every state that the answers allow', async () => {
    await check({});
    await check({ open: 'c' });
    await check({ register: '7' });
    await check({ counter: '5' });
  });

  test('finds a lost write, a changed one and a refused one that appeared', async () => {
    await assert.rejects(check({ kept: undefined }), /1 of 3 single writes are wrong/);
    await assert.rejects(check({ kept: 'z' }), /kept was acknowledged, read "z"/);
    await assert.rejects(check({ refused: 'b' }), /refused was refused, read "b"/);
    await assert.rejects(check({ open: 'z' }), /open was unknown/);
  });

  test('finds a register that went back or took a refused value', async () => {
    await assert.rejects(check({ register: '4' }), /register is 4, last acknowledged was 5/);
    await assert.rejects(check({ register: '6' }), /register is 6/);
  });

  test('finds increments that were lost, doubled or answered twice', async () => {
    await assert.rejects(check({ counter: '2' }), /the counter is 2/);
    await assert.rejects(check({ counter: '6' }), /the counter is 6/);
    await assert.rejects(check({ counter: '3' }), /answered more than the counter is/);
    history.counterReplies.push(4);
    await assert.rejects(check({ counter: '4' }), /same answer/);
  });
});
