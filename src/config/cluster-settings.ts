/** The settings of `kvorum cluster`: those of its nodes, with ports and folders that count up from node to node. */
import { ConfigError, type ConfigProblem } from './errors.ts';
import { groupsSetting } from './groups.ts';
import { nodeMemoryBytes } from './memory.ts';
import {
  commonSettings,
  GROUPS_DESCRIPTION,
  groupProblems,
  hasDynamodbClients,
  type NodeSettingValues,
  raftTimeProblems,
} from './node-settings.ts';
import { clientTlsOf, exposureProblems, grpcAccessOf, grpcTlsOf, securityProblems } from './security-settings.ts';
import {
  integerSetting,
  NO_PORT,
  optionalPortSetting,
  portSetting,
  type SettingValues,
  switchSetting,
  textSetting,
} from './setting.ts';

/** More nodes than this on one machine is a mistake, not a cluster. */
const MAX_LOCAL_NODES = 9;

/** Every setting of `kvorum cluster`. */
export const clusterSettings = {
  nodes: integerSetting({
    description: 'How many node processes to run',
    defaultValue: 3,
    min: 1,
    max: MAX_LOCAL_NODES,
    placeholder: 'count',
  }),
  groups: groupsSetting({ description: GROUPS_DESCRIPTION, defaultValue: 3 }),
  dataFolder: textSetting({
    description: 'Folder for the data of all nodes, one folder n1, n2, ... each',
    defaultValue: './data',
    placeholder: 'folder',
  }),
  host: textSetting({
    description: 'Address that every listener of the cluster binds',
    defaultValue: '127.0.0.1',
    placeholder: 'host',
    pattern: /^[a-z0-9:._-]+$/i,
    expected: 'must be a host name or an IP address',
    maxLength: 253,
  }),
  'redis.port': portSetting({ description: 'Redis port of node 1; the others count up', defaultValue: 6379 }),
  'redis.clusterPort': optionalPortSetting({
    description: 'Port of node 1 for Redis Cluster clients, or none; the others count up',
    defaultValue: 7379,
  }),
  'dynamodb.port': optionalPortSetting({
    description: 'DynamoDB port of node 1, or none; the others count up',
    defaultValue: 8000,
  }),
  'grpc.port': portSetting({ description: 'gRPC port of node 1; the others count up', defaultValue: 50051 }),
  'metrics.port': portSetting({ description: 'Metrics port of node 1; the others count up', defaultValue: 9090 }),
  restart: switchSetting({
    description: 'Start a node again when its process ends unexpectedly',
    defaultValue: false,
  }),
  ...commonSettings,
} as const;

export type ClusterSettingValues = SettingValues<typeof clusterSettings>;

const LISTENERS = ['redis.port', 'redis.clusterPort', 'dynamodb.port', 'grpc.port', 'metrics.port'] as const;

function portProblems(values: ClusterSettingValues): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const key of LISTENERS) {
    const first = values[key];
    if (first === undefined) continue;
    const last = first + values.nodes - 1;
    let message: string | undefined;
    if (first === 0) message = 'must name a port: the nodes have to know each other before they start';
    else if (last > 65535) message = `${first} leaves no room for ${values.nodes} nodes below port 65536`;
    for (const other of LISTENERS.slice(0, LISTENERS.indexOf(key))) {
      const begin = values[other];
      if (begin === undefined || Math.abs(begin - first) >= values.nodes) continue;
      message = `ports ${first} to ${last} overlap those of ${other} (${begin} to ${begin + values.nodes - 1})`;
      break;
    }
    if (message !== undefined) problems.push({ key, origin: 'the whole configuration', message });
  }
  return problems;
}

const countedUp = (first: number | undefined, nodeId: number): number | undefined =>
  first === undefined ? undefined : first + nodeId - 1;

/**
 * The settings of every node of a local cluster, node 1 first.
 * @throws ConfigError when port ranges overlap or leave no room, or Raft's times contradict each other
 */
export function toClusterNodes(values: ClusterSettingValues): NodeSettingValues[] {
  const ids = Array.from({ length: values.nodes }, (_, offset) => offset + 1);
  const problems = [
    ...portProblems(values),
    ...raftTimeProblems(values),
    ...groupProblems(values.groups, ids),
    ...securityProblems(values),
    ...exposureProblems({
      redis: {
        host: values.host,
        password: values['redis.password'],
        passwordFile: values['redis.passwordFile'] || undefined,
        tls: clientTlsOf(values, 'redis'),
      },
      dynamodb: { host: values.host, isUnsigned: values['dynamodb.unsigned'] && values['dynamodb.port'] !== undefined },
      grpc: { host: values.host, tls: grpcTlsOf(values), ...grpcAccessOf(values) },
      metrics: { host: values.host },
      insecure: values.insecure,
    }),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  const { nodes, host, restart, dataFolder, ...shared } = values;
  const memory = values.memory > 0 ? values.memory : nodeMemoryBytes(nodes);
  const reachable = host.includes(':') ? `[${host}]` : host;
  const members = ids.map((nodeId) => ({ nodeId, address: `${reachable}:${values['grpc.port'] + nodeId - 1}` }));
  const clusterPort = values['redis.clusterPort'];
  // Said only where a node would open one by itself: release 0.1.0 does not know the setting.
  const noDynamodbPort = hasDynamodbClients(values) ? NO_PORT : undefined;
  return ids.map((nodeId) => ({
    ...shared,
    nodeId,
    members,
    memory,
    join: false,
    locality: 'none',
    dataFolder: `${dataFolder}/n${nodeId}`,
    'redis.host': host,
    'redis.port': values['redis.port'] + nodeId - 1,
    'redis.clusterPort': clusterPort === undefined ? undefined : clusterPort + nodeId - 1,
    'dynamodb.host': host,
    'dynamodb.port': countedUp(values['dynamodb.port'], nodeId) ?? noDynamodbPort,
    'grpc.host': host,
    'grpc.port': values['grpc.port'] + nodeId - 1,
    'metrics.host': host,
    'metrics.port': values['metrics.port'] + nodeId - 1,
  }));
}
