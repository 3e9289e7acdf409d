import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ElapsedClock, SimClock, Simulation } from '../../src/platform/index.ts';

async function elapsedOver(ms: number, change: (clock: SimClock) => void): Promise<number> {
  const simulation = new Simulation({ seed: 1 });
  const clock = new SimClock(simulation, 77);
  const elapsed = new ElapsedClock(clock);
  const beganMs = elapsed.elapsedMs();
  change(clock);
  for (let passed = 0; passed < ms; passed += 100) {
    await simulation.runFor(100);
    elapsed.elapsedMs();
  }
  return elapsed.elapsedMs() - beganMs;
}

test('counts the time that a machine slept', async () => {
  assert.equal(await elapsedOver(5000, (clock) => clock.sleep(4000)), 5000);
});

test('counts too much when the wall clock is set ahead, and never too little when it is set back', async () => {
  assert.equal(await elapsedOver(5000, (clock) => clock.jumpWall(60_000)), 65_000);
  assert.equal(await elapsedOver(5000, (clock) => clock.jumpWall(-60_000)), 5000);
});

test('takes a clock that is slewed for one that runs', async () => {
  assert.ok(Math.abs((await elapsedOver(5000, (clock) => clock.setDriftPpm(500))) - 5002.5) < 1e-6);
});
