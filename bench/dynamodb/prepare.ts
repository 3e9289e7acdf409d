/** Tables before a load: made, and filled with records. */
import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { runHttpLoad } from './http-load.ts';
import { KEY, RequestSigner } from './signed-request.ts';
import { type DynamoMeasure, filling, tableOf } from './ycsb.ts';

const TABLE_TIMEOUT_S = 60;
const CONNECTIONS = 4;

/** Makes the table of a measure and fills it. @throws Error when it is there already */
export async function prepareTable(port: number, measure: DynamoMeasure, records: number): Promise<void> {
  const client = new DynamoDBClient({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'eu-west-1',
    credentials: { ...KEY },
  });
  try {
    const table = tableOf(measure);
    await client.send(new CreateTableCommand(table));
    const waiter = { client, maxWaitTime: TABLE_TIMEOUT_S, minDelay: 0.1, maxDelay: 0.5 };
    await waitUntilTableExists(waiter, { TableName: table.TableName! });
  } finally {
    client.destroy();
  }
  const operations = filling(new RequestSigner(port, Date.now()), measure, records);
  await runHttpLoad({ ports: [port], connections: CONNECTIONS, operations, seconds: undefined });
}
