export { type BlockCompression, inlineCompression, pooledCompression } from './compression.ts';
export {
  type CutOptions,
  cutStore,
  FRAME_BYTES,
  InlineCutter,
  type MetaOf,
  type SegmentCutter,
  type StoreCut,
} from './cut.ts';
export { CutThread } from './cut-thread.ts';
export { type IngestOptions, ingestSegments } from './ingest.ts';
export {
  type CopyFacts,
  type CopyManifest,
  decodeManifest,
  encodeManifest,
  type Json,
  manifestOf,
  openJson,
  type SegmentEntry,
  sealJson,
  segmentName,
} from './manifest.ts';
export { type RowPage, readSegment } from './reader.ts';
export { SegmentFolder } from './staging.ts';
export { DEFAULT_SEGMENT_LIMITS, type SegmentLimits, SegmentWriter } from './writer.ts';
