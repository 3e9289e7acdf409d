/** When a replica may answer, guard by guard; and what a leader may close. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReplicaClaims } from '../../../src/kv/reads/claims.ts';
import { type ClosableGroup, GroupCloser } from '../../../src/kv/reads/closer.ts';
import { decodeToken, encodeToken } from '../../../src/kv/reads/token.ts';
import { decodeClosed, encodeClosed } from '../../../src/kv/reads/wire.ts';
import { ElapsedClock, groupId, type HlcTimestamp } from '../../../src/platform/index.ts';
import { bytes, GROUP } from '../../support/lone-group.ts';
import { ManualClock } from '../../support/manual-time.ts';
import { Machine, put as mutation, ts } from '../span-machine.ts';
import { entry, put, txn } from '../txn/entries.ts';

const notice = (closedTs: number, appliedIndex: number, term = 1) => ({
  group: GROUP,
  term,
  closedTs: ts(closedTs),
  appliedIndex,
  ageMs: 1000,
});

function replica() {
  const machine = new Machine(['a', 'z']);
  const claims = new ReplicaClaims({ stateMachine: machine.machine, store: machine.store, term: () => 1 });
  return { machine, claims };
}

describe('a replica', () => {
  test('uses a notice only when it has applied what the leader had', () => {
    const { machine, claims } = replica();
    claims.accept(notice(100, machine.index + 1), 5000);
    assert.equal(claims.current(), undefined);
    machine.batch(90, [mutation(0, 'k', 'v')]);
    assert.equal(claims.current()?.closedTs, ts(100));
    assert.equal(claims.current()?.coveredMs, 4000);
  });

  test('does not listen to leaders of earlier terms', () => {
    const { machine, claims } = replica();
    claims.accept(notice(100, machine.index, 3), 5000);
    claims.accept(notice(200, machine.index, 2), 6000);
    assert.equal(claims.current()?.closedTs, ts(100));
  });

  test('leaves a key to the leader whose transaction may still commit at or below', () => {
    const { machine, claims } = replica();
    machine.apply(entry.prepare(50n, txn('t'), [put('k', 'v')]));
    assert.equal(claims.refuseKeys([bytes('k')], ts(49)), undefined);
    assert.equal(claims.refuseKeys([bytes('k')], ts(50)), 'locked');
    assert.equal(claims.refuseKeys([bytes('l')], ts(50)), undefined);
    assert.equal(claims.refuseRange(bytes('b'), bytes('m'), ts(60)), 'locked');
    assert.equal(claims.refuseRange(bytes('l'), bytes('m'), ts(60)), undefined);
  });

  test('answers for its own spans, and for one that has left up to where it left, until it is purged', () => {
    const { machine, claims } = replica();
    const job = 7 as never;
    machine.span({ kind: 'captureOn', job, start: bytes('m'), end: bytes('p') });
    machine.span({ kind: 'fence', job, attempt: 1 });
    assert.equal(claims.refuseKeys([bytes('n')], ts(500)), undefined, 'a fenced range is read');
    machine.span({ kind: 'release', job, attempt: 1, dst: groupId(9), fenceTs: ts(70) });
    assert.equal(claims.refuseKeys([bytes('n')], ts(70)), undefined);
    assert.equal(claims.refuseKeys([bytes('n')], ts(71)), 'notOwned');
    assert.equal(claims.refuseKeys([bytes('zz')], ts(10)), 'notOwned');
    assert.equal(claims.refuseRange(bytes('l'), bytes('n'), ts(10)), 'notOwned');
    machine.span({ kind: 'purge', job });
    assert.equal(claims.refuseKeys([bytes('n')], ts(70)), 'notOwned');
  });

  test('does not call an answer fresh that lacks what was acknowledged elsewhere first', () => {
    const { machine, claims } = replica();
    machine.apply(entry.prepare(50n, txn('t', 1n, 'k'), [put('k', 'v')]));
    machine.apply(
      entry.commit(80n, 75n, {
        ...txn('t', 1n, 'k'),
        isPrimary: true,
        participants: [],
        writes: [bytes('k')],
        reads: [],
        ranges: [],
      }),
    );
    assert.equal(claims.missesForeign([bytes('k')], ts(60)), true);
    assert.equal(claims.missesForeign([bytes('l')], ts(60)), false);
    assert.equal(claims.missesForeign([bytes('k')], ts(75)), false);
  });
});

/** A leader that does what the test says. */
class Leader implements ClosableGroup {
  readonly group = GROUP;
  term = 1;
  appliedIndex = 10;
  boundMs = 10_000;
  hasLease = true;
  oldest: HlcTimestamp | undefined;
  nowTs = 1000;
  readonly observed: HlcTimestamp[] = [];
  isServing = () => true;
  holdsLease = () => this.hasLease;
  oldestAssigned = () => this.oldest;
  observe = (at: HlcTimestamp) => void this.observed.push(at);
  now = () => at(this.nowTs);
}
const at = (ms: number): HlcTimestamp => ts(ms * 65_536);

