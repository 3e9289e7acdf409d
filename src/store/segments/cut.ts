/**
 * A copy of a store on its way out: segments in a folder beside the store, cut from a snapshot of the database while the
 * store goes on. The work is spread over turns of the event loop: a page of rows, a block, a piece of a file at a time.
 */
import type { Disk, LogIndex } from '../../platform/index.ts';
import { decodeSystemState, RowKind, SYSTEM_KEY } from '../codec.ts';
import type { Level, LevelIterator, LevelSnapshot } from '../level.ts';
import type { BlockCompression } from './compression.ts';
import { type CopyFacts, type CopyManifest, manifestOf, type SegmentEntry, segmentName } from './manifest.ts';
import { readFrames } from './reader.ts';
import { type SegmentLimits, SegmentWriter } from './writer.ts';

const ROWS_AT_ONCE = 256;
/** Little enough that a page is taken over in less than a millisecond. */
const READ_AHEAD_BYTES = 128 << 10;
/** Longest frame of a segment. */
export const FRAME_BYTES = 512 << 10;

/** Small named values as of a copy. */
export type MetaOf = (name: string) => Buffer | undefined;

export interface CutOptions {
  readonly disk: Disk;
  /** Made, and removed by `close`. */
  readonly folder: string;
  readonly compression: BlockCompression;
  readonly limits: SegmentLimits;
  /** What the owner says of the copy, from the values in it. */
  readonly describe: (meta: MetaOf, appliedIndex: LogIndex) => CopyFacts;
}

/** A copy that is complete. */
export interface StoreCut {
  readonly manifest: CopyManifest;
  /** The file of a segment. */
  pathOf(segment: SegmentEntry): string;
  /** Its bytes, in frames of at most `FRAME_BYTES`. */
  frames(segment: SegmentEntry): AsyncIterable<Buffer>;
  /** Deletes the files. */
  close(): Promise<void>;
}

/**
 * Cuts a copy of all rows as of the moment of the call.
 * @param level a flushed store
 * @param location for errors
 * @param isOver asked between pages: true gives the work up
 * @throws what reading or writing failed with; nothing is left behind
 */
export async function cutStore(
  level: Level,
  location: string,
  options: CutOptions,
  isOver: () => Error | undefined,
): Promise<StoreCut> {
  const { disk, folder, compression, limits } = options;
  const snapshot = level.snapshot();
  const close = (): Promise<void> => disk.remove(folder);
  try {
    const appliedIndex = appliedIndexOf(level, snapshot, location);
    const about = options.describe(
      (name) => level.getSync(Buffer.from(`${String.fromCharCode(RowKind.Meta)}${name}`, 'utf8'), { snapshot }),
      appliedIndex,
    );
    await disk.remove(folder);
    await disk.makeFolder(folder);
    const writer = new SegmentWriter({ disk, folder, compression, limits, durable: false });
    const segments = await writeAll(level, snapshot, writer, isOver);
    const pathOf = (segment: SegmentEntry): string => `${folder}/${segmentName(segment)}`;
    return {
      manifest: manifestOf(appliedIndex, about, segments),
      pathOf,
      frames: (segment) => readFrames(disk, pathOf(segment), segment.bytes, FRAME_BYTES),
      close,
    };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  } finally {
    await snapshot.close();
  }
}

function appliedIndexOf(level: Level, snapshot: LevelSnapshot, location: string): LogIndex {
  const row = level.getSync(SYSTEM_KEY, { snapshot });
  return row === undefined ? 0 : decodeSystemState(row, location).appliedIndex;
}

async function writeAll(
  level: Level,
  snapshot: LevelSnapshot,
  writer: SegmentWriter,
  isOver: () => Error | undefined,
): Promise<SegmentEntry[]> {
  const iterator: LevelIterator = level.iterator({ snapshot, highWaterMarkBytes: READ_AHEAD_BYTES });
  try {
    for (;;) {
      const over = isOver();
      if (over !== undefined) throw over;
      const page = await iterator.nextv(ROWS_AT_ONCE);
      if (page.length === 0) return await writer.finish();
      await writer.add(page);
    }
  } catch (error) {
    await writer.abandon();
    throw error;
  } finally {
    await iterator.close();
  }
}
