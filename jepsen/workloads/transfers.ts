/** What clients of every bank ask for: transfers between two accounts, and reads of all. */
import type { Workload } from '../types.ts';

/** From one account to another one. */
export interface Transfer<Account> {
  readonly from: Account;
  readonly to: Account;
  readonly amount: number;
}

/** @param accounts as a transfer names them */
export const transfersBetween = <Account>(
  accounts: readonly Account[],
): Pick<Workload, 'generate' | 'finalOperations' | 'isReadOnly'> => ({
  generate({ random }) {
    if (random.next() < 0.4) return { f: 'read', value: null };
    const from = random.int(accounts.length);
    const to = (from + 1 + random.int(accounts.length - 1)) % accounts.length;
    const transfer: Transfer<Account> = { from: accounts[from]!, to: accounts[to]!, amount: 1 + random.int(5) };
    return { f: 'transfer', value: transfer };
  },
  finalOperations: [{ f: 'read', value: null }],
  isReadOnly: (f) => f === 'read',
});
