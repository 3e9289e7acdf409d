import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { archivedRun, type EventSource, liveRun, partitionedRuns, type RunEvent } from '../../jepsen/event-source.ts';
import { RunProgress } from '../../jepsen/watch.ts';
import { tormentedHistory } from './histories.ts';

const line = (op: unknown): string => `${JSON.stringify(op)}\n`;

async function all(source: EventSource): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of source.events(AbortSignal.timeout(5000))) events.push(event);
  return events;
}

describe('event sources', () => {
  let parent: string;
  let run: string;
  const events = tormentedHistory();

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'kvorum-events-'));
    run = join(parent, 'run-1');
    mkdirSync(run);
  });
  afterEach(() => rmSync(parent, { recursive: true }));

  test('replay a finished run in order', async () => {
    writeFileSync(join(run, 'history.jsonl'), events.map(line).join(''));
    const seen = await all(archivedRun(run));
    assert.deepEqual(
      seen,
      events.map((op) => ({ runId: 'run-1', op })),
    );
  });

  test('follow a run that is being recorded, from before its first event, also when a line comes in two pieces', async () => {
    const seen: number[] = [];
    const path = join(run, 'history.jsonl');
    const [first, second, third] = events.map(line) as [string, string, string];
    const following = (async () => {
      for await (const { op } of liveRun(run).events(AbortSignal.timeout(5000))) {
        seen.push(op.index);
        if (op.index === 0) appendFileSync(path, second.slice(10));
        if (op.index === 1) {
          appendFileSync(path, third);
          writeFileSync(join(run, 'results.json'), '{}');
        }
      }
    })();
    writeFileSync(path, first + second.slice(0, 10));
    await following;
    assert.deepEqual(seen, [0, 1, 2]);
  });

  test('end at once when they are cancelled', async () => {
    writeFileSync(join(run, 'history.jsonl'), line(events[0]));
    const cancel = new AbortController();
    const seen: number[] = [];
    for await (const { op } of liveRun(run).events(cancel.signal)) {
      seen.push(op.index);
      cancel.abort();
    }
    assert.deepEqual(seen, [0]);
  });

  test('show several runs at once, each in its own order', async () => {
    const other = join(parent, 'run-2');
    mkdirSync(other);
    for (const folder of [run, other]) {
      writeFileSync(join(folder, 'history.jsonl'), events.map(line).join(''));
      writeFileSync(join(folder, 'results.json'), '{}');
    }
    const seen = await all(partitionedRuns(parent));
    for (const runId of ['run-1', 'run-2']) {
      const mine = seen.filter((event) => event.runId === runId).map(({ op }) => op.index);
      assert.deepEqual(
        mine,
        events.map((_, at) => at),
      );
    }
    assert.equal(seen.length, 2 * events.length);
  });
});

describe('the live view of a run', () => {
  const progressUpTo = (endMs: number): string => {
    const progress = new RunProgress('run-1', 8);
    for (const op of tormentedHistory()) if (op.time <= endMs * 1e6) progress.add(op);
    return progress.render();
  };

  test('names all faults in force and forgets the healed ones', () => {
    assert.match(progressUpTo(1700), /fault: network-slow \+ kill-leader/);
    assert.match(progressUpTo(2050), /fault: kill-leader/);
    assert.match(progressUpTo(2300), /fault: none/);
  });

  test('counts outcomes, open operations and how far the run is', () => {
    const text = progressUpTo(4000);
    assert.match(text, /ok 1 {3}unknown 1 {3}failed 1 {3}open 1/);
    assert.match(text, /\[#{15}\.{15}\] 4 of 8 s/);
  });
});
