/** What a node is given. */
import type {
  BackupSurroundings,
  BalanceReport,
  BalancerTimes,
  MoveLimits,
  OwnExamination,
  WorkTimes,
} from '../cluster/index.ts';
import type { ClusterFounding } from '../config/index.ts';
import type { ClusterState, Endpoint } from '../distribution/index.ts';
import type { KvServiceOptions, LongEvaluator, NodeClockStatus } from '../kv/index.ts';
import type { Clock, GroupId, NodeId, PeerNetwork, Random, Scheduler } from '../platform/index.ts';
import type { EngineLimits, LogStore, NodeRecord, SentSnapshot } from '../raftengine/index.ts';
import type { GroupStoreOptions, SealedLevels } from '../store/index.ts';
import type { ProcessAround } from './process.ts';
import type { StandingOptions } from './standing.ts';
import type { StoragePressureParts } from './storage-pressure.ts';

/** Everything that a node needs from the world outside. */
export interface NodeParts extends StoragePressureParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly network: PeerNetwork;
  readonly logStore: LogStore;
  /** How to open databases; those of group 7 is at `<location>-7`. Limits given here are those of every group. */
  readonly store: Pick<
    GroupStoreOptions,
    'location' | 'openLevel' | 'folders' | 'limits' | 'disk' | 'compression' | 'cutter' | 'segmentLimits'
  >;
  /** Encrypts the databases of stores; left out: they are in clear. */
  readonly sealedLevels?: SealedLevels | undefined;
  /** Memory for all stores together; limits given above win. */
  readonly storeMemoryBytes?: number;
  readonly members: readonly { readonly nodeId: number; readonly address: string }[];
  /** What the cluster is founded with; the same on all members. */
  readonly founding: ClusterFounding;
  /** The node founds nothing: it waits until groups of a running cluster take it in. */
  readonly joins?: boolean;
  /** 16 bytes that were chosen when the node's data was empty. */
  readonly incarnation: Buffer;
  /** What the node must not forget beside its log: who has accepted its data folder, whom it has met, what is being installed. */
  readonly record: StandingOptions['record'] & Pick<NodeRecord, 'peer' | 'installs'>;
  /** Where other nodes reach this one. */
  readonly address: string;
  /** What servers of clients do not know yet without which they serve nobody; left out, and undefined: nothing. */
  readonly unknownToClients?: () => string | undefined;
  /** Where clients reach it now, for clients that choose the node themselves; left out: nobody is told. */
  readonly endpoints?: () => readonly Endpoint[];
  /** Of the program, for operators. */
  readonly version: string;
  readonly limits: Partial<EngineLimits>;
  readonly retentionMs: number;
  /** Evaluates commands that read too many rows for one turn; left out: they take one turn all the same. */
  readonly evaluator?: LongEvaluator;
  /** Bounds and periods of the key-value layer that differ from the defaults. */
  readonly kv?: Pick<KvServiceOptions, 'limits' | 'maintenance'>;
  /** Bounds and periods of moves that differ from the defaults. */
  readonly moves?: Partial<MoveLimits>;
  /** Where the node stands, such as `eu-1/rack-7`; for operators. */
  readonly locality?: string;
  /** Periods of balancing that differ from the defaults; those of load are the same on all nodes. */
  readonly balance?: BalancerTimes;
  /** What backups need of the process; left out: this node makes none. */
  readonly backups?: BackupSurroundings;
  /** Name that the nodes share; for backups. */
  readonly clusterName?: string;
  /** Periods of background work that differ from the defaults. */
  readonly work?: Partial<WorkTimes>;
  /** Measures the machine for operators; left out where there is none. */
  readonly examine?: () => Promise<OwnExamination>;
  /** Hears whom this node takes for the leader of a group, whenever that changes; undefined: nobody. */
  readonly onLeader?: (group: GroupId, leader: NodeId | undefined) => void;
  /** Hears of every snapshot that another node has got from here. */
  readonly onSnapshotSent?: (sent: SentSnapshot) => void;
  /** Hears what the cluster is, whenever this node is told anew. */
  readonly onClusterState?: (clusterState: ClusterState) => void;
  /** Hears when this node's clock goes off those of its peers, and when it is right again. */
  readonly onClock?: (status: NodeClockStatus) => void;
  /** Hears again and again why this node cannot found anything yet, while that is so. */
  readonly onFoundingWaits?: (reason: string) => void;
  /** Hears what the rules of balancing did, or would do. */
  readonly onBalance?: (report: BalanceReport) => void;
  /** The node can promise nothing any more: its log or its store failed, or its data folder has no place in the cluster. */
  readonly onFatal: (error: Error) => void;
  /** Something in the background failed and will be tried again. */
  readonly onBackgroundError: (error: unknown) => void;
  /** The process around the node; left out where there is none. */
  readonly process?: ProcessAround;
}
