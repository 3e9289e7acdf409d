/**
 * Where a Redis key lives among all keys of the cluster: databases, hash slots, storage keys and the cursors that stand for them.
 * No other room knows the mapping.
 */

export {
  areOfOneSlot,
  COPIES_KEY,
  DATABASE_COUNT,
  decodeStorageKey,
  FUNCTION_DB,
  headLengthOf,
  headOf,
  KEYSPACES,
  type KeyRange,
  Keyspace,
  LIBRARIES_KEY,
  SCRIPT_DB,
  SLOT_COUNT,
  slotAround,
  slotOf,
  USERS_DB,
} from './keyspace.ts';
export { redisKeyspace } from './keyspace-declaration.ts';
export { cursorHash, decodeCursor, ScanCursors } from './scan-cursors.ts';
export {
  type BodyOfRow,
  bodyOf,
  hasBody,
  INCARNATION_BYTES,
  incarnationIn,
  VALUE_HEADER_BYTES,
  ValueForm,
} from './sub-rows.ts';
export { varintBytes, writeVarint } from './varint.ts';
