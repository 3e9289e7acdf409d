/**
 * Copies of a group as of one moment, and its changes between two, for archives of the whole cluster.
 */

export { GroupArchive } from './group-archive.ts';
export type { ChangedSpan, GroupChanges, Moments } from './group-changes.ts';
