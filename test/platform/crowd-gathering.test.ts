/** How long an entry is kept open for commands that are about to come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CrowdGathering } from '../../src/platform/crowd-gathering.ts';

/** Entries of a group whose commits take 20 ms. */
class Entries {
  ms = 1000;
  readonly gathering: CrowdGathering;

  constructor(maxTurns = 1) {
    this.gathering = new CrowdGathering(maxTurns, () => this.ms);
  }

  /** One that leaves now, and what came while it was on its way. */
  commit(commands: number, waiting: number, tookMs = 20): void {
    const leftAtMs = this.gathering.begin();
    this.ms += tookMs;
    this.gathering.settled(leftAtMs, commands, waiting);
  }

  patience(commands: number): number {
    return Math.round(this.gathering.patienceMs(commands));
  }
}

test('one client alone waits for nobody', () => {
  const entries = new Entries();
  for (let at = 0; at < 5; at++) entries.commit(1, 0);
  assert.equal(entries.patience(1), 0);
});

test('the crowd that was answered is waited for half of a commit', () => {
  const entries = new Entries();
  entries.commit(30, 20);
  assert.equal(entries.patience(20), 10);
  entries.ms += 4;
  assert.equal(entries.patience(35), 6);
  assert.equal(entries.patience(50), 0, 'all are there');
});

test('who has waited in vain does not wait again for some entries, and then for more', () => {
  const entries = new Entries();
  const inVain = (): number => {
    entries.commit(30, 20);
    let atOnce = 0;
    for (; entries.patience(20) === 0; atOnce++) entries.commit(30, 20);
    entries.ms += 10;
    assert.equal(entries.patience(20), 0);
    return atOnce;
  };
  assert.equal(inVain(), 0);
  const rest = inVain();
  assert.ok(rest >= 14 && rest <= 16, String(rest));
  assert.ok(inVain() > rest + 10);
});

test('one wait in vain for a few is no reason to let the others go apart, a second one is', () => {
  const entries = new Entries();
  const inVain = (): void => {
    assert.equal(entries.patience(50), 10);
    entries.ms += 10;
    assert.equal(entries.patience(50), 0);
    entries.commit(50, 1);
  };
  entries.commit(50, 1);
  inVain();
  assert.equal(entries.patience(20), 10, 'the next entry waits');
  entries.commit(51, 0);
  entries.commit(50, 1);
  inVain();
  inVain();
  assert.equal(entries.patience(20), 0);
});

test('clients that went away are waited for once', () => {
  const entries = new Entries();
  entries.commit(30, 20);
  entries.ms += 10;
  entries.commit(3, 0);
  for (let at = 0; at < 40; at++) {
    assert.equal(entries.patience(3), 0);
    entries.commit(3, 0);
  }
});

test('a fast disk is not waited for', () => {
  const entries = new Entries();
  for (let at = 0; at < 3; at++) entries.commit(30, 20, 0.8);
  assert.equal(entries.patience(20), 0);
});

test('no entry waits where entries are not to wait', () => {
  const entries = new Entries(0);
  entries.commit(30, 20);
  assert.equal(entries.patience(20), 0);
});
