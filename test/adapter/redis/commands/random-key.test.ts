/** RANDOMKEY over keys in memory: every key has the same chance. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KeyPage, PageRequest, ScanContext } from '../../../../src/adapter/redis/command/scan-context.ts';
import { randomKey } from '../../../../src/adapter/redis/commands/generic/random-key.ts';
import { decodeStorageKey, KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';

/** The keys of one database. */
class Keys {
  readonly storageKeys: readonly Buffer[];
  private readonly ctx: ScanContext;

  constructor(names: readonly string[], random = new SeededRandom(5)) {
    this.storageKeys = names.map((name) => KEYSPACES[0]!.storageKey(Buffer.from(name))).sort(Buffer.compare);
    this.ctx = {
      keyspace: KEYSPACES[0]!,
      random,
      count: async () => this.storageKeys.length,
      page: async (request: PageRequest) => this.page(request),
    } as unknown as ScanContext;
  }

  private page({ start, end, limit }: PageRequest): KeyPage {
    const [from, to] = [this.positionOf(start), this.positionOf(end)];
    const storageKeys = this.storageKeys.slice(from, Math.min(to, from + limit));
    return { storageKeys, next: from + limit < to ? this.storageKeys[from + limit] : undefined, examined: limit };
  }

  private positionOf(key: Buffer): number {
    let [low, high] = [0, this.storageKeys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.storageKeys[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How often each key was drawn. */
  async draw(times: number): Promise<Map<string, number>> {
    const counts = new Map(this.storageKeys.map((key) => [decodeStorageKey(key)!.userKey.toString(), 0]));
    for (let nth = 0; nth < times; nth++) {
      const name = String(await randomKey(this.ctx));
      counts.set(name, counts.get(name)! + 1);
    }
    return counts;
  }
}

/** Pearson's statistic in standard deviations from what equal chances give. */
function excess(counts: Map<string, number>, draws: number): number {
  const expected = draws / counts.size;
  let statistic = 0;
  for (const count of counts.values()) statistic += (count - expected) ** 2 / expected;
  const freedom = counts.size - 1;
  return (statistic - freedom) / Math.sqrt(2 * freedom);
}

describe('RANDOMKEY', () => {
  test('gives all keys the same chance, however they lie among the slots', async () => {
    for (const [count, draws] of [
      [300, 6_000],
      [3_000, 30_000],
    ] as const) {
      const keys = new Keys(Array.from({ length: count }, (_, nth) => `key:${nth}`));
      const deviations = excess(await keys.draw(draws), draws);
      assert.ok(Math.abs(deviations) < 4, `${count} keys: ${deviations} standard deviations`);
    }
  });

  test('finds keys that share slots, and nothing where there is nothing', async () => {
    const tagged = new Keys(Array.from({ length: 3_000 }, (_, nth) => `{tag}${nth}`));
    const drawn = [...(await tagged.draw(300)).values()].filter((count) => count > 0);
    assert.ok(drawn.length > 250, `${drawn.length} different keys in 300 draws`);
    assert.deepEqual([...(await new Keys([]).draw(1)).keys()], ['null']);
  });
});
