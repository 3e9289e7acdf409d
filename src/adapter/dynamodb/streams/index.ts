/**
 * Streams: what was changed in tables, in order. `sequence` and `shard` are places and names, `shard-reader` reads records as they were committed,
 * `iterator` is what clients carry between reads, `stream-operations` what they ask.
 */

export { behind } from './sequence.ts';
export { transactionPlace } from './shard-reader.ts';
export { oldRecords, type StreamServices, streamOperations, wholeStream } from './stream-operations.ts';
