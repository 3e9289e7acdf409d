import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { GuessLimiter } from '../../src/security/index.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

const ADDRESS = '10.0.0.7';

describe('an address that gives wrong passwords', () => {
  let clock: ManualClock;
  let scheduler: ManualScheduler;
  let warnings: object[];
  let limiter: GuessLimiter;
  beforeEach(() => {
    clock = new ManualClock();
    scheduler = new ManualScheduler(clock);
    warnings = [];
    limiter = new GuessLimiter(clock, scheduler, { warn: (facts) => warnings.push(facts) });
  });
  const guess = (times: number): void => {
    for (let count = 0; count < times; count++) limiter.mistake(ADDRESS);
  };

  test('waits for nothing while its mistakes are few', () => {
    guess(9);
    assert.equal(limiter.admit(ADDRESS).kind, 'now');
    assert.deepEqual(warnings, []);
  });

  test('has its further tries looked at one after the other, and the last of too many not at all', async () => {
    guess(10);
    assert.equal(limiter.admit(ADDRESS).kind, 'now');
    const looked: number[] = [];
    let refused = 0;
    for (let count = 0; count < 60; count++) {
      const admission = limiter.admit(ADDRESS);
      if (admission.kind === 'after') void admission.turn.then(() => looked.push(clock.monotonicMs()));
      else if (admission.kind === 'refused') refused++;
    }
    assert.equal(refused, 10);
    for (let second = 0; second < 5; second++) {
      for (let tenth = 0; tenth < 10; tenth++) {
        scheduler.advance(100);
        await Promise.resolve();
      }
    }
    assert.equal(looked.length, 50);
    assert.ok(looked.every((atMs, index) => index === 0 || atMs - looked[index - 1]! >= 100));
  });

  test('holds nobody else up', () => {
    guess(50);
    assert.equal(limiter.admit('10.0.0.8').kind, 'now');
  });

  test('is forgiven with time', () => {
    guess(12);
    clock.advance(30_000);
    assert.equal(limiter.admit(ADDRESS).kind, 'now');
    assert.equal(limiter.admit(ADDRESS).kind, 'now', 'without a turn to wait for');
  });

  test('is reported once a minute, with a count', () => {
    guess(500);
    assert.deepEqual(warnings, [{ address: ADDRESS, wrongPasswords: 10 }]);
    clock.advance(60_000);
    guess(10);
    assert.deepEqual(warnings[1], { address: ADDRESS, wrongPasswords: 491 });
  });
});
