/** The client of `bench:snapshots`, a thread of its own: what it allocates is not the node's, whose event loop is watched. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { SeededRandom } from '../src/platform/index.ts';

const PIPELINE = 256;

/** Half of a value is noise, half repeats: compression finds something, as it does in most data. */
export function sampleValue(random: SeededRandom, bytes: number): Buffer {
  const value = Buffer.alloc(bytes, 'kvorum snapshot ');
  random.bytes(bytes >>> 1).copy(value);
  return value;
}

type Work =
  | { readonly kind: 'load'; readonly port: number; readonly keys: number; readonly valueBytes: number }
  | { readonly kind: 'write'; readonly port: number };

const start = (work: Work): Worker => new Worker(new URL(import.meta.url), { workerData: work });

/** Sets `keys` keys. */
export async function load(port: number, keys: number, valueBytes: number): Promise<void> {
  const worker = start({ kind: 'load', port, keys, valueBytes });
  await new Promise<void>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', resolve);
  });
}

/** Sets keys one at a time until `end`. */
export class Writer {
  private readonly worker: Worker;

  constructor(port: number) {
    this.worker = start({ kind: 'write', port });
  }

  /** @returns how long each took, ms */
  end(): Promise<number[]> {
    return new Promise((resolve, reject) => {
      this.worker.on('error', reject);
      this.worker.on('message', resolve);
      this.worker.postMessage('end');
    });
  }
}

async function runLoad(client: Redis, keys: number, valueBytes: number): Promise<void> {
  const random = new SeededRandom(2);
  for (let at = 0; at < keys; at += PIPELINE) {
    const batch = client.pipeline();
    for (let next = at; next < Math.min(keys, at + PIPELINE); next++) {
      batch.set(`key:${String(next).padStart(12, '0')}`, sampleValue(random, valueBytes));
    }
    await batch.exec();
  }
}

async function runWrites(client: Redis): Promise<void> {
  const latenciesMs: number[] = [];
  let isOver = false;
  parentPort!.once('message', () => {
    isOver = true;
  });
  for (let at = 0; !isOver; at++) {
    const beganMs = performance.now();
    await client.set(`live:${at % 1000}`, String(at));
    latenciesMs.push(performance.now() - beganMs);
    await sleep(2);
  }
  parentPort!.postMessage(latenciesMs);
}

if (!isMainThread) {
  const work = workerData as Work;
  const client = new Redis(work.port, '127.0.0.1');
  if (work.kind === 'load') await runLoad(client, work.keys, work.valueBytes);
  else await runWrites(client);
  client.disconnect();
}
