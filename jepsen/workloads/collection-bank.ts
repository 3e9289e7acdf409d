/** Transfers between accounts that are fields of large hashes and scores of large sorted sets, under WATCH. */
import type { ChainableCommander, Redis } from 'ioredis';
import { bankChecker } from '../checkers/collections.ts';
import { NothingHappened } from '../client.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';
import { type Transfer, transfersBetween } from './transfers.ts';

const OPENING_BALANCE = 20;
/** Elements that are no accounts, which make the collections large: to change a balance then leaves the head as it is. */
const OTHERS = 24;
const OTHER_BYTES = 24;
/** In one command: a cluster with slow disks takes its time for each row. */
const OTHERS_AT_ONCE = 8;

interface Account {
  readonly name: string;
  readonly kind: 'field' | 'score';
  readonly key: string;
}

/** Two accounts in each of two hashes and two sorted sets. */
const ACCOUNTS: readonly Account[] = (['field', 'score'] as const).flatMap((kind) =>
  [0, 1].flatMap((at) =>
    [0, 1].map((which) => ({ kind, key: `account-${kind}-${at}`, name: `${kind}-${at}-${which}` })),
  ),
);
const KEYS = [...new Set(ACCOUNTS.map(({ key }) => key))];

const balanceOf = async (client: Redis, { kind, key, name }: Account): Promise<number> =>
  Number(await (kind === 'field' ? client.hget(key, name) : client.zscore(key, name)));

function setBalance(transaction: ChainableCommander, { kind, key, name }: Account, balance: number): void {
  if (kind === 'field') transaction.hset(key, name, String(balance));
  else transaction.zadd(key, balance, name);
}

async function transfer(client: Redis, { from, to, amount }: Transfer<number>): Promise<void> {
  const [source, target] = [ACCOUNTS[from]!, ACCOUNTS[to]!];
  await client.watch(source.key, target.key);
  let isOver = false;
  try {
    const [left, right] = [await balanceOf(client, source), await balanceOf(client, target)];
    if (left < amount) throw new NothingHappened('balance too low');
    const transaction = client.multi();
    setBalance(transaction, source, left - amount);
    setBalance(transaction, target, right + amount);
    isOver = true;
    await exec(transaction);
  } finally {
    if (!isOver && client.status === 'ready') await client.unwatch();
  }
}

async function balances(client: Redis): Promise<Record<string, number>> {
  const transaction = client.multi();
  for (const { kind, key, name } of ACCOUNTS) {
    if (kind === 'field') transaction.hget(key, name);
    else transaction.zscore(key, name);
  }
  const replies = await exec(transaction);
  return Object.fromEntries(ACCOUNTS.map(({ name }, at) => [name, Number(replies[at])]));
}

export const collectionBank = (): Workload => ({
  name: 'collection-bank',
  description: 'transfers between fields of hashes and scores of sorted sets; the total is the same in every read',
  checker: bankChecker(ACCOUNTS.length * OPENING_BALANCE),
  async setup(client) {
    for (const key of KEYS) {
      const isHash = ACCOUNTS.some((account) => account.key === key && account.kind === 'field');
      const put = (names: readonly string[], balance: number): Promise<number> =>
        isHash
          ? client.hset(key, ...names.flatMap((name) => [name, String(balance)]))
          : client.zadd(key, ...names.flatMap((name) => [balance, name]));
      for (let at = 0; at < OTHERS; at += OTHERS_AT_ONCE) {
        const names = Array.from({ length: OTHERS_AT_ONCE }, (_, next) => `${at + next}${'.'.repeat(OTHER_BYTES)}`);
        await put(names, at);
      }
      const mine = ACCOUNTS.filter((account) => account.key === key).map(({ name }) => name);
      await put(mine, OPENING_BALANCE);
    }
  },
  ...transfersBetween([...ACCOUNTS.keys()]),
  async execute(client, { f, value }) {
    if (f === 'read') return balances(client);
    await transfer(client, value as Transfer<number>);
    return value;
  },
});
