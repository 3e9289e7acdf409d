/**
 * DynamoDB: speaks the JSON protocol of the AWS SDKs. Requests become operations on the groups that have their items, here or on another node.
 *
 * The rooms import in this direction only: errors < model < validation, values < expressions < partiql < operation < rows < messages < tables < items <
 * streams < upkeep < statements < operations < wire < server.
 */

export { DynamoError } from './errors/index.ts';
export { type AnyOperation, declareOperation, type Operation, type RequestContext } from './operation/index.ts';
export { dynamodbKeyspace } from './rows/index.ts';
export { type DynamoServer, openDynamoServer } from './server/index.ts';
export type { AttributeType, AttributeValue, Item } from './values/index.ts';
export { Credentials, type PortCounters } from './wire/index.ts';
