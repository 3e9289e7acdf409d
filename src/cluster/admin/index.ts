/**
 * What operators ask and change, on any node: membership, routes, health, diagnosis, transactions, time, recovery.
 */

export { acceptanceOf, leadOf } from './accepted-time.ts';
export type { LocalNode, OwnExamination } from './admin-agent.ts';
export { createAdminBackend } from './backend.ts';
export { durationText, offsetText } from './clock-text.ts';
