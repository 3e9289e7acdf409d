/** A load in a thread of its own, so that the profile of a node in the same process does not have it. */
import { parentPort, workerData } from 'node:worker_threads';
import { runHttpLoad } from './http-load.ts';
import { RequestSigner } from './signed-request.ts';
import { type DynamoMeasure, operationsOf } from './ycsb.ts';

/** What the thread is told. */
export interface WorkerLoad {
  readonly port: number;
  readonly measure: DynamoMeasure;
  readonly records: number;
  readonly connections: number;
  readonly seconds: number;
  readonly nowMs: number;
}

const { port, measure, records, connections, seconds, nowMs } = workerData as WorkerLoad;
const operations = operationsOf(new RequestSigner(port, nowMs), measure, records, 2);
const target = { ports: [port], connections, operations };
await runHttpLoad({ ...target, seconds: Math.min(1, seconds) });
parentPort!.postMessage('begin');
parentPort!.postMessage((await runHttpLoad({ ...target, seconds })).requests);
