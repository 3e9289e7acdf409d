export { AdminCallError, type AdminCalls, AdminClient, type AdminStreams } from './admin-client.ts';
export { type AdminService, createAdminService } from './admin-service.ts';
export { ADMIN_SERVICE, RAW_KV_SERVICE, TRANSACTIONAL_KV_SERVICE } from './definition.ts';
export { CODE_KEY, DISPOSITION_KEY, RETRY_KEY } from './errors.ts';
export { createKeyServices, type KeyServices, type KeyServicesOptions } from './kv-service.ts';
export { SnapshotClient } from './snapshot-client.ts';
export { createSnapshotService, type SnapshotService } from './snapshot-service.ts';
