/** The keyspaces of all adapters that a node serves. A new adapter adds its declaration here. */
import { Keyspaces } from '../distribution/index.ts';
import { dynamodbKeyspace } from './dynamodb/index.ts';
import { redisKeyspace } from './redis/index.ts';

export const KEYSPACES_OF_ADAPTERS = new Keyspaces([redisKeyspace, dynamodbKeyspace]);
