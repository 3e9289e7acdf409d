/**
 * What a driver writes down for whoever goes on after it: a bookmark with every import (how far copying has come), and in
 * the job's row what the release answered and the activation needs.
 */
import { CatalogCorruptError, type JobRow } from '../../distribution/index.ts';
import type { BackfillPage, CapturePoint } from '../../kv/index.ts';
import { ByteReader, ByteWriter, type HlcTimestamp } from '../../platform/index.ts';

const CODEC = 1;
/** The capture log from its beginning. */
export const CAPTURE_START: CapturePoint = { index: 0, position: 0 };

/** Where copying goes on: in the histories of the range, or, when those are done, in the capture log. */
export type Bookmark =
  | { readonly kind: 'backfill'; readonly next: NonNullable<BackfillPage['next']> }
  | { readonly kind: 'capture'; readonly from: CapturePoint };

/** Encodes a bookmark. */
export function encodeBookmark(bookmark: Bookmark): Buffer {
  const writer = new ByteWriter(64).u8(CODEC).u8(bookmark.kind === 'backfill' ? 0 : 1);
  if (bookmark.kind === 'capture') return writer.u53(bookmark.from.index).u53(bookmark.from.position).finish();
  const { start, after } = bookmark.next;
  writer.bytes(start).u8(after === undefined ? 0 : 1);
  return (after === undefined ? writer : writer.u64(after)).finish();
}

/** The place that a destination's bookmark names; an empty one is the beginning of the job's range. @throws CatalogCorruptError */
export function decodeBookmark(bytes: Buffer, job: Pick<JobRow, 'start'>): Bookmark {
  if (bytes.length === 0) return { kind: 'backfill', next: { start: job.start, after: undefined } };
  const reader = new ByteReader(bytes, 'a bookmark of a move', CatalogCorruptError);
  reader.version(CODEC);
  if (reader.flag()) return { kind: 'capture', from: { index: reader.u53(), position: reader.u53() } };
  return { kind: 'backfill', next: { start: reader.bytes(), after: reader.flag() ? reader.timestamp() : undefined } };
}

/** What the activation needs beside fence and epoch. */
export interface ReleaseNotes {
  readonly gcThreshold: HlcTimestamp;
  /** Imports that the destination must have applied. */
  readonly imports: number;
}

/** Encodes the notes for the job's row. */
export const encodeReleaseNotes = ({ gcThreshold, imports }: ReleaseNotes): Buffer =>
  new ByteWriter(24).u8(CODEC).u64(gcThreshold).u53(imports).finish();

/** @throws CatalogCorruptError */
export function decodeReleaseNotes(bytes: Buffer): ReleaseNotes {
  const reader = new ByteReader(bytes, 'a note of a release', CatalogCorruptError);
  reader.version(CODEC);
  return { gcThreshold: reader.timestamp(), imports: reader.u53() };
}
