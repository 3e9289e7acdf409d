/** When turns begin that gather what has only its groups in common. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KeyTurns } from '../../../../src/adapter/redis/state/key-turns.ts';
import { VirtualTime } from '../../../support/virtual-time.ts';

const MOST = 32;

/** Requests of one kin, each with a key of its own, whose turns take as long as they are told. */
class Kin {
  readonly time = new VirtualTime();
  /** When each turn began, in milliseconds, and how many it has had. */
  readonly began: (readonly [ms: number, had: number])[] = [];
  tookMs = 10;
  private readonly turns = new KeyTurns({ clock: this.time, scheduler: this.time });
  private readonly startMs = this.time.monotonicMs();
  private keys = 0;

  get ms(): number {
    return this.time.monotonicMs() - this.startMs;
  }

  ask(kin = '1 2'): Promise<void> {
    const run = (items: readonly string[]): Promise<void> => {
      this.began.push([Math.round(this.ms), items.length]);
      return this.pause(this.tookMs);
    };
    return this.turns.join([Buffer.from(`${this.keys++}`)], 'item', run, { most: MOST, source: {}, kin });
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.time.after(ms, resolve));
  }

  /** A client that asks again a moment after each answer, for so many rounds. */
  async client(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      await this.ask();
      await this.pause(0.5);
    }
  }

  async all(work: readonly Promise<unknown>[]): Promise<void> {
    let isOver = false;
    const over = Promise.all(work).then(() => {
      isOver = true;
    });
    while (!isOver) await this.time.step();
    await over;
  }
}

describe('turns of one kin', () => {
  test('follow each other, and take along all that came while one was under way', async () => {
    const kin = new Kin();
    const late = kin.pause(4).then(() => Promise.all([kin.ask(), kin.ask(), kin.ask('2 3')]));
    await kin.all([kin.ask(), late]);
    assert.deepEqual(kin.began, [
      [0, 1],
      [4, 1],
      // Half a turn longer for the one that was answered, and asks nothing more.
      [15, 2],
    ]);
  });

  test('of one client alone begin at once', async () => {
    const kin = new Kin();
    await kin.all([kin.client(5)]);
    assert.deepEqual(
      kin.began.map(([ms]) => ms),
      [0, 11, 21, 32, 42],
    );
  });

  test('wait for the crowd that the last one has answered', async () => {
    const kin = new Kin();
    const clients = Array.from({ length: 12 }, (_, at) => kin.pause(at).then(() => kin.client(20)));
    await kin.all(clients);
    const settled = kin.began.slice(5, 15).map(([, had]) => had);
    assert.deepEqual(
      settled,
      settled.map(() => 12),
      'all of them share every turn',
    );
  });

  test('begin without waiting when they are full', async () => {
    const kin = new Kin();
    const first = kin.ask();
    const others = kin.pause(1).then(() => Promise.all(Array.from({ length: MOST + 2 }, () => kin.ask())));
    await kin.all([first, others]);
    assert.deepEqual(kin.began, [
      [0, 1],
      [1, MOST],
      [16, 2],
    ]);
  });

  test('do not wait for one that takes far longer than turns do', async () => {
    const kin = new Kin();
    await kin.all([kin.client(5)]);
    const beganMs = kin.ms;
    kin.tookMs = 1_000;
    const stuck = kin.ask();
    const next = kin.pause(1).then(() => {
      kin.tookMs = 10;
      return kin.ask();
    });
    await kin.all([stuck, next]);
    const waitedMs = kin.began.at(-1)![0] - beganMs;
    assert.ok(waitedMs >= 20 && waitedMs <= 25, `${waitedMs} ms`);
  });
});
