import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Hlc } from '../../src/kv/time/hlc.ts';
import { hlcTimestamp, physicalMs, timestampOfMs } from '../../src/platform/index.ts';
import { ManualClock } from '../support/manual-time.ts';

describe('the hybrid logical clock', () => {
  test('never goes back, whatever the wall clock does and whatever it observes', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('wall' as const), byMs: fc.integer({ min: -100_000, max: 100_000 }) }),
      fc.record({
        kind: fc.constant('observe' as const),
        ms: fc.integer({ min: 0, max: 1_700_000_200_000 }),
        logical: fc.nat(0xffff),
      }),
      fc.record({ kind: fc.constant('next' as const) }),
      fc.record({ kind: fc.constant('peek' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const clock = new ManualClock();
        const hlc = new Hlc(clock);
        let highest = 0n;
        let observed = 0n;
        for (const one of steps) {
          if (one.kind === 'wall') clock.wallMs += one.byMs;
          else if (one.kind === 'observe') {
            const ts = (BigInt(one.ms) << 16n) | BigInt(one.logical);
            if (ts > observed) observed = ts;
            hlc.observe(hlcTimestamp(ts));
          } else if (one.kind === 'peek') {
            assert.ok(hlc.peek() >= highest && hlc.peek() >= observed);
          } else {
            const ts = hlc.next();
            assert.ok(ts > highest && ts > observed, 'above everything issued or observed');
            assert.ok(physicalMs(ts) >= clock.wallMs, 'not behind the wall clock');
            highest = ts;
          }
        }
      }),
    );
  });

  test('stands still while it leads by a little, and goes on at nine tenths of the speed while it leads by much', () => {
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    const startMs = clock.wallMs;
    hlc.observe(timestampOfMs(startMs + 3_500));
    clock.advance(3_000);
    assert.equal(hlc.timeMs(), startMs + 3_000, 'what is issued counts on from the timestamp that leads');
    hlc.observe(timestampOfMs(startMs + 100_000));
    assert.equal(physicalMs(hlc.next()), startMs + 100_000);
    clock.advance(10_000);
    assert.equal(physicalMs(hlc.next()), startMs + 109_000);
    clock.advance(1_000_000);
    assert.equal(physicalMs(hlc.next()), clock.wallMs, 'the wall clock has caught up');
  });

  test('goes on when the wall clock is set back by far, and follows it again once it is put right', () => {
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    const first = hlc.next();
    clock.wallMs -= 3_600_000;
    clock.advance(1_000);
    const later = hlc.next();
    assert.ok(physicalMs(later) - physicalMs(first) <= 1_000);
    clock.advance(100_000);
    assert.ok(physicalMs(hlc.next()) - physicalMs(later) >= 89_000);
    clock.wallMs += 3_600_000;
    assert.equal(physicalMs(hlc.next()), clock.wallMs);
  });

  test('borrows the next millisecond when the counter overflows', () => {
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    hlc.observe(hlcTimestamp(timestampOfMs(clock.wallMs) | 0xffffn));
    assert.equal(hlc.next(), timestampOfMs(clock.wallMs + 1));
  });

  test('issues more than a counter holds within one millisecond without repeating itself', () => {
    const hlc = new Hlc(new ManualClock());
    let last = hlc.next();
    for (let count = 0; count < 140_000; count++) {
      const ts = hlc.next();
      assert.ok(ts > last);
      last = ts;
    }
  });

  test('tells a peer that is ahead by more than half a second from one that is not', () => {
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    assert.equal(hlc.isTooFarAhead(timestampOfMs(clock.wallMs + 500)), false);
    assert.equal(hlc.isTooFarAhead(timestampOfMs(clock.wallMs + 501)), true);
  });
});
