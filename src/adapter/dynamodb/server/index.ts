/** The DynamoDB front end of a node put together: what it knows of tables, its operations, its port. */

export {
  type DynamoPortOptions,
  type DynamoServer,
  type DynamoServerOptions,
  openDynamoServer,
} from './dynamo-server.ts';
