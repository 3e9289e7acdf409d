import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EventWatch, type HeldTurn, LoopWatch, Simulation, type StackSampler } from '../../src/platform/index.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

/** A thread whose work a test does by hand. */
class ManualThread extends ManualClock {
  usedMs = 0;

  processorMs(): number {
    return this.usedMs;
  }

  /** One turn: so much of it is work. */
  turn(tookMs: number, workedMs = tookMs): void {
    this.advance(tookMs);
    this.usedMs += workedMs;
  }
}

class WatchBench {
  readonly thread = new ManualThread();
  readonly scheduler = new ManualScheduler(this.thread);
  readonly told: { readonly held: HeldTurn; readonly place: string | undefined }[] = [];
  readonly watch: LoopWatch;

  constructor(sampler?: StackSampler) {
    const { thread: clock, scheduler } = this;
    this.watch = new LoopWatch({ clock, scheduler, sampler, onHeld: (held, place) => this.told.push({ held, place }) });
    this.watch.start();
  }

  /** A turn in which `work` is done, and the timers behind it. */
  turn(tookMs: number, work: Record<string, number> = {}, workedMs = tookMs): void {
    for (const [name, ms] of Object.entries(work)) this.watch.did(name, ms);
    this.thread.turn(tookMs, workedMs);
    this.scheduler.advance(10);
  }
}

describe('the watch over the event loop', () => {
  test('tells a turn that took long, and what took the most of it', () => {
    const bench = new WatchBench();
    bench.turn(80, { xack: 60, get: 5 });
    assert.equal(bench.told.length, 1);
    const { held } = bench.told[0]!;
    assert.equal(held.name, 'xack');
    assert.equal(held.processorMs, 80);
    assert.deepEqual(held.work, [
      { name: 'xack', tookMs: 60 },
      { name: 'get', tookMs: 5 },
    ]);
    assert.deepEqual([...bench.watch.held], [['xack', { turns: 1, processorMs: 80, longestMs: 80 }]]);
  });

  test('says nothing of short turns, however many there are', () => {
    const bench = new WatchBench();
    for (let turn = 0; turn < 100; turn++) bench.turn(9, { get: 9 });
    assert.deepEqual(bench.told, []);
  });

  test('does not take a busy machine for work', () => {
    const bench = new WatchBench();
    bench.turn(500, { get: 20 }, 20);
    assert.deepEqual(bench.told, []);
  });

  test('calls a turn other when nothing that was noted explains it', () => {
    const bench = new WatchBench();
    bench.turn(100, { get: 3 });
    assert.equal(bench.told[0]!.held.name, 'other');
  });

  test('reads what is counted anyway, of the turn alone', () => {
    const bench = new WatchBench();
    let appliedMs = 1_000;
    bench.watch.follow({ name: 'apply', takenMs: () => appliedMs });
    appliedMs += 70;
    bench.turn(90);
    bench.turn(90);
    assert.deepEqual(
      bench.told.map(({ held }) => held.name),
      ['apply', 'other'],
    );
    assert.deepEqual(bench.told[0]!.held.work, [{ name: 'apply', tookMs: 70 }]);
  });

  test('asks a sampler for the time of the turn only, and is quiet after it was stopped', () => {
    const asked: number[] = [];
    let isStopped = false;
    const bench = new WatchBench({
      where: (lastMs, done) => {
        asked.push(lastMs);
        done('somewhere');
      },
      stop: () => {
        isStopped = true;
      },
    });
    bench.turn(60);
    assert.deepEqual(asked, [60]);
    assert.equal(bench.told[0]!.place, 'somewhere');
    bench.watch.stop();
    assert.ok(isStopped);
    bench.turn(200);
    assert.equal(bench.told.length, 1);
    assert.equal(bench.scheduler.pendingTimers, 0);
  });
});

describe('the watch over the events of a simulation', () => {
  test('keeps those that took the processor for long, promises that they settled included', async () => {
    const thread = new ManualThread();
    const watch = new EventWatch(thread);
    const simulation = new Simulation({ seed: 1, watch });
    simulation.schedule(1, 'short', () => thread.turn(10));
    simulation.schedule(2, 'long', () => {
      thread.turn(30);
      void Promise.resolve().then(() => thread.turn(30));
    });
    simulation.schedule(3, 'longest', () => thread.turn(200));
    await simulation.runFor(10);
    assert.deepEqual(
      watch.long.map(({ label, atMs, processorMs }) => [label, atMs, processorMs]),
      [
        ['longest', 3, 200],
        ['long', 2, 60],
      ],
    );
  });
});
