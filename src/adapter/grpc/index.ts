export { AdminCallError, type AdminCalls, AdminClient, type AdminStreams } from './admin-client.ts';
export { type AdminService, createAdminService } from './admin-service.ts';
export { ADMIN_SERVICE } from './definition.ts';
export { CODE_KEY } from './errors.ts';
