/**
 * Writes bills with the AWS SDK, each through another node, and counts them. The table is that of the README's tour. Kill a node meanwhile: bills that it
 * does not take go through the others, and none that was acknowledged is missing.
 *
 *   AWS_SHARED_CREDENTIALS_FILE=./data/dynamodb-credentials npx node examples/dynamodb.ts [bills] [port,port,..]
 */
import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocument } from '@aws-sdk/lib-dynamodb';

const [bills = '1000', ports = '8000,8001,8002'] = process.argv.slice(2);
const nodes = ports.split(',').map((port) => {
  const client = new DynamoDB({ region: 'us-east-1', endpoint: `http://127.0.0.1:${port}` });
  return { port, documents: DynamoDBDocument.from(client) };
});
for (let bill = 1; bill <= Number(bills); ) {
  const node = nodes[bill % nodes.length]!;
  const Item = { customer: 'grace', bill, euros: bill % 90, state: 'open' };
  const answer = await node.documents.put({ TableName: 'bills', Item }).catch((error: Error) => error);
  if (!(answer instanceof Error)) bill++;
  else if (nodes.length === 1) throw answer;
  else {
    console.log(`port ${node.port} does not answer after ${bill - 1} bills: ${answer.message}`);
    nodes.splice(nodes.indexOf(node), 1);
  }
}
const query = {
  ...{ TableName: 'bills', ConsistentRead: true, Select: 'COUNT' as const },
  ...{ KeyConditionExpression: 'customer = :c', ExpressionAttributeValues: { ':c': 'grace' } },
};
const { Count } = await nodes[0]!.documents.query(query);
console.log(`${bills} bills acknowledged, ${Count} are there`);
