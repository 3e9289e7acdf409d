/** Refusals of the Raft core. Nothing was appended when one of these is thrown. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** Why a membership change was refused; `pending` and `lagging` pass with time, the others need another request. */
export type ConfChangeRefusal = 'pending' | 'lagging' | 'transferring' | 'invalid';

/** The membership change is not allowed now; nothing was proposed. */
export class ConfChangeRefusedError extends KvorumError {
  readonly code = 'CONF_CHANGE_REFUSED';
  readonly disposition: ErrorDisposition;
  readonly reason: ConfChangeRefusal;

  constructor(reason: ConfChangeRefusal, message: string) {
    super(message);
    this.reason = reason;
    this.disposition = reason === 'invalid' ? 'final' : 'wait';
  }
}

/** Leadership cannot be handed to that node now; nothing was started. */
export class TransferRefusedError extends KvorumError {
  readonly code = 'TRANSFER_REFUSED';
  readonly disposition: ErrorDisposition = 'wait';
}
