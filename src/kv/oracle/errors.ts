/** Why there is no timestamp. Nothing happened in any of these cases. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** The cluster has no oracle by its own choice (`tso.group` is 0): what spans groups is refused. */
export class OracleDisabledError extends KvorumError {
  readonly code = 'ORACLE_DISABLED';
  readonly disposition: ErrorDisposition = 'final';
}

/** No oracle answered in time: its group has no leader, or the authority is being changed. */
export class OracleUnavailableError extends KvorumError {
  readonly code = 'ORACLE_UNAVAILABLE';
  readonly disposition: ErrorDisposition = 'wait';
}
