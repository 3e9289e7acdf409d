/** `kvorum cluster`: a whole cluster on this machine, what `npm start` runs. */
import type { Command } from 'commander';
import {
  type ClusterSettingValues,
  clusterSettings,
  type NodeSettingValues,
  toClusterNodes,
} from '../../src/config/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { isSevere, readableLogLine } from '../cli/log-lines.ts';
import { clusterPortWanted, dynamodbPortWanted, portComplaints, type WantedPort } from '../cli/ports.ts';
import { addSettingOptions, loadSettings } from '../cli/setting-options.ts';
import { formatTable } from '../cli/table.ts';
import {
  type ClusterMember,
  deathReport,
  describeExit,
  type GroupView,
  LocalCluster,
  NodeStartError,
  withLocalCredentials,
} from '../cluster/index.ts';

const READY_TIMEOUT_MS = 60_000;
/** npm and the terminal may both pass one Ctrl-C on; only a later one is a second wish. */
const SECOND_SIGNAL_AFTER_MS = 1000;

const MIB = 1024 ** 2;

const EXAMPLES = `
Examples:
  kvorum cluster
      three nodes on 127.0.0.1: Redis on 6379 to 6381 through any node, on 7379 to 7381 for Redis Cluster clients,
      data in ./data/n1 to ./data/n3
  kvorum cluster --redis-port 7000 --data-folder /tmp/try
      elsewhere
  kvorum cluster --nodes 5 --restart
      five nodes; one that dies is started again
  kvorum cluster --groups 0
      one group with all data; by default three data groups share it beside the catalog's

Ctrl-C stops all nodes cleanly; the next start finds the data.`;

/** Adds the command. */
export function addClusterCommand(program: Command): void {
  const command = program
    .command('cluster')
    .summary('run a cluster of several nodes on this machine')
    .description('Runs several nodes on this machine, each in a process of its own, and stays in the foreground.')
    .addHelpText('after', EXAMPLES);
  addSettingOptions(command, clusterSettings);
  command.action(async () => {
    const { values } = loadSettings(clusterSettings, command.opts());
    // A mistake in the settings is told before anything is written.
    toClusterNodes(values);
    const complete = await withLocalCredentials(values);
    process.exitCode = await runCluster(toClusterNodes(complete), complete);
  });
}

const wantedPorts = (nodes: readonly NodeSettingValues[]): WantedPort[] =>
  nodes.flatMap((node) => [
    { host: node['redis.host'], port: node['redis.port'], flag: '--redis-port' },
    ...clusterPortWanted(node['redis.host'], node['redis.clusterPort']),
    ...dynamodbPortWanted(node['dynamodb.host'], node['dynamodb.port']),
    { host: node['grpc.host'], port: node['grpc.port'], flag: '--grpc-port' },
    { host: node['metrics.host'], port: node['metrics.port'], flag: '--metrics-port' },
  ]);

function roleText(nodeId: number, groups: readonly GroupView[]): string {
  const led = groups.filter((group) => group.leader === nodeId).length;
  if (groups.length === 0) return 'no groups';
  if (groups.length === 1) return led === 1 ? 'leader' : 'follower';
  return `leads ${led} of ${groups.length}`;
}

/** One aligned row a node. */
export function clusterTable(members: readonly ClusterMember[]): string {
  const hasDynamodb = members.some(({ addresses }) => addresses.dynamodb !== undefined);
  const heading = [
    'node',
    'role',
    'redis',
    'redis cluster',
    ...(hasDynamodb ? ['dynamodb'] : []),
    'grpc',
    'metrics',
    'process',
    'data folder',
  ];
  const rows = members.map(({ nodeId, addresses, groups, pid, dataFolder }) => [
    String(nodeId),
    roleText(nodeId, groups),
    addresses.redis,
    addresses.redisCluster ?? 'none',
    ...(hasDynamodb ? [addresses.dynamodb ?? 'none'] : []),
    addresses.grpc,
    addresses.metrics,
    String(pid),
    dataFolder,
  ]);
  return formatTable([heading, ...rows]);
}

/** How a DynamoDB client is told where to go and what to sign with. */
function dynamodbHint(members: readonly ClusterMember[], values: ClusterSettingValues): string | undefined {
  const address = members[0]?.addresses.dynamodb;
  if (address === undefined) return undefined;
  const file = values['dynamodb.credentialsFile'];
  const scheme = values['dynamodb.tls.cert'] === '' ? 'http' : 'https';
  const keys = values['dynamodb.unsigned'] || file === '' ? '' : `AWS_SHARED_CREDENTIALS_FILE=${file} `;
  return `DynamoDB clients too: ${keys}AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url ${scheme}://${address} dynamodb list-tables`;
}

/** Something that happens at most once and can be waited for. */
class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

/** @returns the exit code: 0 after a clean stop that was asked for */
async function runCluster(nodes: readonly NodeSettingValues[], values: ClusterSettingValues): Promise<number> {
  const { restart } = values;
  const complaints = await portComplaints(wantedPorts(nodes));
  if (complaints.length > 0) throw new CommandFailure(complaints.join('\n'));

  let firstSignalMs: number | undefined;
  const allDied = new Gate();
  const stopRequest = new Gate();
  const living = new Set(nodes.map((node) => node.nodeId));
  let isReady = false;
  const cluster = new LocalCluster({
    nodes,
    restart,
    onLine: (nodeId, line) => {
      // Nodes that stop lose each other; that is no news any more.
      if (firstSignalMs === undefined || isSevere(line)) console.error(`n${nodeId} | ${readableLogLine(line)}`);
    },
    onDeath: (nodeId, exit, restarting) => {
      if (!isReady && !restarting) return;
      console.error(
        `kvorum: ${deathReport(nodeId, { ...exit, lastLines: [] })}${restarting ? '; starting it again' : ''}`,
      );
      if (restarting) return;
      living.delete(nodeId);
      if (living.size === 0) allDied.open();
      else console.error(`kvorum: still running: ${[...living].map((id) => `node ${id}`).join(', ')}`);
    },
  });

  const onSignal = (): void => {
    if (firstSignalMs === undefined) {
      firstSignalMs = Date.now();
      stopRequest.open();
    } else if (Date.now() - firstSignalMs > SECOND_SIGNAL_AFTER_MS) {
      cluster.kill();
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);

  cluster.start();
  try {
    const members = await Promise.race([cluster.ready(READY_TIMEOUT_MS), stopRequest.opened]);
    if (members !== undefined) {
      isReady = true;
      console.log(clusterTable(members));
      const memory = `${Math.round(nodes[0]!.memory / MIB)} MiB`;
      console.log(
        `\nEvery Redis client may use any of the nodes. Each stays within about ${memory} of memory. Ctrl-C stops them all.`,
      );
      const hint = dynamodbHint(members, values);
      if (hint !== undefined) console.log(hint);
    }
  } catch (error) {
    await cluster.stop();
    if (error instanceof NodeStartError) throw new CommandFailure(error.message);
    throw error;
  }

  await Promise.race([stopRequest.opened, allDied.opened]);
  const askedFor = firstSignalMs !== undefined;
  if (!askedFor) console.error('kvorum: no node is left');
  const exits = await cluster.stop();
  const unclean = exits.filter((exit) => exit.code !== 0);
  if (askedFor) {
    console.log(
      unclean.length === 0
        ? 'All nodes stopped.'
        : `Stopped, but not cleanly: ${unclean.map(describeExit).join(', ')}.`,
    );
  }
  return askedFor && unclean.length === 0 ? 0 : 1;
}
