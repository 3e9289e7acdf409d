/**
 * A closed-loop load generator for the Redis protocol: every connection sends `pipeline` commands, waits for all their
 * replies and goes on, the way redis-benchmark does. A latency is that of the whole batch.
 */
import type { Socket } from 'node:net';
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';
import {
  errorMessage,
  isErrorReply,
  type LinkSecurity,
  type LinkTarget,
  openConnection,
  ReplySplitter,
} from '../redis/index.ts';

export type LoadOperation = 'set' | 'get' | 'incr';

export interface LoadOptions {
  /** Connections are dealt out to these in turn. */
  readonly targets: readonly LinkTarget[];
  readonly operation: LoadOperation;
  readonly connections: number;
  readonly pipeline: number;
  /** Stops after this many commands... */
  readonly requests: number;
  /** ...or when this time is over, whichever is first. */
  readonly maxSeconds: number;
  readonly valueBytes: number;
  /** Keys are drawn from this many; 1 makes one hot key. */
  readonly keys: number;
  /** Left out: plain text, without a password. */
  readonly security?: LinkSecurity;
}

/** A target that took no connection, and why. */
export interface UnreachableTarget {
  readonly target: LinkTarget;
  /** The system's code, for example ECONNREFUSED. */
  readonly code: string;
}

export interface LoadResult {
  readonly operations: number;
  readonly errors: number;
  readonly firstError: string | undefined;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** Targets that the load went past. */
  readonly unreachable: readonly UnreachableTarget[];
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** The wire form of one command on a random key. */
function commandFactory(options: LoadOptions): () => string {
  const width = String(options.keys - 1).length;
  const value = bulk('x'.repeat(options.valueBytes));
  const nextKey = (prefix: string): string =>
    bulk(`${prefix}:${String(Math.floor(Math.random() * options.keys)).padStart(width, '0')}`);
  switch (options.operation) {
    case 'set':
      return () => `*3\r\n$3\r\nSET\r\n${nextKey('load')}${value}`;
    case 'get':
      return () => `*2\r\n$3\r\nGET\r\n${nextKey('load')}`;
    case 'incr':
      return () => `*2\r\n$4\r\nINCR\r\n${nextKey('load-counter')}`;
  }
}

/** What the connections of one run share. */
interface Run {
  readonly options: LoadOptions;
  readonly nextCommand: () => string;
  readonly latenciesUs: RecordableHistogram;
  readonly stopAtMs: number;
  unsent: number;
  operations: number;
  errors: number;
  firstError: string | undefined;
}

function runConnection(run: Run, socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let awaited = 0;
    let sentMs = 0;
    const splitter = new ReplySplitter((reply) => {
      awaited--;
      run.operations++;
      if (!isErrorReply(reply)) return;
      run.errors++;
      run.firstError ??= errorMessage(reply);
    });
    const sendBatch = (): void => {
      awaited = Math.min(run.options.pipeline, run.unsent);
      sentMs = performance.now();
      if (awaited === 0 || sentMs >= run.stopAtMs) {
        awaited = 0;
        socket.end();
        resolve();
        return;
      }
      run.unsent -= awaited;
      let batch = '';
      for (let count = 0; count < awaited; count++) batch += run.nextCommand();
      socket.write(batch, 'latin1');
    };
    socket.on('data', (chunk: Buffer) => {
      splitter.feed(chunk);
      if (awaited > 0) return;
      run.latenciesUs.record(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
      sendBatch();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (awaited > 0) reject(new Error('the server closed a connection with commands outstanding'));
    });
    sendBatch();
  });
}

/**
 * Tries every target once. A node that is down is no reason not to measure the others.
 * @throws the first target's error when none can be reached; the server's own refusal, which is a mistake of the user
 */
async function reach(
  targets: readonly LinkTarget[],
  security: LinkSecurity,
): Promise<{ reachable: LinkTarget[]; unreachable: UnreachableTarget[] }> {
  const reachable: LinkTarget[] = [];
  const unreachable: UnreachableTarget[] = [];
  let first: unknown;
  for (const target of targets) {
    try {
      (await openConnection(target, security)).destroy();
      reachable.push(target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      first ??= error;
      unreachable.push({ target, code });
    }
  }
  if (reachable.length === 0) throw first;
  return { reachable, unreachable };
}

/**
 * Runs one load to its end, over the targets that can be reached.
 * @throws the socket's error when no target can be reached or one drops a connection
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { connections, security = {} } = options;
  const { reachable: targets, unreachable } = await reach(options.targets, security);
  const opened = await Promise.allSettled(
    Array.from({ length: connections }, (_, index) => openConnection(targets[index % targets.length]!, security)),
  );
  const sockets = opened.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  try {
    const refused = opened.find((outcome) => outcome.status === 'rejected');
    if (refused) throw refused.reason;
    const startedMs = performance.now();
    const run: Run = {
      options,
      nextCommand: commandFactory(options),
      latenciesUs: createHistogram(),
      stopAtMs: startedMs + options.maxSeconds * 1000,
      unsent: options.requests,
      operations: 0,
      errors: 0,
      firstError: undefined,
    };
    await Promise.all(sockets.map((socket) => runConnection(run, socket)));
    const seconds = (performance.now() - startedMs) / 1000;
    const percentileMs = (percentile: number): number => run.latenciesUs.percentile(percentile) / 1000;
    return {
      operations: run.operations,
      errors: run.errors,
      firstError: run.firstError,
      seconds,
      operationsPerSecond: run.operations / seconds,
      latencyMs: {
        p50: percentileMs(50),
        p95: percentileMs(95),
        p99: percentileMs(99),
        max: run.latenciesUs.max / 1000,
      },
      unreachable,
    };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}
