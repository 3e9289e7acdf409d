/** What this adapter declares of its keys and values to the layers below and beside it. */
import type { KeyspaceDeclaration } from '../../../distribution/index.ts';
import { redisKeys } from './keyspace.ts';
import { bodyOf, incarnationIn } from './sub-rows.ts';

/** See `KeyspaceDeclaration`. */
export const redisKeyspace: KeyspaceDeclaration = { ...redisKeys, bodyOf, incarnationIn };
