/**
 * Features that a whole cluster switches on at once and for good. A node says with one bit per feature what its program can
 * do; a feature becomes active when every node has its bit, and from then on no node without it may join. Whoever writes
 * bytes or sends messages that an older program does not know asks `isFeatureActive` first.
 */
import type { NodeId } from '../../platform/index.ts';
import type { ClusterState, FeatureRow } from '../contract/index.ts';
import type { CatalogState } from './catalog-state.ts';
import { settingOf } from './settings.ts';

/** A capability of a program. */
export interface Feature {
  /** Place in `NodeRow.capabilities`, 0 to 63; never given to another feature. */
  readonly bit: number;
  readonly description: string;
}

/** Every feature that this program knows; rows are only ever added. */
export const FEATURES: { readonly [name: string]: Feature } = {
  'ranges.move': { bit: 0, description: 'ranges travel between groups (span and import entries in the log)' },
  'groups.create': { bit: 1, description: 'groups are created and removed while the cluster runs' },
  'ranges.balance': { bit: 2, description: 'nodes report load, and the catalog leader splits, merges and moves by it' },
  'gc.safepoint': { bit: 3, description: 'groups let go of the past together (TXN_FLOOR entries in the log)' },
  'redis.collections': {
    bit: 4,
    description: 'hashes, lists, sets, sorted sets and long strings in rows; their commands',
  },
  'redis.messaging': {
    bit: 5,
    description: 'what nodes tell each other beside commands: messages to subscribers, who waits for a key',
  },
  'redis.streams': { bit: 6, description: 'streams in rows; their commands' },
  'redis.acl': {
    bit: 7,
    description: 'users of the cluster in a row that every node reads; callers of scripts that are sent on',
  },
  dynamodb: { bit: 8, description: 'rows of DynamoDB tables; scans that other nodes bound by bytes' },
  'nodes.endpoints': { bit: 9, description: 'nodes say in their rows where clients reach them' },
  'nodes.drain': { bit: 10, description: 'nodes are taken out of service and put back, which the catalog remembers' },
  backups: { bit: 11, description: 'nodes store copies of groups for backups outside of the cluster' },
  'backups.archive': { bit: 12, description: 'nodes store changes of groups for restores of any moment' },
  'reads.points': {
    bit: 13,
    description: 'leaders tell replicas how far they must have come to answer reads themselves',
  },
  'forward.streams': { bit: 14, description: 'large answers of leaders to other nodes come in streams of their own' },
  'redis.chains': { bit: 15, description: 'a connection has several batches of commands to one leader under way' },
  'redis.across': { bit: 16, description: 'scripts and short writes over several groups are sent to one node' },
  'log.marks': { bit: 17, description: 'nodes have several frames of their logs under way (segments of another form)' },
  'gc.pins': {
    bit: 18,
    description:
      'nodes pin whatever they read of the past, so that it may be short; stores leave out what nobody can read',
  },
  'txn.anchors': {
    bit: 19,
    description: 'transactions over groups write one status for all keys of a part (codec 3 of their log entries)',
  },
};

/** What a node of this program puts into `NodeRow.capabilities`. */
export const CAPABILITIES: bigint = Object.values(FEATURES).reduce((bits, { bit }) => bits | (1n << BigInt(bit)), 0n);

/** The feature of a name that came from outside. */
export function featureNamed(name: string): Feature | undefined {
  return Object.hasOwn(FEATURES, name) ? FEATURES[name] : undefined;
}

/** True when a capability word has a feature. */
export const hasFeature = (capabilities: bigint, feature: Feature): boolean =>
  (capabilities & (1n << BigInt(feature.bit))) !== 0n;

/** True when a feature was switched on; every node can do it then, also those that join later. */
export const isFeatureActive = (clusterState: { readonly features: readonly FeatureRow[] }, name: string): boolean =>
  clusterState.features.some((row) => row.name === name);

/** What a node can say of a feature from its copy of the cluster state. */
export type FeatureStanding =
  | { readonly kind: 'active' }
  /** Nobody that was heard of stands in its way, so it becomes active unless somebody does who was not. */
  | { readonly kind: 'coming'; readonly unheard: readonly NodeId[] }
  /** It waits for programs, or for an operator when `lacking` is empty. */
  | { readonly kind: 'off'; readonly lacking: readonly NodeId[] };

/**
 * How a feature stands. What is active stays so; everything else may have changed within the last heartbeat.
 * @param clusterState undefined when the node was told none yet
 */
export function featureStanding(clusterState: ClusterState | undefined, name: string): FeatureStanding {
  if (clusterState === undefined) return { kind: 'coming', unheard: [] };
  if (isFeatureActive(clusterState, name)) return { kind: 'active' };
  const feature = FEATURES[name]!;
  const { nodes, groups, removed } = clusterState;
  const lacking = nodes.filter(({ capabilities }) => !hasFeature(capabilities, feature)).map(({ nodeId }) => nodeId);
  if (lacking.length > 0 || settingOf(clusterState, 'features.auto') !== 'on') return { kind: 'off', lacking };
  const known = new Set<number>([...nodes, ...(removed ?? [])].map(({ nodeId }) => nodeId));
  const founders = new Set(groups.flatMap((group) => (group.state === 'ACTIVE' ? group.founders : [])));
  return { kind: 'coming', unheard: [...founders].filter((founder) => !known.has(founder)).sort((a, b) => a - b) };
}

/**
 * Nodes that stand in the way of a feature: those without its bit, and founders that were not heard of yet. A founder
 * that was removed for good is not waited for.
 */
export function nodesWithout(state: CatalogState, feature: Feature): NodeId[] {
  const lacking = new Set<NodeId>();
  for (const node of state.nodes.values()) if (!hasFeature(node.capabilities, feature)) lacking.add(node.nodeId);
  const gone = removedNodes(state);
  for (const group of state.groups.values()) {
    if (group.state !== 'ACTIVE') continue;
    for (const founder of group.founders) if (!state.nodes.has(founder) && !gone.has(founder)) lacking.add(founder);
  }
  return [...lacking].sort((a, b) => a - b);
}

/** Ids that `tombstoneName` put in front of the removed incarnations. */
const removedNodes = (state: CatalogState): Set<number> =>
  new Set([...state.tombstones].map((name) => Number(name.slice(0, name.indexOf('/')))));

/** Active features that a capability word does not have; one that this program does not know counts as missing. */
export function missingFeatures(state: CatalogState, capabilities: bigint): string[] {
  return [...state.features.keys()].filter((name) => {
    const feature = featureNamed(name);
    return feature === undefined || !hasFeature(capabilities, feature);
  });
}
