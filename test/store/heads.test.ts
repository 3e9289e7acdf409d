/** Scans of heads alone: they answer what a scan of everything answers without bodies, and do not read large bodies. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import type { BodyRules, GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import type { Level } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

/** A head is `o` and a letter, a row behind it has three bytes more. */
const bodies: BodyRules = {
  bodyOf: (key) => (key.length === 5 ? { headLength: 2, prefixLength: 3, incarnation: key.subarray(2, 3) } : undefined),
  incarnationIn: () => undefined,
};
const headKey = (head: number): Buffer => Buffer.from([0x6f, head]);
const rowKey = (head: number, row: number): Buffer => Buffer.from([0x6f, head, 0xff, row >> 8, row & 0xff]);
const ALL = { start: Buffer.from([0x6f]), end: Buffer.from([0x70]) };
const HEADS = [0x00, 0x61, 0x62, 0x63, 0xfe, 0xff];

class Walked {
  rows = 0;
  readonly store: Promise<GroupStore>;
  private index = 0;
  private ts = 10n;

  constructor() {
    const levels = new SimulatedLevels();
    const openLevel = (location: string): Level => {
      const level = levels.openLevel(location);
      const { iterator } = level;
      level.iterator = (options) => {
        const inner = iterator.call(level, options);
        const nextv = async (size: number): Promise<[Buffer, Buffer][]> => {
          const page = await inner.nextv(size);
          this.rows += page.length;
          return page;
        };
        return { nextv, close: () => inner.close() };
      };
      return level;
    };
    this.store = openGroupStore({ location: 'store', openLevel, folders: levels, disk: new MemoryDisk(), bodies });
  }

  async write(put: readonly Buffer[], deleted: readonly Buffer[] = []): Promise<void> {
    const writer = (await this.store).write();
    this.ts += 1n;
    for (const key of put) writer.put(key, Buffer.from('v'), hlcTimestamp(this.ts), NEVER);
    for (const key of deleted) writer.delete(key, hlcTimestamp(this.ts));
    writer.commit(++this.index);
  }

  /** All keys, in pages of `limit`. */
  async keys(limit: number, headsOnly: boolean, reverse = false): Promise<string[]> {
    const store = await this.store;
    const found: string[] = [];
    let range: { start: Buffer; end: Buffer } | undefined = ALL;
    while (range !== undefined) {
      const readTs = hlcTimestamp(this.ts);
      const page = await store.scan({ ...range, readTs, limit, headsOnly, reverse, keysOnly: true });
      assert.ok(page.rows.length <= limit);
      for (const { key } of page.rows) found.push(key.toString('hex'));
      if (page.next === undefined) break;
      range = reverse ? { start: range.start, end: page.next } : { start: page.next, end: range.end };
    }
    return found;
  }
}

describe('a scan of heads', () => {
  test('leaves out the rows behind them and nothing else, wherever they lie, in pages of any size', async () => {
    const change = fc.record({
      head: fc.constantFrom(...HEADS),
      rows: fc.integer({ min: 0, max: 80 }),
      kind: fc.constantFrom('head', 'body', 'delete head', 'delete body', 'flush'),
    });
    const page = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 30 }), page, fc.boolean(), async (changes, limit, reverse) => {
        const walked = new Walked();
        for (const { head, rows, kind } of changes) {
          const body = Array.from({ length: rows }, (_, row) => rowKey(head, row));
          if (kind === 'flush') await (await walked.store).flush();
          else if (kind.startsWith('delete')) await walked.write([], kind === 'delete head' ? [headKey(head)] : body);
          else await walked.write(kind === 'head' ? [headKey(head)] : [headKey(head), ...body]);
        }
        const everything = await walked.keys(1000, false, reverse);
        const heads = everything.filter((key) => key.length === 4);
        assert.deepEqual(await walked.keys(limit, true, reverse), heads);
        assert.deepEqual(await walked.keys(1000, false, reverse), everything, 'nothing false was learned of the rows');
        await (await walked.store).close();
      }),
      { numRuns: 150 },
    );
  });

  test('reads a few rows of a large body, on disk or not', async () => {
    const walked = new Walked();
    const store = await walked.store;
    const fill = (from: number, to: number) =>
      walked.write(
        HEADS.flatMap((head) => [
          headKey(head),
          ...Array.from({ length: to - from }, (_, row) => rowKey(head, from + row)),
        ]),
      );
    await fill(0, 2000);
    await store.flush();
    await fill(2000, 3000);
    for (const limit of [1, 3, 100]) {
      walked.rows = 0;
      assert.equal((await walked.keys(limit, true)).length, HEADS.length);
      assert.ok(walked.rows < HEADS.length * 64, `${walked.rows} rows were read`);
    }
    await store.close();
  });
});
