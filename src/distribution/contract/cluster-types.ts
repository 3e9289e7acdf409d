/**
 * What the catalog knows beside routes and moves: which groups there are, which nodes, which replicated switches are set,
 * which features are active and who does which background work. All of it is small; together it is the `ClusterState`
 * that every node keeps a copy of.
 */
import type { GroupId, Millis, NodeId } from '../../platform/index.ts';
import type { NodeRow } from './catalog-rows.ts';

/** A Raft group. Ids are never reused: a removed group's row stays as a tombstone. */
export interface GroupRow {
  readonly id: GroupId;
  readonly revision: number;
  /** Voters that the group began with; its own log knows the present ones. A node named here makes its replica by itself. */
  readonly founders: readonly NodeId[];
  readonly state: 'ACTIVE' | 'REMOVED';
  /** Where its leader should be when all is well; undefined when it does not matter. */
  readonly preferredLeader: NodeId | undefined;
  readonly createdMs: Millis;
  /** What the request that made it was called, so that its repetition finds the group that it made; left out when it had no name. */
  readonly requestId?: Buffer;
}

/** A replicated switch or number that operators set, such as `autosplit` or `balance.leaders`. */
export interface SettingRow {
  readonly name: string;
  readonly revision: number;
  readonly value: string;
}

/** A feature that was switched on for good, when every node could do it. */
export interface FeatureRow {
  readonly name: string;
  readonly activatedMs: Millis;
}

/** A background job that one node at a time does. */
export interface WorkRow {
  /** Such as `gc/7` or `snapshot/3`. */
  readonly name: string;
  readonly revision: number;
  /** Who has it; undefined when nobody does. */
  readonly holder: NodeId | undefined;
  readonly incarnation: Buffer | undefined;
  /** Wall-clock time after which anybody may take it. */
  readonly leaseUntilMs: Millis;
  /** The holder's notes for whoever goes on; at most 4 KiB. */
  readonly progress: Buffer;
}

/**
 * What becomes of a node that an operator takes out of service: it leads nothing, and its replicas go to nodes that have room for them.
 * `DECOMMISSIONING`: it leaves the cluster for good when it has none left.
 */
export type WithdrawalAim = 'DRAINING' | 'DECOMMISSIONING';

/** A node that an operator takes out of service. */
export interface WithdrawalRow {
  readonly nodeId: NodeId;
  readonly revision: number;
  readonly aim: WithdrawalAim;
  readonly sinceMs: Millis;
  /** Replicas that the node had then, for whoever shows how far it is. */
  readonly replicas: number;
}

/** See the top of the file. */
export interface ClusterState {
  /** Rises with every change of any of the rows except heartbeats and leases. */
  readonly revision: number;
  readonly nodes: readonly NodeRow[];
  readonly groups: readonly GroupRow[];
  readonly settings: readonly SettingRow[];
  readonly features: readonly FeatureRow[];
  readonly work: readonly WorkRow[];
  /** Lives of nodes that were removed for good; absent in documents of older programs. */
  readonly removed?: readonly RemovedNode[];
  /** Nodes that are taken out of service; absent in documents of older programs. */
  readonly withdrawals?: readonly WithdrawalRow[];
}

/** A life of a node that was removed from the cluster: nobody may listen to it any more. */
export interface RemovedNode {
  readonly nodeId: NodeId;
  /** Hexadecimal. */
  readonly incarnation: string;
}

/** Adds a group with a fresh id, or removes one that owns nothing. */
export type GroupOp =
  | {
      readonly kind: 'createGroup';
      /** Undefined: the next free one. */
      readonly id: GroupId | undefined;
      /** Name of the request, 16 bytes: asked again with the same one, the answer is the group that was made before. */
      readonly requestId?: Buffer | undefined;
      readonly founders: readonly NodeId[];
      readonly preferredLeader: NodeId | undefined;
    }
  /** Refused while a route or a job names it, and for the catalog's own group. */
  | { readonly kind: 'removeGroup'; readonly id: GroupId };

/** Sets a switch; an empty value removes it. */
export interface SettingOp {
  readonly kind: 'setSetting';
  readonly name: string;
  readonly value: string;
}

/** Switches a feature on; refused while any node of the table lacks its capability bit, and it names who. */
export interface FeatureOp {
  readonly kind: 'activateFeature';
  readonly name: string;
}

/** Takes a node out of service, or puts it back (`aim` undefined). The answer is its row, with revision 0 when it is in service. */
export interface WithdrawOp {
  readonly kind: 'withdrawNode';
  readonly nodeId: NodeId;
  readonly aim: WithdrawalAim | undefined;
  /** Replicas that it has. */
  readonly replicas: number;
}

export type WorkOp =
  /** Takes a unit that is free, expired or the node's own, until now + `leaseMs`; renews it when it is the node's own. */
  | {
      readonly kind: 'leaseWork';
      readonly name: string;
      readonly node: NodeId;
      readonly incarnation: Buffer;
      readonly leaseMs: Millis;
      /** Notes to store with it; undefined leaves them. */
      readonly progress: Buffer | undefined;
    }
  /** Gives a unit back; `isDone` removes its row. */
  | {
      readonly kind: 'releaseWork';
      readonly name: string;
      readonly node: NodeId;
      readonly incarnation: Buffer;
      readonly isDone: boolean;
      readonly progress: Buffer | undefined;
    };
