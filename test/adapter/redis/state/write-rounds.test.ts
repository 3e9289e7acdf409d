/** When writes leave that go to several groups. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WriteRounds } from '../../../../src/adapter/redis/state/write-rounds.ts';
import { type GroupId, groupId, SeededRandom } from '../../../../src/platform/index.ts';
import { VirtualTime } from '../../../support/virtual-time.ts';

const ENTRY_MS = 10;
const BETWEEN_MS = 0.01;

/** Groups that have one entry under way each, and clients of one node that write to them. */
class Node {
  readonly time = new VirtualTime();
  readonly rounds = new WriteRounds({ clock: this.time, scheduler: this.time });
  /** Writes that were told to wait. */
  waits = 0;
  /** What an entry of a group takes, where it is not `ENTRY_MS`. */
  readonly entryMs = new Map<GroupId, number>();
  private readonly random = new SeededRandom(1);
  private readonly gathering = new Map<GroupId, (() => void)[]>();
  private readonly underWay = new Set<GroupId>();

  /** A client that writes one value after the other. @returns what each took, by when it was sent */
  async client(groups: readonly number[], writes: number): Promise<(readonly [sentMs: number, tookMs: number])[]> {
    const took: (readonly [number, number])[] = [];
    for (let count = 0; count < writes; count++) {
      const sentMs = this.time.monotonicMs();
      await this.write(groupId(groups[this.random.int(groups.length)]!));
      took.push([sentMs, this.time.monotonicMs() - sentMs]);
      await this.pause(BETWEEN_MS);
    }
    return took;
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.time.after(ms, resolve));
  }

  write(group: GroupId): Promise<void> {
    return new Promise((resolve) => {
      const leave = (): void => {
        const round = this.rounds.left(group);
        this.propose(group, () => {
          this.rounds.answered(round, group);
          resolve();
        });
      };
      if (this.rounds.admits({ group, leave })) leave();
      else this.waits++;
    });
  }

  async all<T>(work: readonly Promise<T>[]): Promise<T[]> {
    let isOver = false;
    const over = Promise.all(work).finally(() => {
      isOver = true;
    });
    while (!isOver) await this.time.step();
    return over;
  }

  private propose(group: GroupId, answered: () => void): void {
    const gathering = this.gathering.get(group) ?? [];
    this.gathering.set(group, gathering);
    gathering.push(answered);
    if (!this.underWay.has(group)) this.begin(group, gathering);
  }

  private begin(group: GroupId, gathering: (() => void)[]): void {
    this.underWay.add(group);
    this.time.endOfTurn(() => {
      const entry = gathering.splice(0);
      this.time.after(this.entryMs.get(group) ?? ENTRY_MS, () => {
        this.underWay.delete(group);
        if (gathering.length > 0) this.begin(group, gathering);
        for (const answered of entry) answered();
      });
    });
  }
}

/** What the writes took in the mean that were sent behind the first quarter. */
function meanMs(clients: readonly (readonly (readonly [sentMs: number, tookMs: number])[])[]): number {
  const all = clients.flatMap((took) => took.slice(took.length / 4));
  return all.reduce((sum, [, tookMs]) => sum + tookMs, 0) / all.length;
}

describe('writes of one node', () => {
  test('to several groups leave together, and each waits for one entry', async () => {
    const node = new Node();
    const clients = await node.all(Array.from({ length: 24 }, () => node.client([1, 2, 3], 40)));
    assert.ok(node.waits > 24 * 30, `${node.waits} have waited`);
    assert.ok(meanMs(clients) < 1.1 * ENTRY_MS, `${meanMs(clients)} ms, where an entry takes ${ENTRY_MS}`);
  });

  test('to one group, or of a few clients, do not wait', async () => {
    const node = new Node();
    await node.all([
      ...Array.from({ length: 24 }, () => node.client([1], 20)),
      ...Array.from({ length: 3 }, () => node.client([1], 20)),
    ]);
    await node.all(Array.from({ length: 6 }, () => node.client([1, 2, 3], 20)));
    assert.equal(node.waits, 0);
  });

  test('do not wait any more when only a few clients are left', async () => {
    const node = new Node();
    await node.all(Array.from({ length: 24 }, () => node.client([1, 2, 3], 10)));
    await node.all(Array.from({ length: 2 }, () => node.client([1, 2, 3], 40)));
    const before = node.waits;
    await node.all(Array.from({ length: 2 }, () => node.client([1, 2, 3], 10)));
    assert.equal(node.waits, before);
  });

  test('are not held up by groups that take far longer than the others', async () => {
    const node = new Node();
    const slowGroups = Array.from({ length: 40 }, (_, at) => 3 + at);
    for (const group of slowGroups) node.entryMs.set(groupId(group), 400);
    let isOver = false;
    const slow = slowGroups.map(async (group, at) => {
      await node.pause(10 * at);
      while (!isOver) await node.client([group], 1);
      return [];
    });
    const fast = Array.from({ length: 24 }, () => node.client([1], 400));
    const ended = Promise.all(fast).then(() => {
      isOver = true;
      return [];
    });
    const clients = await node.all([...fast, ...slow, ended]);
    assert.ok(meanMs(clients.slice(0, fast.length)) < 1.15 * ENTRY_MS, `${meanMs(clients.slice(0, fast.length))} ms`);
  });

  test('are waited for again when all groups have become slower', async () => {
    const node = new Node();
    await node.all(Array.from({ length: 24 }, () => node.client([1, 2, 3], 20)));
    for (const group of [1, 2, 3]) node.entryMs.set(groupId(group), 3 * ENTRY_MS);
    const clients = await node.all(
      Array.from({ length: 24 }, async (_, at) => {
        await node.pause(7 * at);
        return node.client([1, 2, 3], 60);
      }),
    );
    assert.ok(meanMs(clients) < 1.15 * 3 * ENTRY_MS, `${meanMs(clients)} ms`);
  });

  test('that came back without having left hold up nobody', async () => {
    const node = new Node();
    const crowd = node.all(Array.from({ length: 24 }, () => node.client([1, 2, 3], 10)));
    await node.time.pass(3 * ENTRY_MS);
    const left = new Promise<void>((resolve) => {
      if (node.rounds.admits({ group: groupId(1), leave: resolve })) resolve();
    });
    await crowd;
    await node.time.outcome(left);
    await node.time.outcome(node.write(groupId(2)));
    assert.equal(node.rounds.waitingCount, 0);
  });
});
