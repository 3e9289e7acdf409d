/**
 * The control plane: what keeps the cluster in shape beside the requests of clients. It uses the data plane and is used by the
 * adapters and the composition root; the data plane knows nothing of it.
 *
 * `catalog` is the directory of groups, routes and nodes where its group is led, and its watchers; `work` leases units of work to one node at
 * a time; `gc` advances the safepoint; `moves` drives ranges from group to group; `oracle` switches the oracle on; `archive` makes copies of
 * one moment, which `backup` takes outside; `balance` reports load and decides what to split, merge and move; `admin` is what operators ask
 * and change. `contract` has the shapes that several of them share.
 */

export {
  acceptanceOf,
  createAdminBackend,
  durationText,
  type LocalNode,
  leadOf,
  type OwnExamination,
  offsetText,
} from './admin/index.ts';
export { GroupArchive } from './archive/index.ts';
export {
  archiveHold,
  archiveViewOf,
  BACKUP_UNIT,
  type BackupSurroundings,
  backupSettingsOf,
  decodeBackupNotes,
  isScheduled,
  NodeBackups,
} from './backup/index.ts';
export { Balancer, type BalancerOptions, type BalancerTimes, type LoadedGroup, LoadRecorder } from './balance/index.ts';
export {
  bootstrapCatalog,
  CatalogEndpoint,
  CatalogLeader,
  ForwardingCatalogClient,
  type FoundingConfiguration,
  Heartbeats,
  KvCatalogGroup,
  NodeAgent,
  WatchClient,
  WatchServer,
  type WatchStatus,
} from './catalog/index.ts';
export {
  type AbortJobResult,
  type AdminBackend,
  AdminError,
  type ArchiveView,
  type BackupsView,
  type BalanceDutyView,
  type BalanceReport,
  type BalanceReportView,
  type BalanceView,
  type CatalogClient,
  type ClusterStatus,
  type DoctorReport,
  DRAIN_ACTIONS,
  type DrainAction,
  type DrainRequest,
  type DrainStatus,
  type FeatureView,
  type GcGroupView,
  type GcNodeView,
  type GcRunResult,
  type GcView,
  type GroupMembers,
  type GroupTime,
  type GroupView,
  type HealthProblem,
  type HealthReport,
  type HotRange,
  type JobView,
  LOG_LEVELS,
  type Member,
  type MembershipResult,
  type MergeResult,
  type NodeActivity,
  type NodeExamination,
  type NodeLogLevel,
  type NodeStatus,
  type NodeView,
  type RecoverResult,
  type ReplacedGroup,
  type ReplaceStatus,
  type ReplicaStatus,
  type ResolveTxnResult,
  type RoutesChange,
  type RoutesPage,
  type RoutesResult,
  type RouteView,
  type SettingView,
  type SurvivingReplica,
  type TransferResult,
  type TsoReport,
  type TxnLock,
  type TxnsReport,
  type TxnView,
  type WorkView,
} from './contract/index.ts';
export { type GcGroup, type GcTimes, NodeGc, type NodeGcOptions, PINS_FEATURE } from './gc/index.ts';
export { DEFAULT_MOVE_LIMITS, MoveDriver, type MoveLimits } from './moves/index.ts';
export { AuthoritySwitch } from './oracle/index.ts';
export { FeatureActivator, forwardingPointerWork, WorkRunner, type WorkTimes } from './work/index.ts';
