/** What the stores of a node did since its start, over all groups: plain numbers, for whoever shows them. */
import { BucketCounts } from '../../platform/index.ts';
import type { Level } from './level.ts';

/** One level of a LevelDB, summed over databases. LevelDB itself rounds sizes to MiB and times to seconds. */
export interface LevelUse {
  readonly level: number;
  files: number;
  bytes: number;
  compactionSeconds: number;
  compactionReadBytes: number;
  compactionWrittenBytes: number;
}

const MIB = 1024 * 1024;
/** `level files size(MB) time(sec) read(MB) write(MB)` */
const STATS_ROW = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$/;

/** Counters of all stores that are opened with it. */
export class StoreActivity {
  /** Point reads of newest versions that memory answered, and those that went to the database. */
  cacheHits = 0;
  cacheMisses = 0;
  /** Rows that were asked for by key, and iterators that were opened, in the databases. */
  pointReads = 0;
  iterators = 0;
  /** Synced batches, from the call until they were stable, milliseconds: flushes and collected garbage. */
  readonly batchMs = new BucketCounts();
  failures = 0;
  /** Databases that are open. */
  readonly levels = new Set<Level>();

  /** Asks every open database what its files are; a few microseconds each. */
  levelUse(): LevelUse[] {
    const uses: LevelUse[] = [];
    for (const { property } of this.databases()) {
      for (const row of statsOf(property('leveldb.stats'))) {
        const use = useOf(uses, row.level);
        use.files += row.files;
        use.bytes += row.bytes;
        use.compactionSeconds += row.compactionSeconds;
        use.compactionReadBytes += row.compactionReadBytes;
        use.compactionWrittenBytes += row.compactionWrittenBytes;
      }
    }
    return uses.sort((left, right) => left.level - right.level);
  }

  /** Memory of the open databases as they count it: write buffers and blocks. */
  memoryBytes(): number {
    let bytes = 0;
    for (const { property } of this.databases()) bytes += Number(property('leveldb.approximate-memory-usage') ?? 0);
    return bytes;
  }

  private *databases(): Iterable<{ readonly property: (name: string) => string | undefined }> {
    for (const level of this.levels) yield { property: (name) => level.property?.(name) };
  }
}

function statsOf(text: string | undefined): LevelUse[] {
  const uses: LevelUse[] = [];
  for (const line of (text ?? '').split('\n')) {
    const match = STATS_ROW.exec(line);
    if (match === null) continue;
    const [level, files, size, seconds, read, written] = match.slice(1).map(Number);
    uses.push({
      level: level!,
      files: files!,
      bytes: size! * MIB,
      compactionSeconds: seconds!,
      compactionReadBytes: read! * MIB,
      compactionWrittenBytes: written! * MIB,
    });
  }
  return uses;
}

/** Bytes of one database's files; undefined where it cannot say. */
export function databaseBytes(level: Level): number | undefined {
  const text = level.property?.('leveldb.stats');
  return text === undefined ? undefined : statsOf(text).reduce((sum, { bytes }) => sum + bytes, 0);
}

function useOf(uses: LevelUse[], level: number): LevelUse {
  let use = uses.find((each) => each.level === level);
  if (use === undefined) {
    use = { level, files: 0, bytes: 0, compactionSeconds: 0, compactionReadBytes: 0, compactionWrittenBytes: 0 };
    uses.push(use);
  }
  return use;
}
