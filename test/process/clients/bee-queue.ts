/** bee-queue: a producer on one node, workers on the two others. Every job is done, and one that is done again was reported as stalled. */
import BeeQueue from 'bee-queue';
import { until } from '../../support/until.ts';
import { Errors, persistently, repeatedly, type Workload, WorkRecord } from './workload.ts';

const DRAIN_MS = 120_000;
const STALL_MS = 2_000;

export const beeQueue: Workload = async (bed) => {
  const errors = new Errors();
  const record = new WorkRecord();
  const settings = (nodeId: number) => ({
    redis: { host: '127.0.0.1', port: bed.port(nodeId), retry_strategy: () => 50 },
    stallInterval: STALL_MS,
    autoConnect: true,
  });
  const asks = new BeeQueue('bees', { ...settings(1), isWorker: false, getEvents: false });
  const works = [2, 3].map((nodeId) => new BeeQueue('bees', { ...settings(nodeId), getEvents: false }));
  for (const queue of [asks, ...works]) queue.on('error', (error: Error) => errors.note(error));
  await Promise.all([asks, ...works].map((queue) => queue.ready()));
  for (const queue of works) {
    queue.on('stalled', (id) => record.reported.add(String(id)));
    queue.process(5, async (job) => {
      record.noteDone(String(job.id));
      return job.data.nth;
    });
  }
  const checking = works.map((queue) =>
    repeatedly(STALL_MS, async () => void (await queue.checkStalledJobs().catch((error) => errors.note(error)))),
  );
  const producing = repeatedly(20, async (nth) => {
    const id = `bee-${nth}`;
    await persistently(errors, () => asks.createJob({ nth }).setId(id).retries(1_000).save());
    record.added.add(id);
  });
  return {
    progress: () => `${record.added.size} jobs added, ${record.done.size} done`,
    finish: async () => {
      await producing.stop();
      await until('all jobs are done', () => record.isAllDone, DRAIN_MS).catch(() => undefined);
      for (const check of checking) await check.stop();
      await Promise.all([asks, ...works].map((queue) => queue.close(5_000).catch((error) => errors.note(error))));
      return { summary: `${record.summary} (errors: ${errors.text})`, complaints: record.complaints };
    },
  };
};
