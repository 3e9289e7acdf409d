/** A node in this process, a load from another thread, and where the node's CPU time goes meanwhile. */
import { once } from 'node:events';
import { Session } from 'node:inspector/promises';
import { Worker } from 'node:worker_threads';
import { loadConfig, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { startNode } from '../../src/node.ts';
import type { Scratch } from '../scratch.ts';
import { prepareTable } from './prepare.ts';
import { KEY } from './signed-request.ts';
import { type StageTimes, splitProfile } from './stages.ts';
import type { DynamoMeasure } from './ycsb.ts';

/** Of one kind of request: all CPU time of the process, and where it goes. */
export interface ProfiledMeasure {
  readonly measure: DynamoMeasure;
  readonly requests: number;
  /** µs a request. */
  readonly stages: StageTimes;
}

/** What is profiled: one kind of request each. */
export const PROFILED: readonly DynamoMeasure[] = ['getItem', 'putItem', 'ycsbA'];
const SAMPLE_US = 200;

export interface ProfileOptions {
  readonly seconds: number;
  readonly connections: number;
  readonly records: number;
}

async function profile(port: number, measure: DynamoMeasure, options: ProfileOptions): Promise<ProfiledMeasure> {
  const session = new Session();
  session.connect();
  const workerData = { port, measure, ...options, nowMs: Date.now() };
  const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData });
  try {
    await once(worker, 'message');
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
    await session.post('Profiler.start');
    const before = process.threadCpuUsage();
    const [requests] = (await once(worker, 'message')) as [number];
    const { user, system } = process.threadCpuUsage(before);
    const { profile: taken } = await session.post('Profiler.stop');
    return { measure, requests, stages: splitProfile(taken, user + system, requests) };
  } finally {
    await worker.terminate();
    session.disconnect();
  }
}

/** One node is the whole cluster: what replication costs is not in these figures. */
export async function profileRequests(scratch: Scratch, options: ProfileOptions): Promise<ProfiledMeasure[]> {
  const flags = {
    dataFolder: scratch.newFolder('profiled'),
    'redis.port': 0,
    'grpc.port': 0,
    'metrics.port': 0,
    'dynamodb.port': 0,
    'dynamodb.accessKeyId': KEY.accessKeyId,
    'dynamodb.secretAccessKey': KEY.secretAccessKey,
    logLevel: 'error',
  };
  const node = await startNode(toNodeOptions(loadConfig(nodeSettings, { flags, environment: {} }).values), 'bench');
  const stop = scratch.own(() => node.stop());
  const port = Number(node.addresses.dynamodb!.split(':').at(-1));
  const profiled: ProfiledMeasure[] = [];
  await prepareTable(port, PROFILED[0]!, options.records);
  for (const measure of PROFILED) profiled.push(await profile(port, measure, options));
  await stop();
  return profiled;
}
