import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { RunArchive } from '../../jepsen/archive.ts';
import type { Op } from '../../jepsen/history.ts';
import { readEdn } from './edn.ts';
import { runOptions, tormentedHistory } from './histories.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-archive-'));
after(() => rmSync(folder, { recursive: true }));

describe('the archive of a run', () => {
  test('keeps every event in both formats, with contiguous indexes and the same content', async () => {
    const archive = new RunArchive(runOptions(folder), new Date(0));
    const events = tormentedHistory();
    for (const op of events) archive.record(op);
    await archive.closeHistory();
    const lines = (name: string): string[] => readFileSync(join(archive.folder, name), 'utf8').trimEnd().split('\n');
    const json = lines('history.jsonl').map((line) => JSON.parse(line) as Op);
    assert.deepEqual(json, events);
    const edn = lines('history.edn').map((line) => {
      const op = readEdn(line);
      assert.ok(op instanceof Map);
      return op;
    });
    assert.deepEqual(
      edn.map((op) => op.get(':index')),
      events.map((_, at) => at),
    );
    for (const [at, op] of edn.entries()) {
      const { time, type, f, process, error } = events[at]!;
      assert.equal(op.get(':time'), time);
      assert.equal(op.get(':type'), `:${type}`);
      assert.equal(op.get(':f'), `:${f}`);
      assert.equal(op.get(':process'), process === 'nemesis' ? ':nemesis' : process);
      assert.equal(op.get(':error'), error);
    }
  });

  test("writes micro-operations as Elle reads them and maps with keywords where they are Jepsen's", async () => {
    const archive = new RunArchive({ ...runOptions(folder), seed: 2 }, new Date(0));
    const at = (value: unknown): Op => ({ index: 0, time: 0, process: 3, type: 'ok', f: 'txn', value });
    archive.record(
      at([
        ['append', 'list-1', 5],
        ['r', 'list-2', [1, 2]],
        ['r', 'list-3', null],
      ]),
    );
    archive.record(at({ key: 'a "quoted" one', ttlMs: 250, 'not a keyword': true }));
    await archive.closeHistory();
    const [transaction, map] = readFileSync(join(archive.folder, 'history.edn'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (readEdn(line) as Map<string, unknown>).get(':value'));
    assert.deepEqual(transaction, [
      [':append', 'list-1', 5],
      [':r', 'list-2', [1, 2]],
      [':r', 'list-3', null],
    ]);
    assert.deepEqual(
      map,
      new Map<string, unknown>([
        [':key', 'a "quoted" one'],
        [':ttlMs', 250],
        ['not a keyword', true],
      ]),
    );
  });

  test('says what was asked before the run and what was found after it', async () => {
    const archive = new RunArchive({ ...runOptions(folder), seed: 3 }, new Date(0));
    const read = (name: string): unknown => JSON.parse(readFileSync(join(archive.folder, name), 'utf8'));
    assert.equal((read('test.json') as { workload: string }).workload, 'register');
    await archive.closeHistory();
    archive.finish({ valid: 'unknown', problems: ['too long'], facts: {} });
    assert.deepEqual(read('results.json'), { valid: 'unknown', problems: ['too long'], facts: {} });
  });
});
