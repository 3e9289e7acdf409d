/**
 * Segments: sorted, compressed, content-named files that a copy of a store consists of, and their manifest.
 */

export { type BlockCompression, pooledCompression } from './compression.ts';
export { type CutOptions, cutStore, InlineCutter, type MetaOf, type SegmentCutter, type StoreCut } from './cut.ts';
export { CutThread } from './cut-thread.ts';
export { ingestSegments } from './ingest.ts';
export {
  type CopyFacts,
  type CopyManifest,
  decodeManifest,
  encodeManifest,
  type Json,
  openJson,
  type SegmentEntry,
  sealJson,
} from './manifest.ts';
export { readSegment } from './reader.ts';
export { SegmentFolder } from './staging.ts';
export { DEFAULT_SEGMENT_LIMITS, type SegmentLimits } from './writer.ts';
