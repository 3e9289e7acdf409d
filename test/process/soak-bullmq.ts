/**
 * `npm run soak:bullmq`: a BullMQ queue whose producer is on one node and whose workers are on the two others, while each node in turn is ended by
 * `kill -9`. Every job must be done, and those that were done more than once must be among those that BullMQ has reported as stalled or failed.
 */
import { Queue, QueueEvents, Worker } from 'bullmq';
import { Command } from 'commander';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

interface SoakFlags {
  readonly rounds: string;
  readonly pauseMs: string;
  readonly prefix: string;
}

const flags = new Command('npm run soak:bullmq --')
  .description('Kills each node of a real cluster in turn under a BullMQ queue, and checks every job.')
  .option('--rounds <count>', 'how often each node is killed', '1')
  .option('--pause-ms <ms>', 'between a kill and the next step', '3000')
  .option('--prefix <prefix>', 'of the queue; with a hash tag all keys are in one group', '{bull}')
  .parse()
  .opts<SoakFlags>();

const QUEUE = 'soak';
const NODES = [1, 2, 3] as const;
const DRAIN_MS = 120_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What became of the jobs. */
class Record {
  readonly added = new Set<string>();
  /** How often each was done. */
  readonly done = new Map<string, number>();
  /** Jobs that BullMQ has said something about. */
  readonly reported = new Set<string>();
  readonly errors = new Map<string, number>();

  noteError(error: Error): void {
    const kind = error.message.split(/[\s:]/, 1)[0]!;
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }
}

async function soak(cluster: ProcessNodes, record: Record): Promise<string[]> {
  const options = (nodeId: number) => ({
    connection: { host: '127.0.0.1', port: cluster.redisPort(nodeId), maxRetriesPerRequest: null },
    prefix: flags.prefix,
  });
  const noteError = (error: Error): void => record.noteError(error);
  const queue = new Queue(QUEUE, options(1));
  const events = new QueueEvents(QUEUE, options(2));
  const workers = [2, 3].map((nodeId) => {
    const worker = new Worker(
      QUEUE,
      async ({ id }) => {
        record.done.set(id!, (record.done.get(id!) ?? 0) + 1);
      },
      { ...options(nodeId), concurrency: 5, lockDuration: 5_000, stalledInterval: 2_000, maxStalledCount: 1_000 },
    );
    worker.on('stalled', (id) => record.reported.add(id));
    worker.on('failed', (job) => record.reported.add(job?.id ?? ''));
    // Whatever fails between doing a job and saying so is told without the job's name.
    worker.on('error', noteError);
    return worker;
  });
  queue.on('error', noteError);
  events.on('error', noteError);

  let isProducing = true;
  const produce = async (): Promise<void> => {
    for (let number = 0; isProducing; number++) {
      const jobId = `job-${number}`;
      // A job that may have been added is added again: its name makes it the same one.
      for (;;) {
        try {
          await queue.add('work', { number }, { jobId, attempts: 1_000, backoff: 100 });
          break;
        } catch (error) {
          record.noteError(error as Error);
          await pause(50);
        }
      }
      record.added.add(jobId);
      await pause(5);
    }
  };
  const producing = produce();
  for (let round = 1; round <= Number(flags.rounds); round++) {
    for (const nodeId of NODES) {
      await pause(Number(flags.pauseMs));
      console.log(
        `  round ${round}: kill -9 node ${nodeId}, ${record.added.size} jobs added, ${record.done.size} done`,
      );
      await cluster.kill(nodeId);
      await pause(Number(flags.pauseMs));
      cluster.revive(nodeId);
      await cluster.ready();
    }
  }
  isProducing = false;
  await producing;
  await until('all jobs are done', async () => [...record.added].every((id) => record.done.has(id)), DRAIN_MS);
  const unfinished: string[] = [];
  for (const id of record.added) {
    const isFinished = async () => (await (await queue.getJob(id))?.getState()) === 'completed';
    await until(`${id} is completed`, isFinished, DRAIN_MS).catch(() => unfinished.push(id));
  }
  await Promise.all([queue, events, ...workers].map((one) => one.close()));
  return unfinished;
}

const cluster = await ProcessNodes.start();
const record = new Record();
try {
  const unfinished = await soak(cluster, record);
  const again = [...record.done].filter(([, times]) => times > 1).map(([id]) => id);
  const unreported = again.filter((id) => !record.reported.has(id));
  const errors = [...record.errors].map(([kind, times]) => `${kind} ${times}`).join(', ');
  console.log(
    `${record.added.size} jobs added and done; ${again.length} of them more than once, ${again.length - unreported.length} reported as stalled or failed (errors: ${errors || 'none'})`,
  );
  if (unfinished.length > 0 || unreported.length > 0) {
    console.error(
      `FAILED: not completed ${unfinished.join(' ') || 'none'}; done again without a word ${unreported.join(' ') || 'none'}`,
    );
    process.exitCode = 1;
  }
} catch (error) {
  console.error(cluster.log.slice(-60).join('\n'));
  console.error('FAILED:', error, `${record.added.size} added, ${record.done.size} done`);
  process.exitCode = 1;
} finally {
  await cluster.stop();
}
process.exit();
