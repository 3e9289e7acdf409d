/** All workloads, by name. */
import { overDynamodb, overRedis, type SpokenWorkload } from '../protocol.ts';
import { dynamoBank } from './dynamodb/bank.ts';
import { dynamoCounter } from './dynamodb/counter.ts';
import { dynamoIndex } from './dynamodb/index-rows.ts';
import { dynamoListAppend } from './dynamodb/list-append.ts';
import { dynamoStream } from './dynamodb/streams.ts';
import { named, redisWorkloads } from './redis.ts';

/** Made anew for every run: some workloads keep what they have generated. */
export const workloads: Readonly<Record<string, (nemeses: readonly string[]) => SpokenWorkload>> = {
  ...Object.fromEntries(
    Object.entries(redisWorkloads).map(([name, make]) => [
      name,
      (nemeses: readonly string[]) => overRedis(make(nemeses)),
    ]),
  ),
  'dynamo-bank': () => overDynamodb(dynamoBank()),
  'dynamo-list-append': () => overDynamodb(dynamoListAppend()),
  'dynamo-counter': () => overDynamodb(dynamoCounter()),
  'dynamo-index': () => overDynamodb(dynamoIndex()),
  'dynamo-stream': () => overDynamodb(dynamoStream()),
};

/** A workload with its clients. @throws Error naming what is known */
export const makeWorkload = (name: string, nemeses: readonly string[]): SpokenWorkload =>
  named(workloads, name, nemeses);
