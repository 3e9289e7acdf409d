/**
 * The timestamp oracle: start and commit timestamps of what spans groups, granted where the oracle's group is led.
 */

export { OracleChannel } from './channel.ts';
export { OracleClient, type OracleClientStats } from './client.ts';
export type { OracleStatus } from './codec.ts';
export { OracleLeader, serveOracle } from './leader.ts';
export { OracleShadow, type ShadowStats } from './shadow.ts';
