/**
 * Rows of a simulated database in the order of their keys: a list of short sorted chunks. A frozen view costs nothing to
 * take; afterwards each chunk is copied before it changes for the first time.
 */
import type { LevelIterator, LevelIteratorOptions, LevelOperation } from './level.ts';

/** A chunk that grows beyond this many rows is cut in two. */
const MAX_CHUNK_ROWS = 256;

interface Chunk {
  readonly keys: Buffer[];
  readonly values: Buffer[];
  /** It belongs to views of earlier epochs, too, while this lies behind that of the rows. */
  readonly epoch: number;
}

/** Rows as they were at one moment. Chunks are in order and none is empty. */
export interface FrozenRows {
  readonly chunks: readonly Chunk[];
}

/** The place of the first row at or after a key. */
interface Place {
  readonly chunk: number;
  readonly row: number;
}

/** See the top of the file. */
export class SimulatedRows implements FrozenRows {
  chunks: Chunk[] = [];
  private epoch = 0;
  private areChunksShared = false;

  /** The rows of a view, to be changed apart from those that it was taken of. */
  static from({ chunks }: FrozenRows): SimulatedRows {
    const rows = new SimulatedRows();
    rows.chunks = chunks.slice();
    // Every chunk is the view's, too.
    rows.epoch = 1 + chunks.reduce((newest, { epoch }) => Math.max(newest, epoch), 0);
    return rows;
  }

  /** A view that later changes do not touch. */
  freeze(): FrozenRows {
    this.epoch += 1;
    this.areChunksShared = true;
    return { chunks: this.chunks };
  }

  /** Makes changes in their order. @returns what undoes them, in the order to be undone in */
  apply(operations: readonly LevelOperation[]): LevelOperation[] {
    const undo: LevelOperation[] = [];
    for (const operation of operations) undo.push(this.applyOne(operation));
    return undo.reverse();
  }

  private applyOne(operation: LevelOperation): LevelOperation {
    const { key } = operation;
    const { chunk: at, row } = seek(this.chunks, key);
    const found = this.chunks[at];
    const isThere = found !== undefined && row < found.keys.length && found.keys[row]!.equals(key);
    const undo: LevelOperation = isThere ? { type: 'put', key, value: found.values[row]! } : { type: 'del', key };
    if (operation.type === 'put') {
      const { keys, values } = this.own(at);
      if (isThere) values[row] = operation.value;
      else {
        keys.splice(row, 0, key);
        values.splice(row, 0, operation.value);
        if (keys.length > MAX_CHUNK_ROWS) this.cut(at);
      }
    } else if (isThere) {
      const { keys, values } = this.own(at);
      keys.splice(row, 1);
      values.splice(row, 1);
      if (keys.length === 0) this.chunks.splice(at, 1);
    }
    return undo;
  }

  /** A chunk that may be changed, made when there is none. */
  private own(at: number): Chunk {
    if (this.areChunksShared) {
      this.chunks = this.chunks.slice();
      this.areChunksShared = false;
    }
    const { epoch } = this;
    const chunk = this.chunks[at];
    if (chunk?.epoch === epoch) return chunk;
    const own = { keys: chunk?.keys.slice() ?? [], values: chunk?.values.slice() ?? [], epoch };
    this.chunks[at] = own;
    return own;
  }

  private cut(at: number): void {
    const { keys, values, epoch } = this.chunks[at]!;
    const middle = keys.length >>> 1;
    this.chunks.splice(at + 1, 0, { keys: keys.splice(middle), values: values.splice(middle), epoch });
  }
}

/** The value of a key. */
export function rowOf({ chunks }: FrozenRows, key: Buffer): Buffer | undefined {
  const { chunk: at, row } = seek(chunks, key);
  const chunk = chunks[at];
  return chunk !== undefined && row < chunk.keys.length && chunk.keys[row]!.equals(key) ? chunk.values[row] : undefined;
}

/** The last chunk that begins at or before a key, and the first row in it that is not before the key, or its end. */
function seek(chunks: readonly Chunk[], key: Buffer): Place {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(chunks[middle]!.keys[0]!, key) <= 0) low = middle + 1;
    else high = middle;
  }
  const chunk = Math.max(0, low - 1);
  const keys = chunks[chunk]?.keys ?? [];
  low = 0;
  high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return { chunk, row: low };
}

/** Reads a frozen view from one end to the other. */
export class RowIterator implements LevelIterator {
  private readonly chunks: readonly Chunk[];
  private readonly isReverse: boolean;
  private readonly gte: Buffer | undefined;
  private readonly lt: Buffer | undefined;
  private left: number;
  private chunk: number;
  private row: number;

  constructor(view: FrozenRows, { gte, lt, reverse = false, limit = -1 }: LevelIteratorOptions) {
    const { chunks } = view;
    this.chunks = chunks;
    this.gte = gte;
    this.lt = lt;
    this.isReverse = reverse;
    this.left = limit < 0 ? Infinity : limit;
    const end = { chunk: chunks.length, row: 0 };
    const from = reverse
      ? lt === undefined
        ? end
        : seek(chunks, lt)
      : gte === undefined
        ? NOWHERE
        : seek(chunks, gte);
    this.chunk = from.chunk;
    // In reverse the place is that behind the next row.
    this.row = from.row;
  }

  nextv(size: number): Promise<[Buffer, Buffer][]> {
    const rows: [Buffer, Buffer][] = [];
    for (; rows.length < size && this.left > 0; this.left--) {
      const row = this.isReverse ? this.before() : this.after();
      if (row === undefined) break;
      rows.push(row);
    }
    return Promise.resolve(rows);
  }

  close(): Promise<void> {
    this.left = 0;
    return Promise.resolve();
  }

  private after(): [Buffer, Buffer] | undefined {
    for (; this.chunk < this.chunks.length; this.chunk++, this.row = 0) {
      const { keys, values } = this.chunks[this.chunk]!;
      if (this.row === keys.length) continue;
      const key = keys[this.row]!;
      if (this.lt !== undefined && Buffer.compare(key, this.lt) >= 0) return undefined;
      return [key, values[this.row++]!];
    }
    return undefined;
  }

  private before(): [Buffer, Buffer] | undefined {
    while (this.row === 0) {
      if (this.chunk === 0) return undefined;
      this.chunk -= 1;
      this.row = this.chunks[this.chunk]!.keys.length;
    }
    const { keys, values } = this.chunks[this.chunk]!;
    const key = keys[this.row - 1]!;
    if (this.gte !== undefined && Buffer.compare(key, this.gte) < 0) return undefined;
    this.row -= 1;
    return [key, values[this.row]!];
  }
}

const NOWHERE: Place = { chunk: 0, row: 0 };
