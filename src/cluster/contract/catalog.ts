/** The catalog as nodes and tools use it: operations that its leader runs, and the cluster state that every node holds a copy of. */
import type {
  BatchSplitOp,
  ClusterState,
  CreateMergeOp,
  CreateMoveOp,
  FeatureOp,
  FeatureRow,
  GroupOp,
  GroupRow,
  JobResult,
  JobRow,
  MergeOp,
  NodeOp,
  NodeRow,
  RoutesResult,
  SetGroupOp,
  SettingOp,
  SettingRow,
  SplitOp,
  TransitionJobOp,
  WithdrawalRow,
  WithdrawOp,
  WorkOp,
  WorkRow,
} from '../../distribution/index.ts';
import type { Millis } from '../../platform/index.ts';

/** What a node or a tool may ask of the catalog. The bootstrap is the catalog leader's own. */
export type CatalogRequest =
  | SplitOp
  | BatchSplitOp
  | MergeOp
  | CreateMoveOp
  | CreateMergeOp
  | TransitionJobOp
  | SetGroupOp
  | NodeOp
  | GroupOp
  | SettingOp
  | FeatureOp
  | WithdrawOp
  | WorkOp;

/** What came of a request, by the kind of the request. */
export type CatalogReply<Request extends CatalogRequest> = Request extends SplitOp | BatchSplitOp | MergeOp
  ? RoutesResult
  : Request extends CreateMoveOp | CreateMergeOp | TransitionJobOp | SetGroupOp
    ? JobResult
    : Request extends NodeOp
      ? NodeRow
      : Request extends GroupOp
        ? GroupRow
        : Request extends SettingOp
          ? SettingRow
          : Request extends FeatureOp
            ? FeatureRow
            : Request extends WithdrawOp
              ? WithdrawalRow
              : WorkRow;

/** The catalog from any node: requests travel to the leader of the catalog group. */
export interface CatalogClient {
  /**
   * Runs an operation. A lost answer is asked for again where repeating is harmless (everything is compared and set, or
   * idempotent by its batch id), so the outcome is known when this settles.
   * @throws CatalogError with the planner's reason; LeaderUnavailableError when nobody answered in time; OutcomeUnknownError
   */
  run<Request extends CatalogRequest>(request: Request, timeoutMs?: Millis): Promise<CatalogReply<Request>>;
  /** Unfinished jobs, then finished ones newest first. */
  jobs(timeoutMs?: Millis): Promise<readonly JobRow[]>;
  /** Groups, nodes, features, settings and work units as the catalog leader has them now. */
  clusterState(timeoutMs?: Millis): Promise<ClusterState>;
}
