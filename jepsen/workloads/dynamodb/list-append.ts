/**
 * Appends to lists in items by `list_append`, and reads of them: UpdateItem, which also says what the list is then, GetItem, and transactions
 * of several of one kind. Some transactions are sent to two nodes at once, with one token, and again when they are done.
 */
import type { Random } from '../../../src/platform/index.ts';
import { listAppendChecker } from '../../checkers/transactions.ts';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { Workload } from '../../types.ts';
import { keyed } from './tables.ts';

type MicroOp = ['append' | 'r', key: string, value: unknown];

const TABLES = ['lists-0', 'lists-1'];
/** A key is given up after this many appends, so that lists stay short. */
const APPENDS_PER_KEY = 60;
const ACTIVE_KEYS = 5;
const MAX_OPS = 4;
/** Of transactions, those that are sent more than once. */
const REPEATED_SHARE = 0.3;

const place = (key: string) => ({ TableName: TABLES[Number(key.split('-')[1]) % 2]!, Key: { k: key } });
const listIn = (item: Record<string, unknown> | undefined): number[] => (item?.list as number[] | undefined) ?? [];

const appendTo = (key: string, element: unknown) => ({
  ...place(key),
  UpdateExpression: 'SET #list = list_append(if_not_exists(#list, :none), :one)',
  ExpressionAttributeNames: { '#list': 'list' },
  ExpressionAttributeValues: { ':none': [], ':one': [element] },
});

async function single({ documents }: DynamoSession, [f, key, element]: MicroOp): Promise<MicroOp[]> {
  if (f === 'r') {
    const { Item } = await documents.get({ ...place(key), ConsistentRead: true });
    return [['r', key, listIn(Item)]];
  }
  const { Attributes } = await documents.update({ ...appendTo(key, element), ReturnValues: 'ALL_NEW' });
  return [
    ['append', key, element],
    ['r', key, listIn(Attributes)],
  ];
}

/** Appends to and reads of lists over two tables. */
export function dynamoListAppend(): Workload<DynamoSession> {
  const appends = new Map<number, number>();
  let firstKey = 0;
  const pickKey = (random: Random): number => {
    while ((appends.get(firstKey) ?? 0) >= APPENDS_PER_KEY) firstKey++;
    return firstKey + random.int(ACTIVE_KEYS);
  };
  /** First elements of the transactions that are sent more than once. */
  const repeated = new Set<unknown>();
  return {
    name: 'dynamo-list-append',
    description: 'DynamoDB: list_append and reads, alone and in transactions with tokens; strictly serializable',
    checker: listAppendChecker,
    async setup(session) {
      for (const table of TABLES) await session.makeTable(keyed(table));
    },
    generate({ random, nextId }) {
      const isRead = random.next() < 0.5;
      const keys = new Set<number>();
      for (let left = 1 + random.int(MAX_OPS); left > 0; left--) keys.add(pickKey(random));
      const ops = [...keys].map((key): MicroOp => {
        if (isRead) return ['r', `list-${key}`, null];
        appends.set(key, (appends.get(key) ?? 0) + 1);
        return ['append', `list-${key}`, nextId()];
      });
      if (!isRead && random.next() < REPEATED_SHARE) repeated.add(ops[0]![2]);
      return { f: isRead ? 'read' : 'txn', value: ops };
    },
    isReadOnly: (f) => f === 'read',
    async execute(session, { f, value }) {
      const ops = value as MicroOp[];
      if (ops.length === 1) return single(session, ops[0]!);
      if (f === 'read') {
        const TransactItems = ops.map(([, key]) => ({ Get: place(key) }));
        const { Responses } = await session.documents.transactGet({ TransactItems });
        return ops.map(([, key], at) => ['r', key, listIn(Responses?.[at]?.Item)]);
      }
      const updates = ops.map(([, key, element]) => ({ Update: appendTo(key, element) }));
      await session.transact(updates, repeated.delete(ops[0]![2]));
      return ops;
    },
  };
}
