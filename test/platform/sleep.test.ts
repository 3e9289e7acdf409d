import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nodeId, SimFabric, SimMachine, Simulation, sleep } from '../../src/platform/index.ts';

/** What a sleep of a second did after so many milliseconds. */
async function asleep(machine: SimMachine, signal?: AbortSignal): Promise<{ isOver: boolean }> {
  const state = { isOver: false };
  void sleep(machine.scheduler, 1000, signal).then(() => {
    state.isOver = true;
  });
  await Promise.resolve();
  return state;
}

describe('a sleep', () => {
  test('lasts as long as it was asked for', async () => {
    const simulation = new Simulation({ seed: 1 });
    const machine = new SimMachine(new SimFabric(simulation), nodeId(1));
    const state = await asleep(machine);
    await simulation.runFor(900);
    assert.equal(state.isOver, false);
    await simulation.runFor(200);
    assert.equal(state.isOver, true);
  });

  test('ends when its signal is aborted, and at once when it was before', async () => {
    const simulation = new Simulation({ seed: 1 });
    const machine = new SimMachine(new SimFabric(simulation), nodeId(1));
    const stopping = new AbortController();
    const state = await asleep(machine, stopping.signal);
    stopping.abort();
    await simulation.runFor(1);
    assert.equal(state.isOver, true);
    assert.equal((await asleep(machine, stopping.signal)).isOver, true);
  });
});
