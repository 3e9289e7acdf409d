/** A cluster on this machine for a benchmark: free ports, data in the scratch folder, stopped when that is cleaned up. */
import { type ClusterMember, LocalCluster } from '../cmd/cluster/index.ts';
import { clusterSettings, loadConfig, toClusterNodes } from '../src/config/index.ts';
import { freePortRange, type Scratch } from './scratch.ts';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export interface LocalNodesOptions {
  readonly nodes: number;
  /** For data; 0 is one group for everything. */
  readonly groups: number;
  /** Settings besides, by their flags. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly onLine?: (node: number, line: string) => void;
  /** See `LocalClusterOptions.script`; default: this program. */
  readonly script?: string | undefined;
}

export interface LocalNodes {
  readonly cluster: LocalCluster;
  readonly dataFolder: string;
  /** Where the nodes are, and who leads; waits until all of them are ready. */
  members(): Promise<ClusterMember[]>;
  /** Before the scratch folder is cleaned up. */
  stop(): Promise<void>;
}

/** The port of `host:port`. */
export const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** Starts the nodes and waits until they are ready. */
export async function startLocalNodes(scratch: Scratch, options: LocalNodesOptions): Promise<LocalNodes> {
  const { nodes, groups, onLine, script } = options;
  const dataFolder = scratch.newFolder('kvorum');
  const first = await freePortRange(3 * nodes);
  const ports = {
    'redis.port': first,
    'redis.clusterPort': 'none',
    'dynamodb.port': 'none',
    'grpc.port': first + nodes,
    'metrics.port': first + 2 * nodes,
  };
  const flags = { ...ports, nodes, groups, dataFolder, ...options.flags };
  const { values } = loadConfig(clusterSettings, { flags, environment: {} });
  const cluster = new LocalCluster({
    nodes: toClusterNodes(values),
    script: () => script,
    ...(onLine === undefined ? {} : { onLine }),
  });
  const stop = scratch.own(() => cluster.stop(STOP_TIMEOUT_MS));
  cluster.start();
  const members = (): Promise<ClusterMember[]> => cluster.ready(START_TIMEOUT_MS);
  await members();
  return { cluster, dataFolder, members, stop };
}
