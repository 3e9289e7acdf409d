/**
 * The keyspaces of all adapters that a node serves. A new adapter adds its declaration here, from the room that has it: settings and tools need no more of
 * an adapter, and each of them would load all of it.
 */
import { Keyspaces, type SlottedKeys } from '../distribution/index.ts';
import { dynamodbKeyspace } from './dynamodb/rows/index.ts';
import { redisKeyspace } from './redis/keys/index.ts';

export const KEYSPACES_OF_ADAPTERS = new Keyspaces([redisKeyspace, dynamodbKeyspace]);

/** The one whose keys fall into slots: clusters are founded by them, and people name them. */
export const SLOTTED_KEYS: SlottedKeys = redisKeyspace.slots!;
