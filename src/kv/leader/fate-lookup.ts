/** The record of a transaction as a store has it, for those who look and decide nothing. */
import type { GroupStore } from '../../store/index.ts';
import { decodeFate, fateName } from '../apply/index.ts';
import type { Fate } from '../contract/index.ts';

/** What is written down at the primary key of a transaction; undefined when nothing is. @throws CorruptEntryError */
export function fateAt(store: Pick<GroupStore, 'side'>, primary: Buffer, txnId: Buffer): Fate | undefined {
  const row = store.side(primary, fateName(txnId));
  return row === undefined ? undefined : decodeFate(row).fate;
}
