/** Queues, locks and limits of other people that live in scripts, used as their own documentation does, over three nodes: who asks is on another node than who works. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import BeeQueue from 'bee-queue';
import { FlowProducer, type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

/** A lock as the package, which has no types, gives it. */
interface Lock {
  extend(ms: number): Promise<Lock>;
  unlock(): Promise<void>;
}
const Redlock = createRequire(import.meta.url)('redlock') as new (
  clients: readonly Redis[],
  options: { readonly retryCount: number; readonly retryDelay: number },
) => { lock(resource: string, ms: number): Promise<Lock> };

/**
 * As BullMQ's documentation has it for clusters: all keys of all queues in one slot. Without it every script spans groups, which works, and costs two
 * phases and patience where workers compete.
 */
const PREFIX = '{bull}';

describe('over three nodes', () => {
  let nodes: ProcessNodes;
  const closing: (() => Promise<unknown>)[] = [];
  const connection = (nodeId: number) => ({
    host: '127.0.0.1',
    port: nodes.redisPort(nodeId),
    maxRetriesPerRequest: null,
  });

  function queueOn(nodeId: number, name: string, prefix = PREFIX): Queue {
    const queue = new Queue(name, { connection: connection(nodeId), prefix });
    closing.push(() => queue.close());
    return queue;
  }

  function workerOn(nodeId: number, name: string, work: (job: Job) => Promise<unknown>, options: object = {}): Worker {
    const worker = new Worker(name, work, { connection: connection(nodeId), prefix: PREFIX, ...options });
    worker.on('error', () => {});
    closing.push(() => worker.close());
    return worker;
  }

  function eventsOn(nodeId: number, name: string): QueueEvents {
    const events = new QueueEvents(name, { connection: connection(nodeId), prefix: PREFIX });
    closing.push(() => events.close());
    return events;
  }

  function clientOf(nodeId: number): Redis {
    const client = new Redis(connection(nodeId));
    closing.push(async () => client.disconnect());
    return client;
  }

  before(async () => {
    nodes = await ProcessNodes.start();
  });
  after(async () => {
    for (const close of closing.reverse()) await close();
    await nodes?.stop();
  });

  test('BullMQ does every job once, with several workers, and tells of it', async () => {
    const queue = queueOn(1, 'paint');
    const events = eventsOn(3, 'paint');
    await events.waitUntilReady();
    const done: string[] = [];
    const paint = async (job: Job) => {
      done.push(job.name);
      return job.data.color.length;
    };
    workerOn(2, 'paint', paint, { concurrency: 3 });
    workerOn(3, 'paint', paint);
    queue.setMaxListeners(20);
    const jobs = await queue.addBulk(
      Array.from({ length: 20 }, (_, index) => ({ name: `car${index}`, data: { color: 'blue' } })),
    );
    assert.deepEqual(
      await Promise.all(jobs.map((job) => job.waitUntilFinished(events))),
      jobs.map(() => 4),
    );
    assert.deepEqual(done.toSorted(), jobs.map(({ name }) => name).toSorted());
    assert.deepEqual(await queue.getJobCounts('wait', 'active', 'completed', 'failed'), {
      wait: 0,
      active: 0,
      completed: 20,
      failed: 0,
    });
  });

  test('BullMQ delays, prefers, retries and repeats', async () => {
    const queue = queueOn(2, 'orders');
    const done: string[] = [];
    await queue.add('low', {}, { priority: 10 });
    await queue.add('high', {}, { priority: 1 });
    await queue.add('middle', {}, { priority: 5 });
    await queue.add('first', {}, { lifo: true });
    await queue.add('late', {}, { delay: 400 });
    await queue.add('stubborn', {}, { attempts: 3, backoff: { type: 'fixed', delay: 20 }, priority: 20 });
    workerOn(3, 'orders', async (job) => {
      done.push(job.name);
      if (job.name === 'stubborn' && job.attemptsMade < 2) throw new Error('not yet');
    });
    await until('all are done', async () => (await queue.getCompletedCount()) === 6);
    // How soon the delay is over in relation to the others is up to the machine.
    const inOrder = done.filter((name) => name !== 'late');
    assert.deepEqual(inOrder.slice(0, 4), ['first', 'high', 'middle', 'low']);
    assert.equal(done.filter((name) => name === 'stubborn').length, 3);
    assert.ok(done.includes('late'));
    await queue.upsertJobScheduler('beat', { every: 50 }, { name: 'tick' });
    await until('it has ticked three times', async () => done.filter((name) => name === 'tick').length >= 3);
    assert.equal(await queue.removeJobScheduler('beat'), true);
  });

  test('BullMQ pauses, goes on, and takes jobs away, with keys in several groups', async () => {
    const queue = queueOn(1, 'breaks', 'bull');
    const elsewhere = queueOn(3, 'breaks', 'bull');
    await queue.pause();
    const kept = await queue.add('kept', {});
    const removed = await queue.add('removed', {});
    const done: string[] = [];
    workerOn(2, 'breaks', async (job) => done.push(job.name), { prefix: 'bull' });
    await (await elsewhere.getJob(removed.id!))!.remove();
    assert.equal(await elsewhere.isPaused(), true);
    await elsewhere.resume();
    await until('the other is done', async () => (await kept.getState()) === 'completed');
    assert.deepEqual(done, ['kept']);
    await queue.drain();
    await queue.clean(0, 10, 'completed');
    assert.equal(await queue.getCompletedCount(), 0);
    await queue.obliterate({ force: true });
  });

  test('BullMQ runs children before their parent', async () => {
    const flow = new FlowProducer({ connection: connection(1), prefix: PREFIX });
    closing.push(() => flow.close());
    const order: string[] = [];
    workerOn(2, 'steps', async (job) => {
      order.push(job.name);
      return job.data.step;
    });
    workerOn(3, 'whole', async (job) => {
      order.push(job.name);
      return Object.values(await job.getChildrenValues()).toSorted();
    });
    const events = eventsOn(2, 'whole');
    await events.waitUntilReady();
    const tree = await flow.add({
      name: 'renovate',
      queueName: 'whole',
      data: {},
      children: ['walls', 'ceiling', 'floor'].map((step) => ({ name: step, queueName: 'steps', data: { step } })),
    });
    assert.deepEqual(await tree.job.waitUntilFinished(events), ['ceiling', 'floor', 'walls']);
    assert.equal(order.at(-1), 'renovate');
  });

  test('BullMQ keeps to a rate over all workers', async () => {
    const queue = queueOn(1, 'slow');
    const startedMs: number[] = [];
    const options = { limiter: { max: 2, duration: 300 } };
    for (const nodeId of [2, 3]) workerOn(nodeId, 'slow', async () => startedMs.push(Date.now()), options);
    await queue.addBulk(Array.from({ length: 5 }, (_, index) => ({ name: `job${index}`, data: {} })));
    await until('all are done', async () => (await queue.getCompletedCount()) === 5);
    assert.ok(startedMs.at(-1)! - startedMs[0]! >= 550, 'the fifth is in the third window');
  });

  test('redlock gives a lock to one at a time', async () => {
    const [first, second] = [1, 2].map(
      (nodeId) => new Redlock([clientOf(nodeId)], { retryCount: 200, retryDelay: 10 }),
    );
    const lock = await first!.lock('locks:account', 10_000);
    let isOther = false;
    const other = second!.lock('locks:account', 10_000).then((taken) => {
      isOther = true;
      return taken;
    });
    const extended = await lock.extend(20_000);
    assert.equal(isOther, false);
    await extended.unlock();
    await (await other).unlock();
    await assert.rejects(extended.unlock());
  });

  test('bee-queue does jobs and reports their progress', async () => {
    const redis = (nodeId: number) => ({ host: '127.0.0.1', port: nodes.redisPort(nodeId) });
    const asks = new BeeQueue('addition', { redis: redis(1), isWorker: false });
    const works = new BeeQueue('addition', { redis: redis(2), getEvents: false });
    closing.push(
      () => asks.close(),
      () => works.close(),
    );
    await Promise.all([asks.ready(), works.ready()]);
    works.process(3, async (job) => {
      job.reportProgress(50);
      if (job.data.x === 0) throw new Error('nothing to add');
      return job.data.x + job.data.y;
    });
    const outcome = (x: number) =>
      new Promise((resolve) => {
        const job = asks.createJob({ x, y: 2 });
        job.on('succeeded', resolve);
        job.on('failed', (error: Error) => resolve(error.message));
        void job.save();
      });
    assert.deepEqual(await Promise.all([1, 2, 0].map(outcome)), [3, 4, 'nothing to add']);
  });

  test('rate-limiter-flexible counts over all nodes', async () => {
    const limiters = [1, 2, 3].map(
      (nodeId) =>
        new RateLimiterRedis({
          storeClient: clientOf(nodeId),
          keyPrefix: 'limit',
          points: 4,
          duration: 60,
          blockDuration: 120,
        }),
    );
    const outcomes = await Promise.allSettled([0, 1, 2, 0, 1, 2].map((at) => limiters[at]!.consume('user')));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 4);
    const left = await limiters[1]!.get('user');
    assert.ok(left!.msBeforeNext > 60_000, 'whoever asks too often is blocked');
    await limiters[2]!.delete('user');
    assert.equal((await limiters[0]!.consume('user')).remainingPoints, 3);
  });
});
