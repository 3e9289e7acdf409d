export type { LoadSecurity, LoadTarget } from './connection.ts';
export { type LoadOperation, type LoadOptions, type LoadResult, runLoad } from './load.ts';
export { ReplyScanner } from './reply-scanner.ts';
export { SECURITY_VARIABLES, type SecurityFlags, securityOf } from './security.ts';
