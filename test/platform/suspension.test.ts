import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BootClock, type Clock, ElapsedClock, SimClock, Simulation } from '../../src/platform/index.ts';

type Change = (clock: SimClock) => void;

/** How far a clock has come while others count `ms`. */
async function cameBy(ms: number, change: Change, read: (clock: Clock) => () => number): Promise<number> {
  const simulation = new Simulation({ seed: 1 });
  const clock = new SimClock(simulation, 77);
  const look = read(clock);
  const beganMs = look();
  change(clock);
  for (let passed = 0; passed < ms; passed += 100) {
    await simulation.runFor(100);
    look();
  }
  return look() - beganMs;
}

const elapsedOver = (ms: number, change: Change): Promise<number> =>
  cameBy(ms, change, (clock) => {
    const elapsed = new ElapsedClock(clock);
    return () => elapsed.elapsedMs();
  });

const bootOver = (ms: number, change: Change, among = (clock: Clock): Clock => clock): Promise<number> =>
  cameBy(ms, change, (clock) => {
    const boot = new BootClock(among(clock));
    return () => boot.bootMs();
  });

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

test('counts what the system tells of a sleep, when the wall clock was set back meanwhile', async () => {
  const sleepAndSet = (clock: SimClock): void => {
    clock.sleep(4000);
    clock.jumpWall(-60_000);
  };
  assert.ok((await elapsedOver(5000, sleepAndSet)) >= 5000);
});

test('counts sleeps and no settings where clocks are compared', async () => {
  assert.equal(await bootOver(5000, (clock) => clock.sleep(4000)), 5000);
  for (const setMs of [-60_000, -800, 800, 60_000]) {
    assert.equal(await bootOver(5000, (clock) => clock.jumpWall(setMs)), 5000);
    const both = await bootOver(5000, (clock) => {
      clock.sleep(4000);
      clock.jumpWall(setMs);
    });
    assert.ok(Math.abs(both - 5000) <= Math.min(Math.abs(setMs), 20) + (Math.abs(setMs) <= 1000 ? 1000 : 0), `${both}`);
  }
});

test('counts no sleep where the system does not tell', async () => {
  const silent = (clock: Clock): Clock => ({ nowMs: () => clock.nowMs(), monotonicMs: () => clock.monotonicMs() });
  assert.equal(await bootOver(5000, (clock) => clock.sleep(4000), silent), 1000);
});
