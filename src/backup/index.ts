/**
 * Backups outside of the cluster: places for objects.
 */

export * from './objects/index.ts';
