/**
 * `npm run bench:bullmq`: how many jobs a second does a BullMQ queue do over three nodes, a producer on one and workers on the two others; with all keys
 * of the queue in one group (a hash tag in the prefix) and with keys anywhere (no tag, BullMQ's default), over one group and over three.
 *
 *   npm run bench:bullmq -- [--jobs 500] [--concurrency 10] [--groups 1,3]
 */
import { parseArgs } from 'node:util';
import { Queue, Worker } from 'bullmq';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '500' },
    concurrency: { type: 'string', default: '10' },
    groups: { type: 'string', default: '1,3' },
    folder: { type: 'string' },
  },
});

const JOBS = Number(values.jobs);
const CONCURRENCY = Number(values.concurrency);
const PREFIXES = ['{bull}', 'bull'] as const;

interface Figures {
  readonly addedASecond: number;
  readonly doneASecond: number;
  readonly failures: ReadonlyMap<string, number>;
}

async function measure(ports: readonly number[], prefix: string): Promise<Figures> {
  const failures = new Map<string, number>();
  const note = ({ message }: Error): void => void failures.set(message, (failures.get(message) ?? 0) + 1);
  const options = (node: number) => ({
    connection: { host: '127.0.0.1', port: ports[node]!, maxRetriesPerRequest: null },
    prefix,
  });
  const queue = new Queue('bench', options(0));
  queue.on('error', () => {});
  const rate = (beganMs: number): number => (JOBS * 1_000) / (performance.now() - beganMs);
  let beganMs = performance.now();
  let next = 0;
  const add = async (): Promise<void> => {
    while (next < JOBS) {
      const jobId = `job-${next++}`;
      while ((await queue.add('work', {}, { jobId }).catch(note)) === undefined);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, add));
  const addedASecond = rate(beganMs);
  const done = new Set<string>();
  beganMs = performance.now();
  let workers: Worker[] = [];
  await new Promise<void>((resolve) => {
    workers = [1, 2].map((node) => {
      const work = async ({ id }: { id?: string | undefined }): Promise<void> => {
        if (done.add(id!).size === JOBS) resolve();
      };
      const worker = new Worker('bench', work, { ...options(node), concurrency: CONCURRENCY });
      worker.on('error', note);
      return worker;
    });
  });
  const doneASecond = rate(beganMs);
  await Promise.all([...workers, queue].map((one) => one.close()));
  return { addedASecond, doneASecond, failures };
}

for (const groups of values.groups.split(',').map(Number)) {
  const scratch = new Scratch(values.folder);
  try {
    const { members } = await startLocalNodes(scratch, { nodes: 3, groups });
    const ports = (await members()).map(({ addresses: { redis } }) => portOf(redis));
    for (const prefix of PREFIXES) {
      const { addedASecond, doneASecond, failures } = await measure(ports, prefix);
      const failed = [...failures].map(([text, times]) => `${times} x ${text}`).join('; ');
      console.log(
        `${groups} groups, prefix ${prefix.padEnd(6)} ${addedASecond.toFixed(0).padStart(6)} added/s ${doneASecond.toFixed(0).padStart(6)} done/s, failures: ${failed || 'none'}`,
      );
    }
  } finally {
    await scratch.clean();
  }
}
