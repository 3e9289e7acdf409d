/**
 * One way to look at a run, whatever looks: a finished one from its archive, a growing one as it grows, or several at once.
 */
import { existsSync, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Op } from './history.ts';

/** An event with the run that it is from. */
export interface RunEvent {
  readonly runId: string;
  readonly op: Op;
}

/** Events in the order in which they were recorded (per run). Ends when the source does, or when `signal` aborts. */
export interface EventSource {
  events(signal?: AbortSignal): AsyncIterable<RunEvent>;
}

const HISTORY = 'history.jsonl';
/** Written last, so that its presence says that the run is over. */
const RESULTS = 'results.json';
const TAIL_POLL_MS = 200;
const TAIL_CHUNK_BYTES = 256 * 1024;

const parseLine = (runId: string, line: string): RunEvent => ({ runId, op: JSON.parse(line) as Op });

const runIdOf = (folder: string): string => folder.slice(folder.lastIndexOf('/') + 1);

/** A finished run. */
export function archivedRun(folder: string): EventSource {
  const runId = runIdOf(folder);
  return {
    async *events(signal) {
      for (const line of readFileSync(join(folder, HISTORY), 'utf8').split('\n')) {
        if (signal?.aborted) return;
        if (line !== '') yield parseLine(runId, line);
      }
    },
  };
}

/** A run that is being recorded: everything so far, then what is added until it is over. */
export function liveRun(folder: string): EventSource {
  const runId = runIdOf(folder);
  const path = join(folder, HISTORY);
  return {
    async *events(signal) {
      while (!existsSync(path)) {
        if (signal?.aborted) return;
        await changeIn(folder, signal);
      }
      const file = await open(path, 'r');
      try {
        const chunk = Buffer.alloc(TAIL_CHUNK_BYTES);
        let position = 0;
        let rest = '';
        for (;;) {
          // Asked before reading: what was recorded before the results is then certainly read.
          const isOver = existsSync(join(folder, RESULTS));
          const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
          position += bytesRead;
          const lines = (rest + chunk.toString('utf8', 0, bytesRead)).split('\n');
          rest = lines.pop()!;
          for (const line of lines) yield parseLine(runId, line);
          if (signal?.aborted || (bytesRead === 0 && isOver)) return;
          if (bytesRead === 0) await changeIn(folder, signal);
        }
      } finally {
        await file.close();
      }
    },
  };
}

/** Every run below a folder, side by side, as they are; runs that begin later are not picked up. */
export function partitionedRuns(parent: string): EventSource {
  return {
    async *events(signal) {
      const folders = readdirSync(parent)
        .map((name) => join(parent, name))
        .filter((folder) => statSync(folder).isDirectory())
        .sort();
      const iterators = folders.map((folder) => liveRun(folder).events(signal)[Symbol.asyncIterator]());
      const pending = new Map(iterators.map((iterator) => [iterator, iterator.next()]));
      while (pending.size > 0) {
        const { iterator, step } = await Promise.race(
          [...pending].map(async ([iterator, next]) => ({ iterator, step: await next })),
        );
        if (step.done) {
          pending.delete(iterator);
        } else {
          pending.set(iterator, iterator.next());
          yield step.value;
        }
      }
    },
  };
}

/** Settles when something in the folder changed, after a short while at the latest. */
function changeIn(folder: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      watcher.close();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const watcher = watch(folder, done);
    const timer = setTimeout(done, TAIL_POLL_MS);
    signal?.addEventListener('abort', done);
  });
}
