/** Refusals of operators' requests. Nothing happened when one of these is thrown; the message says what to do. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** Why a request of an operator was refused. */
export type AdminErrorCode =
  | 'INVALID_ARGUMENT'
  | 'GROUP_NOT_FOUND'
  | 'NODE_NOT_FOUND'
  | 'NOT_A_MEMBER'
  | 'NOT_A_LEARNER'
  | 'NOT_A_VOTER'
  | 'LEARNER_BEHIND'
  | 'LAST_VOTER'
  | 'QUORUM_AT_RISK'
  | 'NO_SUCCESSOR'
  | 'NO_ROUTES'
  | 'NOT_A_BOUNDARY'
  | 'NOT_ABORTABLE'
  | 'NODE_ANSWERS'
  | 'REPLACE_CONFLICT'
  | 'NO_ROOM'
  | 'QUORUM_ANSWERS'
  | 'NOT_RECOVERABLE'
  | 'TXN_OPEN'
  | 'TXN_NOT_FOUND'
  | 'BACKUPS_OFF'
  | 'BACKUP_RUNNING';

const DISPOSITIONS: { readonly [Code in AdminErrorCode]?: ErrorDisposition } = {
  LEARNER_BEHIND: 'wait',
  QUORUM_AT_RISK: 'wait',
  NO_SUCCESSOR: 'wait',
  NO_ROUTES: 'wait',
  TXN_OPEN: 'wait',
  BACKUP_RUNNING: 'wait',
};

/** See the top of the file. */
export class AdminError extends KvorumError {
  readonly code: AdminErrorCode;
  readonly disposition: ErrorDisposition;

  constructor(code: AdminErrorCode, message: string) {
    super(message);
    this.code = code;
    this.disposition = DISPOSITIONS[code] ?? 'final';
  }
}