function closing() {
  const clock = new ManualClock();
  const leader = new Leader();
  const closer = new GroupCloser(leader, new ElapsedClock(clock), 1000);
  const after = (ms: number) => {
    clock.advance(ms);
    leader.nowTs += ms;
    return closer.close();
  };
  return { clock, leader, closer, after };
}

describe('a leader', () => {
  test('closes what its clock read a lag ago, and issues nothing there any more', () => {
    const { leader, closer, after } = closing();
    assert.equal(closer.close(), undefined);
    assert.equal(after(999), undefined);
    const closed = after(1);
    assert.equal(closed?.closedTs, at(1000));
    assert.equal(closed?.ageMs, 1000);
    assert.deepEqual(leader.observed, [at(1000)]);
  });

  test('counts the time that its machine slept', () => {
    const { clock, closer, after } = closing();
    closer.close();
    clock.wallMs += 5000;
    assert.equal(after(1000)?.ageMs, 6000);
    clock.wallMs += 3000;
    assert.equal(after(1)?.ageMs, 3001, 'what it read after the first sleep, before the second');
  });

  test('closes nothing at which an entry on its way, or a range delete of it, may be committed', () => {
    const { leader, closer, after } = closing();
    closer.close();
    leader.oldest = ts(1000 * 65_536 + 1);
    assert.equal(after(1500), undefined);
    leader.oldest = ts(1000 * 65_536 + 2);
    assert.equal(after(0)?.closedTs, at(1000));
  });

  test('closes nothing at or above where the next leader begins', () => {
    const { leader, closer, after } = closing();
    leader.boundMs = 1000;
    closer.close();
    assert.equal(after(2000), undefined);
    leader.boundMs = 1001;
    assert.equal(after(0)?.closedTs, at(1000));
  });

  test('vouches for no moment at which somebody else may have led', () => {
    const { leader, closer, after } = closing();
    closer.close();
    leader.hasLease = false;
    after(500);
    assert.equal(after(1500)?.ageMs, 2000);
    leader.term = 2;
    assert.equal(closer.close(), undefined);
  });
});

describe('what travels', () => {
  test('is read as it was written', () => {
    const message = { kind: 'notices', heardMs: 12.5, notices: [notice(100, 3)] } as const;
    assert.deepEqual(decodeClosed(encodeClosed(message)), message);
    assert.deepEqual(decodeClosed(encodeClosed({ kind: 'received', nowMs: 7.25 })), { kind: 'received', nowMs: 7.25 });
    assert.throws(() => decodeClosed(encodeClosed(message).subarray(1)), { code: 'CORRUPT_ENTRY' });
    assert.equal(decodeToken(encodeToken(5n, ts(77)), 5n), ts(77));
    assert.equal(decodeToken(encodeToken(5n, ts(77)), 6n), undefined, 'another cluster');
    assert.equal(decodeToken('', 5n), undefined);
    assert.throws(() => decodeToken('abc', 5n), { code: 'INVALID_CONSISTENCY' });
  });
});
