/** Brings data of Redis into a cluster, and compares. */
export { differenceOf, isSameTime } from './compare-values.ts';
export { type FileImport, type ImportReport, importFile } from './import-file.ts';
export { importReplica, type ReplicaImport } from './import-replica.ts';
export type { Existing } from './load-file.ts';
export { ValueInParts } from './value-in-parts.ts';
export { DEFAULT_WRITER_LIMITS, Writer, type WriterOptions } from './writer.ts';
