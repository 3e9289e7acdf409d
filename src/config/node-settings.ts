/** The settings of one node: the declarations, and the typed options that the composition root starts a node from. */
import { LOOP_WATCH_MODES, type LoopWatchMode } from '../platform/index.ts';
import type { KeyPlace, Secret } from '../security/index.ts';
import { ConfigError, type ConfigProblem } from './errors.ts';
import { foundingOf, type GroupsSetting, groupsSetting } from './groups.ts';
import { nodeMemoryBytes, storeMemoryBytes } from './memory.ts';
import {
  type ClientTls,
  clientTlsOf,
  type EncryptionSettings,
  encryptionOf,
  exposureProblems,
  type GrpcAccess,
  type GrpcTls,
  grpcAccessOf,
  grpcTlsOf,
  securityProblems,
  securitySettings,
} from './security-settings.ts';
import {
  choiceSetting,
  durationSetting,
  impliedPortSetting,
  integerSetting,
  type Member,
  memberListSetting,
  NO_PORT,
  optionalPortSetting,
  optionalTextSetting,
  portSetting,
  type SettingValues,
  sizeSetting,
  switchSetting,
  textSetting,
} from './setting.ts';

/** What a node is started from. */
export interface NodeOptions {
  /** 1..65535, never given to another node of the same cluster. */
  readonly nodeId: number;
  readonly clusterName: string;
  /** Created when absent; used by one process at a time. */
  readonly dataFolder: string;
  /** Founding members including this node; empty is a cluster of this node alone. */
  readonly members: readonly Member[];
  /** The node founds nothing: it waits until groups of the members' cluster take it in. */
  readonly joins: boolean;
  /** Where the node stands; empty when nobody said. */
  readonly locality?: string;
  /** Groups that the cluster is founded with, equal on all its nodes; checked. */
  readonly groups: GroupsSetting;
  /** Memory that the process stays within, about. */
  readonly memoryBytes: number;
  /** Of it for caches and write buffers of all groups' stores together. */
  readonly storeMemoryBytes: number;
  readonly redis: {
    readonly host: string;
    /** 0 picks a free one. */
    readonly port: number;
    /** The port for clients that choose the node by the slot; 0 picks a free one, undefined: there is none. */
    readonly clusterPort?: number | undefined;
    /** Where clients are told to find the node; undefined: at `host`, or at the host of its gRPC address when that is any. */
    readonly announcedHost?: string | undefined;
    /** Largest argument of a command. */
    readonly maxBulkBytes?: number;
    readonly enableDebugCommand?: boolean;
    readonly maxClients?: number;
    /** The password that clients give. */
    readonly password?: Secret | undefined;
    /** Or a file with the passwords that count, one a line; read again when it changes. */
    readonly passwordFile?: string | undefined;
    readonly operatorPasswordFile?: string | undefined;
    readonly aclFile?: string | undefined;
    readonly tls?: ClientTls | undefined;
  };
  /** Undefined: DynamoDB clients are not served. */
  readonly dynamodb?:
    | {
        readonly host: string;
        /** 0 picks a free one. */
        readonly port: number;
        /** Of ARNs; undefined takes that of each request. */
        readonly region?: string | undefined;
        readonly accountId?: string | undefined;
        readonly accessKeyId?: string | undefined;
        readonly secretAccessKey?: Secret | undefined;
        readonly credentialsFile?: string | undefined;
        readonly isUnsigned?: boolean;
        readonly tls?: ClientTls | undefined;
      }
    | undefined;
  readonly grpc: { readonly host: string; readonly port: number; readonly tls?: GrpcTls | undefined } & GrpcAccess;
  readonly metrics: { readonly host: string; readonly port: number };
  readonly raft: { readonly tickMs: number; readonly heartbeatMs: number; readonly electionTimeoutMs: number };
  /** State that other nodes are sent whole. */
  readonly snapshots?: { readonly bytesPerSecond: number; readonly fromFollowers: boolean };
  /** Where the keys of backups come from. */
  readonly backup?: KeyPlace & { readonly isEncrypted: boolean };
  /** How long overwritten and deleted versions stay readable at older timestamps. */
  readonly retentionMs: number;
  readonly logLevel: string;
  /** Left out: nobody watches over the event loop. */
  readonly loopWatch?: LoopWatchMode;
  /** Left out: what is stored is in clear. */
  readonly encryption?: EncryptionSettings;
  /** Listen beyond this machine also where nobody has to prove who they are. */
  readonly insecure?: boolean;
}

