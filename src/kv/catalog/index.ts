/** The catalog as a running service: its leader, its clients, its beginning, and the heartbeat of nodes. */
export { type BootstrapOptions, bootstrapCatalog } from './bootstrap.ts';
export { ForwardingCatalogClient, type ForwardingCatalogClientOptions } from './client.ts';
export type { DocumentVersion, NodeReport, VersionedDocument } from './codec.ts';
export { type BalanceDoor, CATALOG_SERVICE, CatalogEndpoint } from './endpoint.ts';
export { CatalogMessageError, FoundingError, LostResultError } from './errors.ts';
export type { FoundingConfiguration, FoundingGroup } from './founding.ts';
export { type CatalogGroup, KvCatalogGroup, type KvCatalogGroupOptions } from './group.ts';
export { HEARTBEAT_ROW_MS, Heartbeats, LOAD_ROW_MS } from './heartbeats.ts';
export { CatalogLeader, type CatalogLeaderOptions } from './leader.ts';
export { NodeAgent, type NodeAgentOptions, type NodeLoad } from './node-agent.ts';
export type { CatalogSource } from './source.ts';
export * from './types.ts';
export { WatchClient, type WatchClientOptions, type WatchStatus } from './watch-client.ts';
export { type WatcherStatus, type WatchLogger, WatchServer, type WatchServerOptions } from './watch-server.ts';
