/**
 * A copy of a store on its way out: segments in a folder beside the store, cut from a snapshot of the database while the
 * store goes on.
 */
import { assert, type Disk, type LogIndex } from '../../platform/index.ts';
import { type Level, type LevelIterator, type LevelSnapshot, loadMeta } from '../level/index.ts';
import { decodeSystemState, SYSTEM_KEY } from '../rows/index.ts';
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

/** What is cut, and where to. */
export interface CutWork {
  /** A flushed store. */
  readonly level: Level;
  /** Of the store. */
  readonly location: string;
  /** Exists, and is this cut's alone. */
  readonly folder: string;
  readonly limits: SegmentLimits;
}

/** Of which moment a cut is. */
export interface CutState {
  readonly appliedIndex: LogIndex;
  readonly meta: ReadonlyMap<string, Buffer>;
}

/** Who cuts: this thread, or one beside it. */
export interface SegmentCutter {
  /**
   * Writes all rows as of a moment not before the call.
   * @param onState told once, before the work; what it throws ends the work
   * @param isOver asked between pages: an error gives the work up
   * @returns the segments, in the order of their rows
   * @throws what reading or writing failed with; files may be left behind
   */
  cut(work: CutWork, onState: (state: CutState) => void, isOver: () => Error | undefined): Promise<SegmentEntry[]>;
}

export interface CutOptions extends CutWork {
  readonly disk: Disk;
  readonly cutter: SegmentCutter;
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
 * Cuts a copy of all rows as of a moment not before the call.
 * @throws what reading or writing failed with; nothing is left behind
 */
export async function cutStore(options: CutOptions, isOver: () => Error | undefined): Promise<StoreCut> {
  const { disk, folder, cutter, describe } = options;
  const close = (): Promise<void> => disk.remove(folder);
  let about: { readonly appliedIndex: LogIndex; readonly facts: CopyFacts } | undefined;
  const onState = ({ appliedIndex, meta }: CutState): void => {
    about = { appliedIndex, facts: describe((name) => meta.get(name), appliedIndex) };
  };
  try {
    await disk.remove(folder);
    await disk.makeFolder(folder);
    const segments = await cutter.cut(options, onState, isOver);
    assert(about !== undefined, 'who cuts says of which moment');
    const pathOf = (segment: SegmentEntry): string => `${folder}/${segmentName(segment)}`;
    return {
      manifest: manifestOf(about.appliedIndex, about.facts, segments),
      pathOf,
      frames: (segment) => readFrames(disk, pathOf(segment), segment.bytes, FRAME_BYTES),
      close,
    };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}

/** Cuts in the calling thread, spread over turns of its event loop: a page of rows, a block, a piece of a file at a time. */
export class InlineCutter implements SegmentCutter {
  private readonly disk: Disk;
  private readonly compression: BlockCompression;

  constructor(disk: Disk, compression: BlockCompression) {
    this.disk = disk;
    this.compression = compression;
  }

  async cut(
    { level, location, folder, limits }: CutWork,
    onState: (state: CutState) => void,
    isOver: () => Error | undefined,
  ): Promise<SegmentEntry[]> {
    const { disk, compression } = this;
    const snapshot = level.snapshot();
    try {
      onState({ appliedIndex: appliedIndexOf(level, snapshot, location), meta: await loadMeta(level, snapshot) });
      const writer = new SegmentWriter({ disk, folder, compression, limits, durable: false });
      return await writeAll(level, snapshot, writer, isOver);
    } finally {
      await snapshot.close();
    }
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
