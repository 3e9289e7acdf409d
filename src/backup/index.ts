/**
 * Backups outside of the cluster: places for objects, what backups are made of, and what is done with them. The cluster and its stores are
 * arguments; who makes copies and when is decided above, and how a backup becomes a cluster again in `src/node/archive`.
 *
 * The rooms import in this direction only: objects < format < run.
 */

export * from './format/index.ts';
export * from './objects/index.ts';
export * from './run/index.ts';
