/**
 * The cluster as a Redis Cluster client sees it: nodes, and who has which hash slots. Which group a slot belongs to comes
 * from the directory (database 0); which nodes serve a group, and where clients reach them, comes from the composition
 * root.
 *
 * Ranges may be cut anywhere, also within a slot. A slot is shown with the group that has its first key; the node that it
 * leads to passes on what belongs to others, so a client's map is always good enough.
 */
import { createHash } from 'node:crypto';
import type { KvService } from '../../kv/index.ts';
import type { GroupId, NodeId } from '../../platform/index.ts';
import { KEYSPACES, SLOT_COUNT } from './keyspace.ts';

/** A node as clients reach it. */
export interface ClusterMember {
  readonly nodeId: NodeId;
  /** 40 hex digits, the same as long as the node exists; see `clusterMemberId`. */
  readonly id: string;
  /** Where clients reach it; empty: wherever the asking client has connected to. */
  readonly host: string;
  /** Its Redis port. */
  readonly port: number;
  /** Its Redis port for cluster clients, which answers MOVED; undefined when it has none. */
  readonly clusterPort: number | undefined;
}

/** Where a group is. */
export interface GroupPlacement {
  /** Undefined while it is not known. */
  readonly leader: NodeId | undefined;
  /** All nodes with a replica, the leader included or not. */
  readonly replicas: readonly NodeId[];
}

/** What the composition root tells the front end about the cluster. All of it may be out of date by a moment. */
export interface ClusterTopology {
  /** All nodes, this one included, in order of their ids. */
  members(): readonly ClusterMember[];
  placementOf(group: GroupId): GroupPlacement;
}

/** The id of a node in Redis Cluster's notation: 40 hex digits that follow from the names of cluster and node. */
export function clusterMemberId(clusterName: string, node: NodeId): string {
  return createHash('sha1').update(`kvorum node ${node} of ${clusterName}`).digest('hex');
}

/** A node by itself, which leads everything: what is shown when nobody has said more. */
export function soloTopology(
  nodeId: NodeId,
  ports: () => Pick<ClusterMember, 'port' | 'clusterPort'>,
): ClusterTopology {
  const id = clusterMemberId('kvorum', nodeId);
  return {
    members: () => [{ nodeId, id, host: '', ...ports() }],
    placementOf: () => ({ leader: nodeId, replicas: [nodeId] }),
  };
}

/** Slots in a row that belong to one group. */
export interface SlotRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly group: GroupId;
}

/** Which group has which hash slots of database 0; made again when the directory's version has changed. */
export class SlotMap {
  private readonly kv: KvService;
  private version = -1;
  private cached: readonly SlotRange[] = [];
  private readonly groups = new Uint32Array(SLOT_COUNT);

  constructor(kv: KvService) {
    this.kv = kv;
  }

  /** All slots in order; neighbours of one group are one range. */
  ranges(): readonly SlotRange[] {
    if (this.version !== this.kv.routesVersion) this.rebuild();
    return this.cached;
  }

  groupOf(slot: number): GroupId {
    if (this.version !== this.kv.routesVersion) this.rebuild();
    return this.groups[slot] as GroupId;
  }

  private rebuild(): void {
    this.version = this.kv.routesVersion;
    const ranges: SlotRange[] = [];
    const keyspace = KEYSPACES[0]!;
    for (let first = 0; first < SLOT_COUNT; ) {
      const { group, end } = this.kv.stretchAt(keyspace.slotRange(first, SLOT_COUNT).start);
      const next = Math.max(first + 1, end === undefined ? SLOT_COUNT : firstSlotFrom(end));
      this.groups.fill(group, first, next);
      const before = ranges.at(-1);
      if (before?.group === group) ranges[ranges.length - 1] = { ...before, last: next - 1 };
      else ranges.push({ first, last: next - 1, group });
      first = next;
    }
    this.cached = ranges;
  }
}

/** The first slot of database 0 whose first key is not below `border`, at most `SLOT_COUNT`. */
function firstSlotFrom(border: Buffer): number {
  const keyspace = KEYSPACES[0]!;
  if (Buffer.compare(border, keyspace.wholeDb().end) >= 0) return SLOT_COUNT;
  const slot = ((border[2] ?? 0) << 8) | (border[3] ?? 0);
  const { start } = keyspace.slotRange(slot, SLOT_COUNT);
  return Buffer.compare(start, border) >= 0 ? slot : slot + 1;
}
