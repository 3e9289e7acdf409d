/** Rows of segments into an empty database, in large synced batches that ascend. */
import type { Disk } from '../../platform/index.ts';
import type { Level, LevelChain } from '../level/index.ts';
import { CorruptSnapshotError, RowKind } from '../rows/index.ts';
import type { BlockCompression } from './compression.ts';
import type { CopyManifest, SegmentEntry } from './manifest.ts';
import { readSegment } from './reader.ts';

const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(RowKind));
/** Each batch is a sync: few and large. */
const BATCH_BYTES = 4 << 20;

export interface IngestOptions {
  readonly disk: Disk;
  readonly compression: BlockCompression;
  readonly pathOf: (segment: SegmentEntry) => string;
  /** Told of a segment whose file is not what it has to be, before the error is thrown. */
  readonly onDamaged?: (segment: SegmentEntry) => Promise<void>;
  /** Asked between pages. @throws when nobody wants the copy any more */
  readonly assertWanted?: () => void;
}

/**
 * Proves every segment of a copy and writes its rows. Synced batch by batch: LevelDB may lose an older unsynced log file and
 * keep a newer one.
 * @throws CorruptSnapshotError that names the file; the database is then worthless
 */
export async function ingestSegments(level: Level, manifest: CopyManifest, options: IngestOptions): Promise<void> {
  const sink = new BatchSink(level);
  try {
    for (const segment of manifest.segments) {
      try {
        const pages = readSegment(options.disk, options.pathOf(segment), segment, options.compression);
        for await (const page of pages) {
          options.assertWanted?.();
          for (const [key, value] of page) {
            if (!KNOWN_KINDS.has(key[0]!)) {
              throw new CorruptSnapshotError(
                `${options.pathOf(segment)} holds a row of unknown kind ${key[0]}; use the version that wrote it`,
              );
            }
            sink.put(key, value);
          }
          await sink.writeWhenFull();
        }
      } catch (error) {
        if (error instanceof CorruptSnapshotError) await options.onDamaged?.(segment);
        throw error;
      }
    }
    await sink.end();
  } catch (error) {
    await sink.settle();
    throw error;
  }
}

/** Fills one batch while the one before is written. */
class BatchSink {
  private readonly level: Level;
  private chain: LevelChain | undefined;
  private bytes = 0;
  private writing: Promise<void> = Promise.resolve();

  constructor(level: Level) {
    this.level = level;
  }

  put(key: Buffer, value: Buffer): void {
    this.chain ??= this.level.chain();
    this.chain.put(key, value);
    this.bytes += key.length + value.length;
  }

  async writeWhenFull(): Promise<void> {
    if (this.bytes >= BATCH_BYTES) await this.write();
  }

  private async write(): Promise<void> {
    const { chain } = this;
    if (chain === undefined) return;
    this.chain = undefined;
    this.bytes = 0;
    await this.writing;
    this.writing = chain.write({ sync: true });
    // Whoever awaits it next hears of the failure.
    this.writing.catch(() => {});
  }

  async end(): Promise<void> {
    await this.write();
    await this.writing;
  }

  /** No batch is under way any more. */
  async settle(): Promise<void> {
    await this.writing.catch(() => {});
  }
}