const MIB = 1024 ** 2;
/** Both kinds of settings have it, with a default of its own each. */
export const GROUPS_DESCRIPTION =
  'Groups that the cluster is founded with: a number of data groups that share the slots of database 0 while group 1 has ' +
  'the catalog and the rest, or a list of groups with id, voters, ranges and preferredLeader';
/** The port that SDKs and tools take for a DynamoDB of one's own. */
const DYNAMODB_PORT = 8000;
const HOST = {
  placeholder: 'host',
  pattern: /^[a-z0-9:._-]+$/i,
  expected: 'must be a host name or an IP address',
  maxLength: 253,
};

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** Settings that mean the same for one node and for a local cluster. */
export const commonSettings = {
  clusterName: textSetting({
    description: 'Name that the nodes of a cluster share; nodes of different clusters refuse each other',
    defaultValue: 'kvorum',
    placeholder: 'name',
    maxLength: 64,
    pattern: /^[a-z0-9._-]+$/i,
    expected: 'must be letters, digits, dots, dashes and underscores',
  }),
  'redis.announcedHost': optionalTextSetting(
    'Host under which Redis clients of the cluster port reach this node, for nodes behind a proxy or in a container; without it ' +
      'redis.host, and where that is every address, the host that the other nodes use',
    'host',
  ),
  'redis.maxBulkBytes': sizeSetting({
    description:
      'Largest argument that a Redis client may send, and largest string; a value above 64 MiB holds the node up for ' +
      'so long that raft.electionTimeoutMs should be raised with it',
    defaultValue: 64 * MIB,
    min: 1024,
    max: 512 * MIB,
  }),
  'redis.maxClients': integerSetting({
    description: 'Redis connections accepted at a time',
    defaultValue: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  'redis.enableDebugCommand': switchSetting({
    description:
      'Allow DEBUG, for tests of clients: it reads everything, fills the database, and stops the purge of expired keys',
    defaultValue: false,
  }),
  'dynamodb.region': optionalTextSetting('Region of ARNs; without it that which a request is signed for', 'region'),
  'dynamodb.accountId': textSetting({
    description: 'Account of ARNs',
    defaultValue: '000000000000',
    placeholder: 'id',
    maxLength: 12,
    pattern: /^\d{12}$/,
    expected: 'must be twelve digits, text',
  }),
  'snapshots.bytesPerSecond': sizeSetting({
    description: 'Bytes a second that a node sends of snapshots to other nodes, all together',
    defaultValue: 64 * MIB,
    min: 64 * 1024,
    max: 16 * 1024 * MIB,
  }),
  'snapshots.fromFollowers': switchSetting({
    description: 'A leader lets a follower that keeps up send snapshots in its place',
    defaultValue: false,
  }),
  'raft.tickMs': durationSetting({
    description: 'Resolution of the Raft timers',
    defaultValue: 10,
    min: 1,
    max: 1000,
  }),
  'raft.heartbeatMs': durationSetting({
    description: 'Interval between the heartbeats of a leader',
    defaultValue: 100,
    min: 1,
    max: 60_000,
  }),
  'raft.electionTimeoutMs': durationSetting({
    description:
      'Silence of a leader before a follower may stand for election; the actual wait is drawn from this to twice this',
    defaultValue: 600,
    min: 10,
    max: 600_000,
  }),
  retentionMs: durationSetting({
    description:
      'How long overwritten and deleted versions stay readable at timestamps that nothing in the cluster is reading at; what is being read stays',
    defaultValue: 5_000,
    min: 1000,
    max: 30 * 24 * 3_600_000,
  }),
  memory: sizeSetting({
    description:
      "Memory that a node stays within, about; 0b takes half of the machine's or container's, shared by the nodes of a " +
      'local cluster, at most 2gb; values of 64 MiB need 1gb',
    defaultValue: 0,
    min: 0,
    max: 1024 ** 4,
  }),
  storeMemory: sizeSetting({
    description: 'Of it for caches and write buffers of all groups of a node together; 0b takes a quarter',
    defaultValue: 0,
    min: 0,
    max: 1024 ** 4,
  }),
  logLevel: choiceSetting({
    description: 'Least severe messages that are logged',
    defaultValue: 'warn',
    choices: LOG_LEVELS,
    placeholder: 'level',
  }),
  loopWatch: choiceSetting({
    description:
      'Watch over the event loop: turns that take more than 50 ms of processor time are counted and logged with what was done (on), and ' +
      'with the functions that did it (stacks), which costs some hundredths of the processor',
    defaultValue: 'off',
    choices: LOOP_WATCH_MODES,
    placeholder: 'mode',
  }),
  ...securitySettings,
} as const;

/** Every setting of `kvorum server`. */
export const nodeSettings = {
  nodeId: integerSetting({
    description: 'Number of this node, never reused for another one',
    defaultValue: 1,
    min: 1,
    max: 65535,
    placeholder: 'id',
  }),
  dataFolder: textSetting({
    description: 'Folder for everything the node stores',
    defaultValue: './data/single',
    placeholder: 'folder',
  }),
  members: memberListSetting({
    description: 'Founding members with their gRPC addresses, this node included; none means a cluster of one',
    defaultValue: [],
  }),
  join: switchSetting({
    description:
      'Found nothing and wait until groups of a running cluster, whose nodes are the other members, take this node in',
    defaultValue: false,
  }),
  locality: textSetting({
    description: 'Where this node stands, such as eu-1/rack-7; shown to operators',
    defaultValue: 'none',
    placeholder: 'place',
    maxLength: 128,
    pattern: /^[a-z0-9._=,/-]+$/i,
    expected: 'must be letters, digits and any of . _ = , / -',
  }),
  groups: groupsSetting({ description: GROUPS_DESCRIPTION, defaultValue: 0 }),
  'redis.host': textSetting({
    description: 'Address that Redis clients connect to',
    defaultValue: '127.0.0.1',
    ...HOST,
  }),
  'redis.port': portSetting({ description: 'Port for Redis clients, 0 for a free one', defaultValue: 6379 }),
  'redis.clusterPort': optionalPortSetting({
    description:
      'Port for Redis Cluster clients, which are answered MOVED and choose the node themselves; 0 for a free one',
    defaultValue: undefined,
  }),
  'dynamodb.host': textSetting({
    description: 'Address that DynamoDB clients connect to',
    defaultValue: '127.0.0.1',
    ...HOST,
  }),
  'dynamodb.port': impliedPortSetting({
    description:
      `Port for DynamoDB clients, or none; 0 for a free one. Without it ${DYNAMODB_PORT} where they have keys (dynamodb.credentialsFile, ` +
      'dynamodb.accessKeyId) or need none (dynamodb.unsigned); else none, as every request would be refused',
  }),
  'grpc.host': textSetting({
    description: 'Address that the other nodes connect to',
    defaultValue: '127.0.0.1',
    ...HOST,
  }),
  'grpc.port': portSetting({ description: 'Port for the other nodes, 0 for a free one', defaultValue: 50051 }),
  'metrics.host': textSetting({
    description: 'Address of the metrics and health server',
    defaultValue: '127.0.0.1',
    ...HOST,
  }),
  'metrics.port': portSetting({
    description: 'Port of /metrics, /healthz and /readyz, 0 for a free one',
    defaultValue: 9090,
  }),
  ...commonSettings,
} as const;

export type NodeSettingValues = SettingValues<typeof nodeSettings>;

/** What is wrong with Raft's times taken together; empty when they fit. */
export function raftTimeProblems(values: SettingValues<typeof commonSettings>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const tickMs = values['raft.tickMs'];
  const heartbeatMs = values['raft.heartbeatMs'];
  const electionTimeoutMs = values['raft.electionTimeoutMs'];
  if (heartbeatMs < tickMs) {
    const message = `${heartbeatMs}ms is shorter than raft.tickMs (${tickMs}ms)`;
    problems.push({ key: 'raft.heartbeatMs', origin: 'the whole configuration', message });
  }
  if (electionTimeoutMs < 2 * heartbeatMs) {
    const message = `${electionTimeoutMs}ms is less than two heartbeats (raft.heartbeatMs is ${heartbeatMs}ms): one late heartbeat would start an election`;
    problems.push({ key: 'raft.electionTimeoutMs', origin: 'the whole configuration', message });
  }
  return problems;
}

/** What is wrong with the groups of a cluster of these nodes; empty when they fit. */
export const groupProblems = (groups: GroupsSetting, members: readonly number[]): ConfigProblem[] =>
  foundingOf(groups, members).problems.map((message) => ({
    key: 'groups',
    origin: 'the whole configuration',
    message,
  }));

/** Whether there is anybody whom a port for DynamoDB clients would serve. */
export const hasDynamodbClients = (
  values: Pick<NodeSettingValues, 'dynamodb.accessKeyId' | 'dynamodb.credentialsFile' | 'dynamodb.unsigned'>,
): boolean =>
  values['dynamodb.accessKeyId'] !== '' || values['dynamodb.credentialsFile'] !== '' || values['dynamodb.unsigned'];

/** A configuration from before there was such a port says nothing of it and has no keys: it opens none, and takes no port from a neighbour. */
function dynamodbPortOf(values: NodeSettingValues): number | undefined {
  const port = values['dynamodb.port'] ?? (hasDynamodbClients(values) ? DYNAMODB_PORT : NO_PORT);
  return port === NO_PORT ? undefined : port;
}

function dynamodbOf(values: NodeSettingValues): NodeOptions['dynamodb'] {
  const port = dynamodbPortOf(values);
  if (port === undefined) return undefined;
  return {
    host: values['dynamodb.host'],
    port,
    region: values['dynamodb.region'] || undefined,
    accountId: values['dynamodb.accountId'],
    accessKeyId: values['dynamodb.accessKeyId'] || undefined,
    secretAccessKey: values['dynamodb.secretAccessKey'],
    credentialsFile: values['dynamodb.credentialsFile'] || undefined,
    isUnsigned: values['dynamodb.unsigned'],
    tls: clientTlsOf(values, 'dynamodb'),
  };
}

/**
 * The options of a node from its settings.
 * @throws ConfigError when settings that are fine one by one contradict each other
 */
export function toNodeOptions(values: NodeSettingValues): NodeOptions {
  const problems = [...raftTimeProblems(values), ...securityProblems(values)];
  const { members, nodeId } = values;
  if (members.length > 0 && !members.some((member) => member.nodeId === nodeId)) {
    const known = members.map((member) => member.nodeId).join(', ');
    const message = `the list (nodes ${known}) does not contain this node, whose nodeId is ${nodeId}`;
    problems.push({ key: 'members', origin: 'the whole configuration', message });
  }
  problems.push(
    ...groupProblems(values.groups, members.length > 0 ? members.map((member) => member.nodeId) : [nodeId]),
  );
  if (problems.length > 0) throw new ConfigError(problems);
  const memoryBytes = values.memory > 0 ? values.memory : nodeMemoryBytes();
  const options: NodeOptions = {
    nodeId,
    clusterName: values.clusterName,
    dataFolder: values.dataFolder,
    members,
    joins: values.join,
    locality: values.locality === 'none' ? '' : values.locality,
    groups: values.groups,
    memoryBytes,
    storeMemoryBytes: values.storeMemory > 0 ? values.storeMemory : storeMemoryBytes(memoryBytes),
    redis: {
      host: values['redis.host'],
      port: values['redis.port'],
      clusterPort: values['redis.clusterPort'],
      announcedHost: values['redis.announcedHost'] || undefined,
      maxBulkBytes: values['redis.maxBulkBytes'],
      enableDebugCommand: values['redis.enableDebugCommand'],
      maxClients: values['redis.maxClients'],
      password: values['redis.password'],
      passwordFile: values['redis.passwordFile'] || undefined,
      operatorPasswordFile: values['redis.operatorPasswordFile'] || undefined,
      aclFile: values['redis.aclFile'] || undefined,
      tls: clientTlsOf(values, 'redis'),
    },
    dynamodb: dynamodbOf(values),
    grpc: { host: values['grpc.host'], port: values['grpc.port'], tls: grpcTlsOf(values), ...grpcAccessOf(values) },
    metrics: { host: values['metrics.host'], port: values['metrics.port'] },
    raft: {
      tickMs: values['raft.tickMs'],
      heartbeatMs: values['raft.heartbeatMs'],
      electionTimeoutMs: values['raft.electionTimeoutMs'],
    },
    snapshots: {
      bytesPerSecond: values['snapshots.bytesPerSecond'],
      fromFollowers: values['snapshots.fromFollowers'],
    },
    backup: {
      isEncrypted: values['backup.encrypted'],
      key: values['backup.key'],
      file: values['backup.keyFile'] || undefined,
      command: values['backup.keyCommand'] || undefined,
    },
    retentionMs: values.retentionMs,
    logLevel: values.logLevel,
    loopWatch: values.loopWatch,
    encryption: encryptionOf(values),
    insecure: values.insecure,
  };
  const exposed = exposureProblems(options);
  if (exposed.length > 0) throw new ConfigError(exposed);
  return options;
}
