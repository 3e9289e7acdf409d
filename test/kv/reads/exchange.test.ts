/**
 * How closed timestamps travel: whatever a message waits for, a receiver never takes a notice for younger than it is. Sender and
 * receiver in virtual time, with clocks that have nothing to do with each other.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClosedNotice } from '../../../src/kv/contract/reads.ts';
import { ClosedExchange } from '../../../src/kv/reads/exchange.ts';
import { type DuplexHandler, type DuplexStream, type Millis, nodeId, Simulation } from '../../../src/platform/index.ts';
import { GROUP } from '../../support/lone-group.ts';
import { ts } from '../span-machine.ts';

const PERIOD_MS = 200;
const LEADER = nodeId(1);
const FOLLOWER = nodeId(2);
/** What the monotonic clock of the follower is ahead by. */
const FOLLOWER_OFFSET_MS = 5_000_000;

/** One end of a stream whose messages arrive in order, each after a delay of its own. */
class End implements DuplexStream {
  readonly queuedBytes = 0;
  other!: End;
  private readonly simulation: Simulation;
  private readonly delayMs: () => Millis;
  private readonly onArrival: (arrive: () => void) => void;
  private handler: (message: Buffer) => void = () => undefined;
  private ended: (error: Error | undefined) => void = () => undefined;
  private arrivedMs: Millis = 0;
  private isClosed = false;

  constructor(simulation: Simulation, delayMs: () => Millis, onArrival: (arrive: () => void) => void) {
    this.simulation = simulation;
    this.delayMs = delayMs;
    this.onArrival = onArrival;
  }

  send(message: Buffer): void {
    this.arrivedMs = Math.max(this.arrivedMs, this.simulation.nowMs() + this.delayMs());
    const { other } = this;
    this.simulation.schedule(this.arrivedMs - this.simulation.nowMs(), 'message', () =>
      this.onArrival(() => {
        if (!other.isClosed) other.handler(message);
      }),
    );
  }

  close(): void {
    this.isClosed = true;
    if (this.other.isClosed) return;
    this.other.isClosed = true;
    this.other.ended(undefined);
  }

  onMessage(handler: (message: Buffer) => void): void {
    this.handler = handler;
  }

  onEnd(handler: (error: Error | undefined) => void): void {
    this.ended = handler;
  }
}

interface Taken {
  readonly notice: ClosedNotice;
  readonly heardMs: Millis;
  /** On the follower's clock. */
  readonly atMs: Millis;
}

/** A leader that closes a timestamp each period, and a follower. */
class Bench {
  readonly simulation = new Simulation({ seed: 3 });
  readonly taken: Taken[] = [];
  /** When each notice was made, on the follower's clock, by its index. */
  readonly madeMs: Millis[] = [];
  delayMs: () => Millis = () => 10;
  /** While it is true nothing runs at the follower; what arrived waits. */
  isPaused = false;
  private readonly waiting: (() => void)[] = [];
  private readonly leader: ClosedExchange;

  constructor() {
    let accept: DuplexHandler = () => undefined;
    const scheduler = {
      after: (ms: Millis, callback: () => void) => this.simulation.schedule(ms, 'timer', callback),
    };
    const onError = (error: unknown): void => assert.fail(String(error));
    const common = { scheduler, periodMs: PERIOD_MS, onError };
    const duplex = (): DuplexStream => {
      const delayMs = (): Millis => this.delayMs();
      const there = new End(this.simulation, delayMs, (arrive) => arrive());
      const here = new End(this.simulation, delayMs, (arrive) => {
        if (this.isPaused) this.waiting.push(arrive);
        else arrive();
      });
      here.other = there;
      there.other = here;
      accept(LEADER, Buffer.alloc(0), there);
      return here;
    };
    new ClosedExchange({
      ...common,
      network: { self: FOLLOWER, onDuplex: (_kind, handler) => (accept = handler), duplex },
      elapsed: { elapsedMs: () => this.followerMs() },
      claims: { accept: (notice, heardMs) => this.taken.push({ notice, heardMs, atMs: this.followerMs() }) },
      closers: () => [],
      replicasOf: () => [],
    });
    this.leader = new ClosedExchange({
      ...common,
      network: { self: LEADER, onDuplex: () => undefined, duplex },
      elapsed: { elapsedMs: () => this.simulation.nowMs() },
      claims: { accept: () => undefined },
      closers: () => [{ close: () => this.close() }],
      replicasOf: () => [LEADER, FOLLOWER],
    });
    this.leader.start();
  }

  private followerMs(): Millis {
    return this.simulation.nowMs() + FOLLOWER_OFFSET_MS;
  }

  private close(): ClosedNotice {
    this.madeMs.push(this.followerMs());
    const index = this.madeMs.length - 1;
    return { group: GROUP, term: 1, closedTs: ts(1000 + index), appliedIndex: index, ageMs: 1000 };
  }

  run(ms: Millis): Promise<void> {
    return this.simulation.runFor(ms);
  }

  resume(): void {
    this.isPaused = false;
    for (const arrive of this.waiting.splice(0)) arrive();
  }

  /** @throws AssertionError when a notice counts as made later than it was */
  judge(): void {
    for (const { notice, heardMs } of this.taken) {
      const made = this.madeMs[notice.appliedIndex]!;
      assert.ok(heardMs <= made, `notice ${notice.appliedIndex} counts as ${heardMs - made} ms younger than it is`);
    }
  }
}

describe('the age of a notice', () => {
  test('counts from the last answer that the sender had when it made the notice', async () => {
    const bench = new Bench();
    await bench.run(2_000);
    bench.judge();
    const { notice, heardMs, atMs } = bench.taken.at(-1)!;
    const made = bench.madeMs[notice.appliedIndex]!;
    assert.equal(atMs - made, 10, 'it arrived after the delay of one message');
    assert.equal(made - heardMs, PERIOD_MS - 10, 'the answer to the one before had left a period earlier');
  });

  test('is not known before the first answer is back: such a notice is not used', async () => {
    const bench = new Bench();
    await bench.run(30);
    assert.equal(bench.madeMs.length, 1);
    assert.equal(bench.taken.length, 0);
    await bench.run(PERIOD_MS);
    assert.deepEqual(
      bench.taken.map(({ notice }) => notice.appliedIndex),
      [1],
    );
  });

  test('only grows when messages are late, in either direction', async () => {
    const bench = new Bench();
    const random = bench.simulation.random.fork(1);
    bench.delayMs = () => (random.int(4) === 0 ? random.int(3_000) : random.int(50));
    await bench.run(60_000);
    assert.ok(bench.taken.length > 100);
    bench.judge();
  });

  test('only grows when the receiver stood still, and is small again soon afterwards', async () => {
    const bench = new Bench();
    await bench.run(1_000);
    bench.isPaused = true;
    await bench.run(10_000);
    const before = bench.taken.length;
    bench.resume();
    const late = bench.taken.slice(before);
    assert.ok(late.length > 40);
    bench.judge();
    // What waited is as old as it is, though it has only just arrived.
    assert.ok(late.every(({ heardMs, atMs }) => atMs - heardMs > 10_000 - PERIOD_MS));
    await bench.run(2 * PERIOD_MS);
    bench.judge();
    const { heardMs, atMs } = bench.taken.at(-1)!;
    assert.ok(atMs - heardMs < 2 * PERIOD_MS);
  });
});
