/**
 * Redis: speaks RESP2 and RESP3 to any client on any node. Bytes become commands, commands become operations on the groups that have their
 * keys, here or on another node, and replies leave in the order of the requests.
 *
 * A command takes this way through the rooms: `server` accepts the client, `session` reads, starts and answers, `request` finds the group and keeps
 * order while ranges and leaders change, `commands` has what is run, over the collections of `bodies`, the accessors of `values` and the keys of
 * `keys`. `messages` carries what clients say to each other, `tracking` tells them of changes of keys that they keep.
 * `command` is what a command is and what it sees, `state` what all connections share, `protocol` the bytes.
 *
 * The rooms import in this direction only: protocol < keys < values < bodies < messages < tracking < command < acl < state < request < session < commands
 * < server.
 * Settings and sections of INFO lie beside CONFIG and INFO in `commands`, because nobody else reads them and they need no more than a command sees.
 * `rdb` is the format of Redis' files, for values and for whoever reads files.
 * The interfaces of the server, of its configuration and of the cluster lie in `command`, because commands are written against them.
 */

export {
  type ClusterMember,
  type ClusterSettings,
  type ClusterTopology,
  CommandTable,
  keyIndexes,
  mayWrite,
  redisExpiryWork,
} from './command/index.ts';
export { ALL_COMMANDS } from './commands/index.ts';
export { redisKeyspace, slotOf } from './keys/index.ts';
export { type MessageCounters, Messages } from './messages/index.ts';
export { ProtocolError, RespParser } from './protocol/index.ts';
export {
  framePayload,
  isPayload,
  RdbFileParser,
  RdbFormatError,
  type RdbKey,
  type RdbRecord,
  type RdbValue,
  readPayload,
  valueParts,
  writePayload,
} from './rdb/index.ts';
export {
  EvaluationThread,
  openRedisServer,
  type RedisCounters,
  type RedisServer,
  startRedisServer,
} from './server/index.ts';
export { clusterMemberId } from './state/index.ts';
export { Tracking } from './tracking/index.ts';
