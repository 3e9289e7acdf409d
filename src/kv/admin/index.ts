export type { LocalNode } from './admin-agent.ts';
export { type AdminBackendOptions, createAdminBackend } from './backend.ts';
export { AdminError, type AdminErrorCode } from './errors.ts';
export * from './types.ts';
