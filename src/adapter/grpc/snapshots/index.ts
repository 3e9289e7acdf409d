/** Copies of groups' stores, sent to backup programs: the service on a node and the client that takes them. */

export { SnapshotClient } from './client.ts';
export { createSnapshotService, type SnapshotService } from './service.ts';
