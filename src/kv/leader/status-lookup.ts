/** The record of a transaction as a store has it, for those who look and decide nothing. */
import type { GroupStore } from '../../store/index.ts';
import { decodeStatus, statusName } from '../apply/index.ts';
import type { TxnStatus } from '../contract/index.ts';

/** What is written down at the primary key of a transaction; undefined when nothing is. @throws CorruptEntryError */
export function statusAt(store: Pick<GroupStore, 'side'>, primary: Buffer, txnId: Buffer): TxnStatus | undefined {
  const row = store.side(primary, statusName(txnId));
  return row === undefined ? undefined : decodeStatus(row).status;
}
