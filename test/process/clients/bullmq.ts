/**
 * BullMQ as its documentation has it: producers on one node, workers on the two others; jobs with priorities, delays and children, a rate, and a
 * scheduler. Every job is done once, or BullMQ says of it that it has stalled or failed.
 */
import { FlowProducer, type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { until } from '../../support/until.ts';
import { type Bed, Errors, persistently, type Running, repeatedly, WorkRecord } from './workload.ts';

export interface BullOptions {
  /** With a hash tag all keys of all queues are in one group. */
  readonly prefix: string;
  /** Between two jobs. */
  readonly everyMs: number;
  /** How long a job belongs to a worker that does not say that it is still there. */
  readonly lockMs: number;
  /** How long what was added may take in the end. */
  readonly drainMs: number;
}

const [WORK, PARENTS, SLOW] = ['work', 'parents', 'slow'] as const;
const RATE = { max: 4, duration: 1_000 };
const BEAT_MS = 500;
/** Every so many jobs there is one with children, and one that is slow. */
const FLOW_EVERY = 10;
const SLOW_EVERY = 25;
const STUBBORN = { attempts: 1_000, backoff: 100 };

const KINDS = [{}, { priority: 3 }, { delay: 200 }, { lifo: true }] as const;

/** A job by the name that the record has. */
const nameOf = (queue: string, id: string | undefined): string => `${queue}/${id}`;

/** A queue under way, and how many of its jobs are done. */
export interface RunningQueue extends Running {
  done(): number;
}

export function bullmq({
  prefix,
  everyMs,
  lockMs,
  drainMs,
}: BullOptions): (bed: Pick<Bed, 'port'>) => Promise<RunningQueue> {
  return async (bed) => {
    const errors = new Errors();
    const record = new WorkRecord();
    const noteError = (error: Error): void => errors.note(error);
    const options = (nodeId: number) => ({
      connection: { host: '127.0.0.1', port: bed.port(nodeId), maxRetriesPerRequest: null },
      prefix,
    });
    const complaints: string[] = [];
    let slowSinceMs: number | undefined;
    let slowDone = 0;
    let beats = 0;

    const work = async (job: Job): Promise<void> => {
      record.noteDone(nameOf(job.queueName, job.id));
      if (job.name === 'tick') beats++;
      if (job.queueName === SLOW) {
        slowSinceMs ??= Date.now();
        slowDone++;
      }
      if (job.queueName !== PARENTS) return;
      const children = Object.keys(await job.getChildrenValues());
      const isEarly = [0, 1].some((nth) => !record.done.has(nameOf(WORK, `${job.id}-${nth}`)));
      if (isEarly || children.length !== 2) complaints.push(`parent ${job.id} began before its children were done`);
    };
    const queues = [WORK, PARENTS, SLOW].map((name) => new Queue(name, options(1)));
    const [workQueue, , slowQueue] = queues as [Queue, Queue, Queue];
    const flows = new FlowProducer(options(1));
    const workers = [2, 3].flatMap((nodeId) =>
      [WORK, PARENTS, SLOW].map((name) => {
        const recovery = { lockDuration: lockMs, stalledInterval: lockMs / 2, maxStalledCount: 1_000 };
        const limiter = name === SLOW ? { limiter: RATE } : {};
        const worker = new Worker(name, work, { ...options(nodeId), concurrency: 5, ...recovery, ...limiter });
        worker.on('stalled', (id) => record.reported.add(nameOf(name, id)));
        worker.on('failed', (job) => record.reported.add(nameOf(name, job?.id)));
        return worker;
      }),
    );
    const events = [WORK, PARENTS, SLOW].map((name) => new QueueEvents(name, options(3)));
    for (const [nth, name] of [WORK, PARENTS, SLOW].entries())
      events[nth]!.on('stalled', ({ jobId }) => record.reported.add(nameOf(name, jobId)));
    for (const queue of queues) queue.on('error', noteError);
    for (const worker of workers) worker.on('error', noteError);
    for (const one of events) one.on('error', noteError);
    flows.on('error', noteError);
    await persistently(errors, () => workQueue.upsertJobScheduler('beat', { every: BEAT_MS }, { name: 'tick' }));

    // A job that may have been added is added again: its name makes it the same one.
    const producing = repeatedly(everyMs, async (nth) => {
      const jobId = `job-${nth}`;
      if (nth % FLOW_EVERY === 0) {
        const child = (part: number) => ({
          ...{ name: 'child', queueName: WORK, opts: { jobId: `${jobId}-${part}`, ...STUBBORN } },
        });
        const parent = {
          name: 'parent',
          queueName: PARENTS,
          opts: { jobId, ...STUBBORN },
          children: [0, 1].map(child),
        };
        await persistently(errors, () => flows.add(parent));
        for (const part of [0, 1]) record.added.add(nameOf(WORK, `${jobId}-${part}`));
        record.added.add(nameOf(PARENTS, jobId));
        return;
      }
      const queue = nth % SLOW_EVERY === 1 ? slowQueue : workQueue;
      const kind = queue === slowQueue ? {} : KINDS[nth % KINDS.length]!;
      await persistently(errors, () => queue.add('plain', {}, { jobId, ...STUBBORN, ...kind }));
      record.added.add(nameOf(queue.name, jobId));
    });

    return {
      done: () => record.done.size,
      progress: () => `${record.added.size} jobs added, ${record.done.size} done`,
      finish: async () => {
        await producing.stop();
        await until('all jobs are done', () => record.isAllDone, drainMs).catch(() => undefined);
        const beatsBefore = beats;
        await until('the scheduler goes on', () => beats > beatsBefore + 1, drainMs).catch(() =>
          complaints.push('the scheduler makes no more jobs'),
        );
        const isCompleted = async (name: string): Promise<void> => {
          const [queue, id] = name.split('/') as [string, string];
          const of = queues.find((one) => one.name === queue)!;
          const state = async () => (await (await of.getJob(id))?.getState()) ?? 'gone';
          await until(`${name} is completed`, async () => (await state()) === 'completed', drainMs).catch(() =>
            complaints.push(`${name} is not completed`),
          );
        };
        await Promise.all([...record.added].map(isCompleted));
        if (slowSinceMs !== undefined) {
          const windows = (Date.now() - slowSinceMs) / RATE.duration + 2;
          if (slowDone > windows * RATE.max)
            complaints.push(`${slowDone} slow jobs in ${windows} windows of ${RATE.max}`);
        }
        await Promise.all([...workers, ...queues, flows, ...events].map((one) => one.close()));
        const summary = `${record.summary}, ${slowDone} at a rate, ${beats} by schedule (errors: ${errors.text})`;
        return { summary, complaints: [...record.complaints, ...complaints] };
      },
    };
  };
}
