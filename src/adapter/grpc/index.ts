/**
 * gRPC in, calls of the data and the control plane out. `keys` has the services for programs, `admin` those for operators, `snapshots` copies of
 * stores; `access` stands in front of all of them. Beside them lies what all services share: how calls end, the table from errors to statuses, the
 * proto file's definitions.
 */

export { type AuditLogger, AuditTrail, guardedServer } from './access/index.ts';
export {
  AdminCallError,
  type AdminCalls,
  AdminClient,
  type AdminService,
  type AdminStreams,
  createAdminService,
  type RedisUserView,
} from './admin/index.ts';
export { ADMIN_SERVICE, RAW_KV_SERVICE, TRANSACTIONAL_KV_SERVICE } from './definition.ts';
export { CODE_KEY, DISPOSITION_KEY, RETRY_KEY } from './errors.ts';
export { createKeyServices, type KeyServices, type KeyServicesOptions } from './keys/index.ts';
export { createSnapshotService, SnapshotClient, type SnapshotService } from './snapshots/index.ts';
