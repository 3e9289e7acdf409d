/** Transfers between accounts of two tables by TransactWriteItems; every TransactGetItems of all must see the same total. */
import { bankChecker } from '../../checkers/collections.ts';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { Workload } from '../../types.ts';
import { type Transfer, transfersBetween } from '../transfers.ts';
import { keyed } from './tables.ts';

/** A new cluster puts them into different groups. */
const TABLES = ['accounts-0', 'accounts-1'];
const ACCOUNTS = Array.from({ length: 8 }, (_, at) => `account-${at}`);
const OPENING_BALANCE = 20;

const place = (account: string) => ({ TableName: TABLES[Number(account.at(-1)) % 2]!, Key: { k: account } });

async function readAll({ documents }: DynamoSession): Promise<Record<string, number>> {
  const TransactItems = ACCOUNTS.map((account) => ({ Get: place(account) }));
  const { Responses } = await documents.transactGet({ TransactItems });
  return Object.fromEntries(ACCOUNTS.map((account, at) => [account, Responses?.[at]?.Item?.balance as number]));
}

async function transfer(session: DynamoSession, { from, to, amount }: Transfer<string>): Promise<void> {
  const values = { ':n': amount };
  await session.transact([
    {
      Update: {
        ...place(from),
        UpdateExpression: 'SET balance = balance - :n',
        ConditionExpression: 'balance >= :n',
        ExpressionAttributeValues: values,
      },
    },
    { Update: { ...place(to), UpdateExpression: 'ADD balance :n', ExpressionAttributeValues: values } },
  ]);
}

export const dynamoBank = (): Workload<DynamoSession> => ({
  name: 'dynamo-bank',
  description: 'DynamoDB: transfers between items of two tables in transactions; the total is the same in every read',
  checker: bankChecker(ACCOUNTS.length * OPENING_BALANCE),
  async setup(session) {
    for (const table of TABLES) await session.makeTable(keyed(table));
    await session.transact(
      ACCOUNTS.map((account) => {
        const { TableName, Key } = place(account);
        return { Put: { TableName, Item: { ...Key, balance: OPENING_BALANCE } } };
      }),
    );
  },
  ...transfersBetween(ACCOUNTS),
  async execute(session, { f, value }) {
    if (f === 'read') return readAll(session);
    await transfer(session, value as Transfer<string>);
    return value;
  },
});
