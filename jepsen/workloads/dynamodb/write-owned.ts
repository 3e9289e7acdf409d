/** Writes of owned items: PutItem, UpdateItem, DeleteItem, and each of them in a transaction with an item of a table in another group. */
import type { TransactWriteCommandInput } from '@aws-sdk/lib-dynamodb';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { OwnedItems, OwnedWrite } from './owned-items.ts';

/** A table that has one item for each client beside those that are looked at. */
export const BESIDE = 'beside';
/** Every so manieth version is written in a transaction, or by UpdateItem. */
const WAYS = 3;

/** The attributes of an item after a write. */
export const itemOf = ({ key, version, colour }: OwnedWrite): Record<string, unknown> => ({
  k: key,
  v: version,
  ...(colour === null ? {} : { colour, tint: colour }),
});

type Action = NonNullable<TransactWriteCommandInput['TransactItems']>[number];

/** A write as the member of a transaction. */
function actionOf(TableName: string, write: OwnedWrite): Action {
  const { key, version, how, colour } = write;
  if (how === 'create') {
    return { Put: { TableName, Item: itemOf(write), ConditionExpression: 'attribute_not_exists(k)' } };
  }
  const guard = { ConditionExpression: 'v < :v', ExpressionAttributeValues: { ':v': version } };
  if (how === 'delete') return { Delete: { TableName, Key: { k: key }, ...guard } };
  if (version % WAYS === 1) return { Put: { TableName, Item: itemOf(write), ...guard } };
  return {
    Update: {
      TableName,
      Key: { k: key },
      UpdateExpression: colour === null ? 'SET v = :v REMOVE colour, tint' : 'SET v = :v, colour = :c, tint = :c',
      ConditionExpression: 'v < :v',
      ExpressionAttributeValues: { ':v': version, ...(colour === null ? {} : { ':c': colour }) },
    },
  };
}

/** Does a write, and tells the items what became of it. @throws the client's error */
export async function writeOwned(
  session: DynamoSession,
  items: OwnedItems,
  TableName: string,
  write: OwnedWrite,
): Promise<void> {
  const { documents } = session;
  let isDone = false;
  try {
    const action = actionOf(TableName, write);
    if (write.version % WAYS === 0) {
      const [, client] = write.key.split('-');
      const beside = { Put: { TableName: BESIDE, Item: { k: `client-${client}`, v: write.version } } };
      await session.transact([action, beside]);
    } else if (action.Put !== undefined) await documents.put(action.Put);
    else if (action.Delete !== undefined) await documents.delete(action.Delete);
    else await documents.update(action.Update!);
    isDone = true;
  } finally {
    items.settle(write, isDone);
  }
}
