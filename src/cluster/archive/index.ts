/**
 * Copies of a group as of one moment, for archives of the whole cluster.
 */

export { GroupArchive } from './group-archive.ts';
