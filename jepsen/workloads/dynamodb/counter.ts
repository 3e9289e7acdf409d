/** One counter that is added to by ADD, and by reading it and writing on condition that it is as it was read. */
import { counterChecker } from '../../checkers/collections.ts';
import { NothingHappened } from '../../client.ts';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { Workload } from '../../types.ts';
import { keyed } from './tables.ts';

const TABLE = 'counters';
const KEY = { TableName: TABLE, Key: { k: 'counter' } };

async function read({ documents }: DynamoSession): Promise<number> {
  const { Item } = await documents.get({ ...KEY, ConsistentRead: true });
  return Item?.n as number;
}

/** @returns what the counter is then */
async function addByAdd({ documents }: DynamoSession, amount: number): Promise<number> {
  const { Attributes } = await documents.update({
    ...KEY,
    UpdateExpression: 'ADD n :amount',
    ExpressionAttributeValues: { ':amount': amount },
    ReturnValues: 'UPDATED_NEW',
  });
  return Attributes!.n as number;
}

/** @returns what the counter is then @throws NothingHappened when it was not read */
async function addOnCondition(session: DynamoSession, amount: number): Promise<number> {
  const seen = await read(session).catch((error: unknown) => {
    throw new NothingHappened(`not read: ${(error as Error).message}`);
  });
  await session.documents.put({
    TableName: TABLE,
    Item: { ...KEY.Key, n: seen + amount },
    ConditionExpression: 'n = :seen',
    ExpressionAttributeValues: { ':seen': seen },
  });
  return seen + amount;
}

/** Two ways to add to one counter; every value between what was certainly and possibly added. */
export function dynamoCounter(): Workload<DynamoSession> {
  let generated = 0;
  return {
    name: 'dynamo-counter',
    description: 'DynamoDB: ADD, and PutItem on condition of what was read, of one counter',
    checker: counterChecker,
    async setup(session) {
      await session.makeTable(keyed(TABLE));
      await session.documents.put({ TableName: TABLE, Item: { ...KEY.Key, n: 0 } });
    },
    generate: ({ random }) => {
      if (random.next() < 0.4) return { f: 'read', value: null };
      // Odd amounts are added on condition.
      return { f: 'add', value: 1 + (generated++ % 4) };
    },
    finalOperations: [{ f: 'read', value: null }],
    isReadOnly: (f) => f === 'read',
    async execute(session, { f, value }) {
      if (f === 'read') return read(session);
      const amount = value as number;
      return amount % 2 === 1 ? addOnCondition(session, amount) : addByAdd(session, amount);
    },
  };
}
