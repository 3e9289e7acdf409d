/**
 * How many live keys there are, by class, kept while rows come and go.
 */

export { KeyCounters, RANGE_COUNT_PENDING, RANGE_COUNTED, type Uncounted } from './counters.ts';
