/** Transfers between accounts; every read of all accounts must see the same total. */
import { bankChecker } from '../checkers/collections.ts';
import { NothingHappened } from '../client.ts';
import type { Workload } from '../types.ts';
import { optimistically } from './transaction.ts';
import { type Transfer, transfersBetween } from './transfers.ts';

const ACCOUNTS = Array.from({ length: 8 }, (_, at) => `account-${at}`);
const OPENING_BALANCE = 20;

export const bank = (): Workload => ({
  name: 'bank',
  description: 'transfers between accounts; the total is the same in every read',
  checker: bankChecker(ACCOUNTS.length * OPENING_BALANCE),
  async setup(client) {
    await client.mset(Object.fromEntries(ACCOUNTS.map((account) => [account, OPENING_BALANCE])));
  },
  ...transfersBetween(ACCOUNTS),
  async execute(client, { f, value }) {
    if (f === 'read') {
      const balances = await client.mget(...ACCOUNTS);
      return Object.fromEntries(ACCOUNTS.map((account, at) => [account, Number(balances[at])]));
    }
    const { from, to, amount } = value as Transfer<string>;
    const moved = await optimistically(client, [from, to], ([source, target], transaction) => {
      if (Number(source) < amount) return false;
      transaction.set(from, Number(source) - amount);
      transaction.set(to, Number(target) + amount);
      return true;
    });
    if (!moved) throw new NothingHappened('balance too low');
    return value;
  },
});
