export { type AdminBackendOptions, createAdminBackend } from './backend.ts';
export { AdminError, type AdminErrorCode } from './errors.ts';
export type { LocalNode } from './node-agent.ts';
export * from './types.ts';
