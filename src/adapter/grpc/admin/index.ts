/** What operators ask and change: the service on a node, and the client that command lines and programs call it with. */

export { AdminCallError, type AdminCalls, AdminClient, type AdminStreams } from './client.ts';
export { type AdminService, createAdminService } from './service.ts';
export type { RedisUserView } from './user-admin.ts';
