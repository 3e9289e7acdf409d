/**
 * What the clients of a workload speak. A workload is written for the client library of its protocol; the runner knows none of
 * them, and sees every workload as one that makes clients which do operations.
 */
import type { Redis } from 'ioredis';
import { classifyError, connectClient, type Outcome } from './client.ts';
import { DynamoSession, dynamoOutcome } from './dynamo-client.ts';
import type { Invocation, NodeNumber, TestCluster, Workload } from './types.ts';

/** How clients of one library come, go, and what their errors mean. */
interface Protocol<Client> {
  readonly name: 'redis' | 'dynamodb';
  /** @throws when the node cannot be reached */
  connect(cluster: TestCluster, node: NodeNumber): Promise<Client>;
  disconnect(client: Client): void;
  outcomeOf(error: unknown, isReadOnly: boolean): Outcome;
}

/** A client of one node while it works for a workload. */
export interface WorkloadClient {
  /** Prepares what the workload needs, once, before any fault. */
  setup(): Promise<void>;
  /** Resolves with the completion's value; rejects with the client's error. */
  execute(invocation: Invocation): Promise<unknown>;
  /** What an error of `execute` means for the history. */
  outcomeOf(error: unknown, isReadOnly: boolean): Outcome;
  disconnect(): void;
}

/** A workload with the clients that do it. */
export interface SpokenWorkload extends Omit<Workload<never>, 'setup' | 'execute'> {
  readonly speaks: Protocol<unknown>['name'];
  /** @throws when the node cannot be reached */
  connect(cluster: TestCluster, node: NodeNumber): Promise<WorkloadClient>;
}

const redis: Protocol<Redis> = {
  name: 'redis',
  connect: (cluster, node) => connectClient(cluster.redisAddress(node)),
  disconnect: (client) => client.disconnect(),
  outcomeOf: classifyError,
};

const dynamodb: Protocol<DynamoSession> = {
  name: 'dynamodb',
  async connect(cluster, node) {
    const others = cluster.nodes.filter((other) => other !== node);
    return new DynamoSession([node, ...others].map((one) => cluster.dynamodbAddress(one)));
  },
  disconnect: (session) => session.close(),
  outcomeOf: dynamoOutcome,
};

function spoken<Client>(protocol: Protocol<Client>, workload: Workload<Client>): SpokenWorkload {
  const { name, description, checker, finalOperations } = workload;
  return {
    ...{ name, description, checker },
    ...(finalOperations === undefined ? {} : { finalOperations }),
    speaks: protocol.name,
    generate: (context) => workload.generate(context),
    isReadOnly: (f) => workload.isReadOnly(f),
    async connect(cluster, node) {
      const client = await protocol.connect(cluster, node);
      return {
        setup: async () => workload.setup?.(client),
        execute: (invocation) => workload.execute(client, invocation),
        outcomeOf: (error, isReadOnly) => protocol.outcomeOf(error, isReadOnly),
        disconnect: () => protocol.disconnect(client),
      };
    },
  };
}

/** A workload whose clients are those of Redis. */
export const overRedis = (workload: Workload): SpokenWorkload => spoken(redis, workload);

/** A workload whose clients are those of DynamoDB. */
export const overDynamodb = (workload: Workload<DynamoSession>): SpokenWorkload => spoken(dynamodb, workload);
