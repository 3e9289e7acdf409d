/**
 * The catalog where its group is led: decides and writes changes of the directory, hears heartbeats, and tells watchers on every node.
 */

export { bootstrapCatalog } from './bootstrap.ts';
export { ForwardingCatalogClient } from './client.ts';
export { type BalanceDoor, CatalogEndpoint } from './endpoint.ts';
export type { FoundingConfiguration } from './founding.ts';
export { KvCatalogGroup } from './group.ts';
export { Heartbeats } from './heartbeats.ts';
export { CatalogLeader } from './leader.ts';
export { NodeAgent } from './node-agent.ts';
export type { CatalogSource } from './source.ts';
export { WatchClient, type WatchStatus } from './watch-client.ts';
export { WatchServer } from './watch-server.ts';
