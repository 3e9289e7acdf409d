/** `kvorum server`: one node in the foreground. */
import type { Command } from 'commander';
import { type NodeOptions, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import type { RunningNode } from '../../src/node.ts';
import { CommandFailure } from '../cli/failure.ts';
import { keepHeapWithin } from '../cli/heap-limits.ts';
import { clusterPortWanted, dynamodbPortWanted, portComplaints } from '../cli/ports.ts';
import { addSettingOptions, loadSettings } from '../cli/setting-options.ts';
import { packageVersion } from '../cli/version.ts';
import { type GroupView, isToNode, removePid, sendToLauncher, writePid } from '../cluster/index.ts';

const MIB = 1024 ** 2;

const EXAMPLES = `
Examples:
  kvorum server
      a cluster of one node with its data in ./data/single
  kvorum server --node-id 2 --data-folder /var/lib/kvorum --members 1=10.0.0.1:50051,2=10.0.0.2:50051,3=10.0.0.3:50051 \\
      --redis-host 0.0.0.0 --redis-password-file /etc/kvorum/passwords \\
      --grpc-host 0.0.0.0 --grpc-tls-ca ca.pem --grpc-tls-cert node2.pem --grpc-tls-key node2.key
      the second node of three; the other two are started with the same list and their own id and certificate
  KVORUM_REDIS_PORT=7000 kvorum server --config node.yaml
      flags win over KVORUM_* variables, those over the file`;

/** Adds the command. */
export function addServerCommand(program: Command): void {
  const command = program
    .command('server')
    .summary('run one node')
    .description('Runs one node in the foreground. Without settings it is a whole cluster by itself.')
    .addHelpText('after', EXAMPLES);
  addSettingOptions(command, nodeSettings);
  command.action(async () => {
    const { values } = loadSettings(nodeSettings, command.opts());
    await runServer(toNodeOptions(values), values['dynamodb.port'] === undefined);
  });
}

/** @param isDynamodbUnsaid nobody has said whether there is to be a port for DynamoDB clients */
async function runServer(options: NodeOptions, isDynamodbUnsaid: boolean): Promise<void> {
  const { redis, dynamodb, grpc, metrics } = options;
  const complaints = await portComplaints([
    { host: redis.host, port: redis.port, flag: '--redis-port' },
    ...clusterPortWanted(redis.host, redis.clusterPort),
    ...(dynamodb === undefined ? [] : dynamodbPortWanted(dynamodb.host, dynamodb.port)),
    { host: grpc.host, port: grpc.port, flag: '--grpc-port' },
    { host: metrics.host, port: metrics.port, flag: '--metrics-port' },
  ]);
  if (complaints.length > 0) throw new CommandFailure(complaints.join('\n'));

  // Whatever is written here holds users' data.
  process.umask(0o077);
  const endsNoMore = endFirstProcessAtSignals();
  const hurry = new AbortController();
  let hasJoined = false;
  const isLaunched = endWithLauncher(() => (hasJoined ? stop() : process.exit(1)));
  // Loaded here so that --help and a mistake on the command line do not wait for the whole node, and before V8 is told of the heap: compiled code that was
  // kept counts only for the very flags that it was compiled under.
  const { startNode } = await import('../../src/node.ts');
  keepHeapWithin(options.memoryBytes);
  const stop = (): void => {
    if (hurry.signal.aborted) return;
    hurry.abort();
    const stopped = started.then(async (node) => {
      await removePid(options.dataFolder);
      await node.stop();
    });
    stopped.then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`kvorum: node ${options.nodeId} did not stop cleanly:`, error);
        process.exit(1);
      },
    );
  };
  const onJoined = (): void => {
    hasJoined = true;
    endsNoMore();
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    // A terminal that was closed ends what runs in it; without one, SIGHUP is the usual word for "read your files again".
    const reload = async (): Promise<void> => (await started).reloadSecurity();
    process.on('SIGHUP', process.stdin.isTTY ? stop : () => void reload());
  };
  const startAndTell = async (): Promise<RunningNode> => {
    const node = await startNode(options, packageVersion(), { onJoined, hurry: hurry.signal });
    if (!hurry.signal.aborted) await writePid(options.dataFolder);
    return node;
  };
  const started = startAndTell();
  const node = await started;
  if (hurry.signal.aborted) return;

  if (isLaunched) {
    process.on('message', (message) => {
      if (!isToNode(message)) return;
      const groups = node.status().groups.map(
        (group): GroupView => ({
          groupId: group.groupId,
          role: group.role,
          term: group.term,
          leader: group.leader,
          commitIndex: group.commitIndex,
          appliedIndex: group.appliedIndex,
        }),
      );
      const { ready, reason } = node.readiness();
      sendToLauncher({ kind: 'status', isReady: ready, reason, groups });
    });
    sendToLauncher({ kind: 'listening', addresses: node.addresses });
  } else {
    const { redisCluster } = node.addresses;
    const clusterText = redisCluster === undefined ? '' : `redis cluster ${redisCluster}, `;
    console.log(
      `kvorum node ${options.nodeId} is running: redis ${node.addresses.redis}, ${clusterText}${dynamodbText(node.addresses)}grpc ${node.addresses.grpc}, ` +
        `metrics ${node.addresses.metrics}, data in ${options.dataFolder}, process ${process.pid}, ` +
        `memory limit ${Math.round(options.memoryBytes / MIB)} MiB. Ctrl-C stops it.`,
    );
    if (isDynamodbUnsaid && options.dynamodb === undefined) {
      console.log('DynamoDB clients are not served: --dynamodb-credentials-file gives them keys, and a port.');
    }
  }
}

/**
 * A launcher that was killed must not leave nodes behind, at whatever moment of theirs.
 * @returns whether there is one
 */
function endWithLauncher(end: () => void): boolean {
  if (process.send === undefined) return false;
  if (!process.connected) end();
  process.once('disconnect', end);
  // A start that fails ends the process, whoever listens.
  process.channel?.unref();
  return true;
}

/** Exit codes of shells for a process that was ended by a signal. */
const SIGNALLED = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Until a node is there to be stopped, a signal ends the process by itself: but not the first process of a container, to which the kernel gives
 * no signal that it does not listen for. A node that reads a long log would be waited for in vain, and killed.
 * @returns ends this
 */
function endFirstProcessAtSignals(): () => void {
  if (process.pid !== 1) return () => {};
  const end = (signal: keyof typeof SIGNALLED): void => process.exit(SIGNALLED[signal]);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, end);
  };
}

const dynamodbText = ({ dynamodb }: { readonly dynamodb: string | undefined }): string =>
  dynamodb === undefined ? '' : `dynamodb ${dynamodb}, `;
