/** The promises of `LogStore`, to be run over every implementation. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type GroupId, groupId, nodeId } from '../../src/platform/index.ts';
import type { LogStore, LogWrite } from '../../src/raftengine/contract/types.ts';
import type { Entry } from '../../src/raftengine/core/types.ts';

/** A place where a log survives being closed and opened again. */
export interface LogStoreHome {
  open(): Promise<LogStore>;
  dispose(): Promise<void>;
}

export const GROUP = groupId(7);

export const entry = (term: number, index: number, text = `${term}/${index}`): Entry => ({
  term,
  index,
  kind: 0,
  payload: Buffer.from(text),
});

export const append = (group: GroupId, ...entries: Entry[]): LogWrite => ({
  groupId: group,
  hardState: undefined,
  entries,
  resetTo: undefined,
});

/** Everything that a view shows, in a form that compares. */
export function contents(store: LogStore, group: GroupId): object {
  const log = store.group(group);
  const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.POSITIVE_INFINITY)!;
  return {
    hard: log.hardState(),
    before: [log.firstIndex() - 1, log.term(log.firstIndex() - 1)],
    entries: entries.map(({ term, index, kind, payload }) => `${term}/${index}/${kind}:${payload.toString('latin1')}`),
  };
}

export function logStoreContract(name: string, home: () => Promise<LogStoreHome>): void {
  const over = (title: string, body: (open: () => Promise<LogStore>) => Promise<void>): void => {
    test(title, async () => {
      const place = await home();
      try {
        await body(() => place.open());
      } finally {
        await place.dispose();
      }
    });
  };

  describe(name, () => {
    over('a new group is empty and begins at index 1', async (open) => {
      const store = await open();
      const log = store.group(GROUP);
      assert.deepEqual(store.groups(), []);
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(0), log.term(1)], [1, 0, 0, undefined]);
      assert.deepEqual(log.hardState(), { term: 0, vote: 0, commitIndex: 0 });
      assert.deepEqual(log.entries(1, 1, 100), []);
      assert.equal(log.sizeBytes(), 0);
      await store.close();
    });

    over('views show a write at once, and it is found again after a restart', async (open) => {
      const store = await open();
      const hardState = { term: 3, vote: nodeId(65535), commitIndex: 2 ** 40 };
      const written = store.write([
        { groupId: GROUP, hardState, entries: [entry(1, 1), entry(3, 2)], resetTo: undefined },
        append(groupId(4294967295), entry(2, 1, '')),
      ]);
      const before = contents(store, GROUP);
      assert.equal(store.group(GROUP).lastIndex(), 2);
      assert.deepEqual(store.group(GROUP).hardState(), hardState);
      await written;
      await store.close();

      const again = await open();
      assert.deepEqual(new Set(again.groups()), new Set([GROUP, groupId(4294967295)]));
      assert.deepEqual(contents(again, GROUP), before);
      assert.deepEqual(again.group(groupId(4294967295)).entries(1, 2, 0), [entry(2, 1, '')]);
      await again.close();
    });

    over('entries are cut after the byte limit but never to nothing', async (open) => {
      const store = await open();
      await store.write([append(GROUP, entry(1, 1, 'aaaa'), entry(1, 2, 'bbbb'), entry(1, 3, 'cccc'))]);
      const check = (log: { entries(from: number, to: number, max: number): Entry[] | undefined }): void => {
        const indexes = (max: number): number[] | undefined => log.entries(1, 4, max)?.map((e) => e.index);
        assert.deepEqual(indexes(0), [1]);
        assert.deepEqual(indexes(8), [1, 2]);
        assert.deepEqual(indexes(11), [1, 2]);
        assert.deepEqual(indexes(12), [1, 2, 3]);
      };
      check(store.group(GROUP));
      await store.close();
      const again = await open();
      check(again.group(GROUP));
      await again.close();
    });

    over('a suffix is replaced by what is written over it', async (open) => {
      const store = await open();
      await store.write([append(GROUP, entry(1, 1), entry(1, 2), entry(1, 3), entry(1, 4))]);
      await store.write([append(GROUP, entry(2, 2), entry(2, 3))]);
      const log = store.group(GROUP);
      assert.deepEqual([log.lastIndex(), log.term(1), log.term(2), log.term(3), log.term(4)], [3, 1, 2, 2, undefined]);
      const before = contents(store, GROUP);
      await store.close();
      const again = await open();
      assert.deepEqual(contents(again, GROUP), before);
      await again.close();
    });

    over('a log that is reset goes on behind the snapshot', async (open) => {
      const store = await open();
      await store.write([append(GROUP, entry(1, 1), entry(1, 2))]);
      const conf = { voters: [nodeId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
      await store.write([
        {
          groupId: GROUP,
          hardState: { term: 9, vote: 0, commitIndex: 100 },
          entries: [entry(9, 101)],
          resetTo: { index: 100, term: 8, conf },
        },
      ]);
      const log = store.group(GROUP);
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(100), log.term(2)], [101, 101, 8, undefined]);
      assert.equal(log.entries(2, 3, 100), undefined);
      const before = contents(store, GROUP);
      await store.close();
      const again = await open();
      assert.deepEqual(contents(again, GROUP), before);
      await again.close();
    });

    over('a truncated prefix stays forgotten', async (open) => {
      const store = await open();
      await store.write([append(GROUP, entry(1, 1), entry(1, 2), entry(2, 3))]);
      store.truncatePrefix(GROUP, 2, 1);
      const log = store.group(GROUP);
      assert.deepEqual([log.firstIndex(), log.term(2), log.term(1)], [3, 1, undefined]);
      assert.equal(log.entries(2, 4, 100), undefined);
      store.truncatePrefix(GROUP, 1, 1);
      assert.equal(log.firstIndex(), 3);
      store.truncatePrefix(GROUP, 3, 2);
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(3)], [4, 3, 2]);
      assert.equal(log.sizeBytes(), 0);
      await store.close();
      const again = await open();
      assert.deepEqual([again.group(GROUP).firstIndex(), again.group(GROUP).term(3)], [4, 2]);
      await again.close();
    });

    over('a removed group is gone and its number may be used again', async (open) => {
      const store = await open();
      await store.write([append(GROUP, entry(1, 1)), append(groupId(8), entry(1, 1))]);
      await store.removeGroup(GROUP);
      assert.deepEqual(store.groups(), [groupId(8)]);
      await store.removeGroup(GROUP);
      await store.write([append(GROUP, entry(5, 1, 'new'))]);
      await store.close();
      const again = await open();
      assert.deepEqual(again.group(GROUP).entries(1, 2, 100), [entry(5, 1, 'new')]);
      await again.close();
    });

    over('concurrent writes are stored in call order', async (open) => {
      const store = await open();
      const settled: number[] = [];
      const writes = Array.from({ length: 200 }, (_, i) =>
        store.write([append(GROUP, entry(1, i + 1, 'x'.repeat(i * 7)))]).then(() => settled.push(i)),
      );
      await Promise.all(writes);
      assert.deepEqual(
        settled,
        [...settled].sort((a, b) => a - b),
      );
      const before = contents(store, GROUP);
      await store.close();
      const again = await open();
      assert.deepEqual(contents(again, GROUP), before);
      await again.close();
    });

    over('writes after close are refused', async (open) => {
      const store = await open();
      await store.close();
      await assert.rejects(store.write([append(GROUP, entry(1, 1))]));
    });
  });
}
