/**
 * The manifest of a copy: what it is of, and each segment with its hash. A text that people can read, one line of JSON, and
 * behind it a line with the sha-256 of the first:
 *
 *   {"format":1,"storeFormat":2,"appliedIndex":..,"about":{..},"segments":[..],"rows":..,"bytes":..,"rawBytes":..}
 *   sha256:<hex>
 *
 * A manifest that can be seen is complete: it is written last, and names everything.
 */
import { createHash } from 'node:crypto';
import type { LogIndex } from '../../platform/index.ts';
import { CorruptSnapshotError, STORE_FORMAT } from '../rows/index.ts';

export const MANIFEST_FORMAT = 1;
const HASH_HEX = 64;
const HASH_LINE = 'sha256:';
const MAX_SEGMENTS = 1 << 20;

/** One segment of a copy. */
export interface SegmentEntry {
  /** sha-256 of the file, hexadecimal; also its name. */
  readonly sha256: string;
  readonly bytes: number;
  readonly rows: number;
  readonly rawBytes: number;
  /** First and last key of a row, hexadecimal. */
  readonly first: string;
  readonly last: string;
}

/** What JSON holds without a loss. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** What the owner of a store says of a copy; the store keeps it and does not look inside. */
export type CopyFacts = { readonly [name: string]: Json };

export interface CopyManifest {
  readonly storeFormat: number;
  readonly appliedIndex: LogIndex;
  readonly about: CopyFacts;
  /** In the order of their rows. */
  readonly segments: readonly SegmentEntry[];
  readonly rows: number;
  readonly bytes: number;
  readonly rawBytes: number;
}

/** Name of the file of a segment. */
export const segmentName = (entry: Pick<SegmentEntry, 'sha256'>): string => `${entry.sha256}.seg`;

/** Puts a manifest together. */
export function manifestOf(appliedIndex: LogIndex, about: CopyFacts, segments: readonly SegmentEntry[]): CopyManifest {
  const sum = (field: 'rows' | 'bytes' | 'rawBytes'): number =>
    segments.reduce((total, segment) => total + segment[field], 0);
  return {
    storeFormat: STORE_FORMAT,
    appliedIndex,
    about,
    segments,
    rows: sum('rows'),
    bytes: sum('bytes'),
    rawBytes: sum('rawBytes'),
  };
}

/** A line of JSON with a line that proves it. */
export function sealJson(value: Json): Buffer {
  const line = JSON.stringify(value);
  return Buffer.from(`${line}\n${HASH_LINE}${createHash('sha256').update(line).digest('hex')}\n`);
}

/**
 * The value of a line of JSON that the line behind it proves.
 * @param what names the file in the error
 * @throws CorruptSnapshotError when it is not what was written
 */
export function openJson(bytes: Buffer, what: string): Json {
  const tailBytes = HASH_LINE.length + HASH_HEX + 2;
  const line = bytes.subarray(0, Math.max(0, bytes.length - tailBytes));
  const expected = `\n${HASH_LINE}${createHash('sha256').update(line).digest('hex')}\n`;
  if (bytes.length < tailBytes || bytes.toString('latin1', line.length) !== expected) {
    throw new CorruptSnapshotError(`${what} is damaged: it does not match its checksum`);
  }
  return JSON.parse(line.toString()) as Json;
}

/** The bytes of a manifest, the same for the same copy. */
export function encodeManifest(manifest: CopyManifest): Buffer {
  return sealJson({
    format: MANIFEST_FORMAT,
    storeFormat: manifest.storeFormat,
    appliedIndex: manifest.appliedIndex,
    about: manifest.about,
    segments: manifest.segments.map(({ sha256, bytes, rows, rawBytes, first, last }) => ({
      sha256,
      bytes,
      rows,
      rawBytes,
      first,
      last,
    })),
    rows: manifest.rows,
    bytes: manifest.bytes,
    rawBytes: manifest.rawBytes,
  });
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isHex = (value: unknown): value is string => typeof value === 'string' && /^(?:[0-9a-f]{2})+$/.test(value);

function isEntry(value: unknown): value is SegmentEntry {
  const entry = value as Partial<SegmentEntry> | null;
  return (
    typeof entry === 'object' &&
    entry !== null &&
    isHex(entry.sha256) &&
    entry.sha256.length === HASH_HEX &&
    isCount(entry.bytes) &&
    isCount(entry.rows) &&
    isCount(entry.rawBytes) &&
    isHex(entry.first) &&
    isHex(entry.last)
  );
}

/**
 * Reads a manifest and checks that it can be true: known formats, segments in order without overlap, sums that add up.
 * @param what names the manifest in errors
 * @throws CorruptSnapshotError
 */
export function decodeManifest(bytes: Buffer, what: string): CopyManifest {
  const refuse = (problem: string): never => {
    throw new CorruptSnapshotError(`${what} ${problem}`);
  };
  const value = openJson(bytes, what) as unknown as CopyManifest & { readonly format?: unknown };
  if (value?.format !== MANIFEST_FORMAT) {
    return refuse(`has format ${String(value?.format)}, this version reads format ${MANIFEST_FORMAT}`);
  }
  if (value.storeFormat !== STORE_FORMAT) {
    refuse(`is of a store of format ${String(value.storeFormat)}, this version reads format ${STORE_FORMAT}`);
  }
  const { segments, about, appliedIndex } = value;
  const isShaped =
    Array.isArray(segments) && segments.length <= MAX_SEGMENTS && segments.every(isEntry) && isCount(appliedIndex);
  if (!isShaped || typeof about !== 'object' || about === null) refuse('lacks what a manifest has');
  for (const [at, segment] of segments.entries()) {
    // Hexadecimal text has the order of the bytes.
    const before = segments[at - 1];
    if (segment.first > segment.last || (before !== undefined && before.last >= segment.first)) {
      refuse(`has segment ${at} out of order`);
    }
  }
  const sums = manifestOf(appliedIndex, about, segments);
  if (sums.rows !== value.rows || sums.bytes !== value.bytes || sums.rawBytes !== value.rawBytes) {
    refuse('does not add up');
  }
  return sums;
}
