/** Who may call what on the gRPC port: the table of least roles, the guard in front of all services, and the record of what operators changed. */

export { type AuditLogger, AuditTrail } from './audit.ts';
export { guardedServer } from './guard.ts';
export { LEAST_ROLES } from './least-roles.ts';
