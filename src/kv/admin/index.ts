export { type Acceptance, acceptanceOf, leadOf } from './accepted-time.ts';
export type { LocalNode, OwnExamination } from './admin-agent.ts';
export { type AdminBackendOptions, createAdminBackend } from './backend.ts';
export { durationText, offsetText } from './clock-text.ts';
export { AdminError, type AdminErrorCode } from './errors.ts';
export * from './operation-types.ts';
export * from './types.ts';
