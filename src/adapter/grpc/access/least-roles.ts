/**
 * The least role that each call needs, in one table. `read` looks; `operate` is the work of every day, which leaves who belongs to
 * the cluster, what it is and what is in it as they are; `admin` is everything else. `data` is for programs that use keys.
 */
import type { AccessRole } from '../../../security/index.ts';
import type { AdminCalls, AdminStreams } from '../admin/index.ts';
import { ADMIN_SERVICE, RAW_KV_SERVICE, SNAPSHOTS_SERVICE, TRANSACTIONAL_KV_SERVICE } from '../definition.ts';

const ADMIN: { readonly [Name in keyof AdminCalls | keyof AdminStreams]: Exclude<AccessRole, 'data'> } = {
  Status: 'read',
  Health: 'read',
  Members: 'read',
  ListGroups: 'read',
  // Boundaries of ranges and locks of transactions are keys of users.
  ListRoutes: 'read',
  WatchRoutes: 'read',
  Transactions: 'read',
  Jobs: 'read',
  Nodes: 'read',
  ListSettings: 'read',
  ListFeatures: 'read',
  Balance: 'read',
  Backups: 'read',
  DrainProgress: 'read',
  Gc: 'read',
  Time: 'read',

  // Changes nothing, and makes every node write to its disk for half a second.
  Doctor: 'operate',
  LogLevel: 'operate',
  TransferLeader: 'operate',
  Split: 'operate',
  BatchSplit: 'operate',
  Merge: 'operate',
  Move: 'operate',
  AbortJob: 'operate',
  RunGc: 'operate',
  // Only what its coordinator has left behind, or what could not be committed any more.
  ResolveTransaction: 'operate',

  AddLearner: 'admin',
  Promote: 'admin',
  Remove: 'admin',
  Replace: 'admin',
  // One of its actions takes a node out for good.
  Drain: 'admin',
  // Loses writes.
  Recover: 'admin',
  CreateGroup: 'admin',
  RemoveGroup: 'admin',
  // How long the past is kept, who grants timestamps.
  SetSetting: 'admin',
  // For good.
  ActivateFeature: 'admin',
  // Copies everything to a place of the caller's choice.
  CreateBackup: 'admin',
  // Digests of passwords are in it.
  ListUsers: 'admin',
  SetUser: 'admin',
  DeleteUsers: 'admin',
};

const RAW_KV = {
  Get: 'data',
  BatchGet: 'data',
  Put: 'data',
  BatchPut: 'data',
  Delete: 'data',
  BatchDelete: 'data',
  DeleteRange: 'data',
  Scan: 'data',
  CompareAndSet: 'data',
} as const;

const TRANSACTIONAL_KV = {
  Txn: 'data',
  Begin: 'data',
  Get: 'data',
  Scan: 'data',
  Put: 'data',
  Delete: 'data',
  Commit: 'data',
  Rollback: 'data',
} as const;

// Copies of everything that is stored.
const SNAPSHOTS = { Point: 'admin', Copy: 'admin' } as const;

/** By service and method, as the proto file names them. */
export const LEAST_ROLES: { readonly [Service in string]?: { readonly [Method in string]?: AccessRole } } = {
  [ADMIN_SERVICE]: ADMIN,
  [RAW_KV_SERVICE]: RAW_KV,
  [TRANSACTIONAL_KV_SERVICE]: TRANSACTIONAL_KV,
  [SNAPSHOTS_SERVICE]: SNAPSHOTS,
};
