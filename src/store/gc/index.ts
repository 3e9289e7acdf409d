/**
 * Collection of versions that nobody can ask for any more.
 */

export { GarbageCollector } from './garbage.ts';
export { HistoryBytes } from './history-bytes.ts';
