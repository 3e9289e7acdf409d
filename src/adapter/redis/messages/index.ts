/**
 * Messages between clients over all nodes: who listens to what, and the streams by which nodes tell each other and pass messages on.
 */

export type { Published } from './codec.ts';
export { type MessageCounters, Messages, type MessagesOptions } from './messages.ts';
export { publishInSlot, serveShardMessages } from './shard-messages.ts';
export { keyOf, SCOPES, type Scope, type Subscriber } from './topics.ts';
