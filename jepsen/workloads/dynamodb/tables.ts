/** Definitions of tables, as short as workloads need them. */
import type { CreateTableCommandInput, GlobalSecondaryIndex } from '@aws-sdk/client-dynamodb';

/** A table of items with one key attribute `k`, a string. @param more indexes and streams, and types of what indexes have as keys */
export function keyed(
  TableName: string,
  more: {
    readonly types?: Readonly<Record<string, 'S' | 'N'>>;
    readonly indexes?: GlobalSecondaryIndex[];
    readonly isStreamed?: boolean;
  } = {},
): CreateTableCommandInput {
  const types = { k: 'S' as const, ...more.types };
  return {
    TableName,
    BillingMode: 'PAY_PER_REQUEST',
    KeySchema: [{ AttributeName: 'k', KeyType: 'HASH' }],
    AttributeDefinitions: Object.entries(types).map(([AttributeName, AttributeType]) => ({
      AttributeName,
      AttributeType,
    })),
    ...(more.indexes === undefined ? {} : { GlobalSecondaryIndexes: more.indexes }),
    ...(more.isStreamed === true
      ? { StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' as const } }
      : {}),
  };
}
