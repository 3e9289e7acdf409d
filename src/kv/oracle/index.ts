export {
  type Authority,
  type AuthorityMode,
  type FenceCommand,
  type FenceReply,
  FIRST_AUTHORITY,
} from '../authority.ts';
export { OracleChannel, type OracleChannelOptions } from './channel.ts';
export {
  DEFAULT_ORACLE_LIMITS,
  OracleClient,
  type OracleClientLimits,
  type OracleClientOptions,
  type OracleClientStats,
  type OracleTimestamp,
} from './client.ts';
export type { Grant, OracleStatus } from './codec.ts';
export { OracleDisabledError, OracleUnavailableError } from './errors.ts';
export { type OracleGroup, OracleLeader, serveOracle } from './leader.ts';
export { OracleShadow, type ShadowStats } from './shadow.ts';
export { AuthoritySwitch, type AuthoritySwitchOptions } from './switch.ts';
