/** What the nodes of a new cluster are configured with: pure decisions, checked by the loader that will read the files. */
import { isIP } from 'node:net';
import { join } from 'node:path/posix';
import { parse, stringify } from 'yaml';
import { loadConfig, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { ACCESS_ROLES } from '../../src/security/index.ts';
import { fileNameOf, roleNameOf } from '../certs/index.ts';

/** What a new cluster is to be. */
export interface ClusterPlan {
  readonly clusterName: string;
  /** One a machine: the name or address under which the others and the clients reach it. The first becomes node 1. */
  readonly hosts: readonly string[];
  /** Address that nodes listen at; `0.0.0.0` is all that a machine has. */
  readonly bind: string;
  /** Where a node finds its files, on its machine. */
  readonly configFolder: string;
  readonly hasDynamodb: boolean;
  /** Clients of Redis and DynamoDB are served with TLS. */
  readonly hasClientTls: boolean;
  /** Settings of all nodes, by key, which win over what is decided here. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Settings by key, as a person would write their values. */
export type WrittenSettings = Readonly<Record<string, unknown>>;

export const PASSWORD_FILE = 'passwords';
export const CREDENTIALS_FILE = 'dynamodb-credentials';
/** What each node has of its own, and nobody gives for all. */
export const OWN_SETTINGS: readonly string[] = ['nodeId', 'members', 'join'];
/** As many as `kvorum cluster` has: one a node of three, and room to move ranges. */
const DATA_GROUPS = 3;
const DYNAMODB_PORT = 8000;

/** An address with a port; one of version 6 stands in brackets. */
export const withPort = (host: string, port: number): string => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;

const portOf = ({ settings }: ClusterPlan): number =>
  nodeSettings['grpc.port'].parse(settings['grpc.port'] ?? nodeSettings['grpc.port'].defaultValue);

/** Where operators' tools find the nodes. */
export const endpointsOf = (plan: ClusterPlan): string[] => plan.hosts.map((host) => withPort(host, portOf(plan)));

/**
 * The settings of each node, in the order of the machines.
 * @throws ConfigError when they do not fit together
 */
export function configurationsOf(plan: ClusterPlan): WrittenSettings[] {
  const { clusterName, bind, configFolder, hasDynamodb, hasClientTls } = plan;
  const file = (name: string): string => join(configFolder, name);
  const certificate = { cert: file(`${fileNameOf('node')}.pem`), key: file(`${fileNameOf('node')}.key`) };
  const tlsOf = (port: string): WrittenSettings =>
    hasClientTls ? { [`${port}.tls.cert`]: certificate.cert, [`${port}.tls.key`]: certificate.key } : {};
  const members = endpointsOf(plan).map((endpoint, at) => `${at + 1}=${endpoint}`);
  return plan.hosts.map((host, at) => {
    const settings = {
      nodeId: at + 1,
      clusterName,
      dataFolder: '/var/lib/kvorum',
      members,
      groups: DATA_GROUPS,
      'redis.host': bind,
      'redis.announcedHost': host,
      'redis.passwordFile': file(PASSWORD_FILE),
      ...tlsOf('redis'),
      ...(hasDynamodb
        ? {
            'dynamodb.host': bind,
            'dynamodb.port': DYNAMODB_PORT,
            'dynamodb.credentialsFile': file(CREDENTIALS_FILE),
            ...tlsOf('dynamodb'),
          }
        : {}),
      'grpc.host': bind,
      'grpc.tls.ca': file('ca.pem'),
      'grpc.tls.cert': certificate.cert,
      'grpc.tls.key': certificate.key,
      'grpc.tls.nodeNames': roleNameOf('node', clusterName),
      ...Object.fromEntries(ACCESS_ROLES.map((role) => [`grpc.roles.${role}`, roleNameOf(role, clusterName)])),
      'metrics.host': bind,
      ...plan.settings,
    };
    toNodeOptions(loadConfig(nodeSettings, { flags: settings, environment: {} }).values);
    return settings;
  });
}

/** `{'redis.tls.cert': file}` → `{redis: {tls: {cert: file}}}`. */
function nested(settings: WrittenSettings): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(settings)) {
    const path = key.split('.');
    let level = tree;
    for (const name of path.slice(0, -1)) {
      level[name] ??= {};
      level = level[name] as Record<string, unknown>;
    }
    level[path.at(-1)!] = value;
  }
  return tree;
}

const written = (tree: Readonly<Record<string, unknown>>): string =>
  `# Node ${tree.nodeId} of ${tree.clusterName}: kvorum server --config kvorum.yaml\n${stringify(tree, { lineWidth: 0 })}`;

/** The text of a configuration file. */
export const configurationText = (settings: WrittenSettings): string => written(nested(settings));

/**
 * The configuration of a node that comes later, by that of the node before it. It knows that one and all that are in its list.
 * @param text a file that `configurationText` or this wrote; settings that somebody has added since are taken over
 */
export function laterConfiguration(text: string, host: string): { readonly nodeId: number; readonly text: string } {
  const tree = parse(text) as Record<string, unknown> & { members: string[]; redis: object; grpc: { port?: number } };
  const port = tree.grpc.port ?? nodeSettings['grpc.port'].defaultValue;
  const nodeId = Number(tree.nodeId) + 1;
  const later = {
    ...tree,
    nodeId,
    members: [...tree.members, `${nodeId}=${withPort(host, port)}`],
    join: true,
    redis: { ...tree.redis, announcedHost: host },
  };
  return { nodeId, text: written(later) };
}
