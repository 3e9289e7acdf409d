/**
 * A level database whose rows prove themselves: every value ends with a checksum over its row's key and itself. LevelDB does
 * not verify its blocks when it reads them, so without this a byte that flipped on disk would be served as data.
 */
import { CHECKSUM_BYTES, CorruptStoreError, openRow, sealedBytes, sealInto, sealRow } from '../rows/index.ts';
import type { Level, LevelChain, LevelIterator, LevelIteratorOptions, LevelOperation, LevelSnapshot } from './level.ts';

/** Seals rows on their way in and checks them on their way out; all else is left to the database inside. */
export class CheckedLevel implements Level {
  private readonly level: Level;
  private readonly location: string;
  private readonly onDamage: (error: CorruptStoreError) => void;

  /** @param onDamage told before the read fails: who asked may not be who has to stop */
  constructor(level: Level, location: string, onDamage: (error: CorruptStoreError) => void) {
    this.level = level;
    this.location = location;
    this.onDamage = onDamage;
  }

  /** Does not return: fails with what the error of a read means. */
  private readonly refuse = (error: unknown): never => {
    const failure = readFailure(this.location, error);
    if (failure instanceof CorruptStoreError) {
      this.level.doubt?.();
      this.onDamage(failure);
    }
    throw failure;
  };

  open(): Promise<void> {
    return this.level.open();
  }

  close(): Promise<void> {
    return this.level.close();
  }

  /** @throws CorruptStoreError when the row is not what was written, or LevelDB itself notices damage */
  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    try {
      const row = options === undefined ? this.level.getSync(key) : this.level.getSync(key, options);
      return row === undefined ? undefined : openRow(key, row, this.location);
    } catch (error) {
      return this.refuse(error);
    }
  }

  batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    const sealed = operations.map((operation): LevelOperation => {
      if (operation.type === 'del') return operation;
      return { type: 'put', key: operation.key, value: sealRow(operation.key, operation.value) };
    });
    return this.level.batch(sealed, options);
  }

  chain(): LevelChain {
    return new CheckedChain(this.level.chain());
  }

  iterator(options: LevelIteratorOptions): LevelIterator {
    return new CheckedIterator(this.level.iterator(options), this.location, this.refuse);
  }

  snapshot(): LevelSnapshot {
    return this.level.snapshot();
  }

  get proveTrusted(): Level['proveTrusted'] {
    const { level } = this;
    if (level.proveTrusted === undefined) return undefined;
    return (pause) => level.proveTrusted!(pause).catch(this.refuse);
  }

  get lend(): Level['lend'] {
    return this.level.lend?.bind(this.level);
  }

  property(name: string): string | undefined {
    return this.level.property?.(name);
  }

  async compact(start: Buffer, end: Buffer): Promise<void> {
    await this.level.compact?.(start, end);
  }

  async approximateBytes(start: Buffer, end: Buffer): Promise<number | undefined> {
    return this.level.approximateBytes?.(start, end);
  }
}

/** Room for most rows; longer ones get more. */
const SCRATCH_BYTES = 4096;

/** How a row lies in `scratch`: views of its parts. */
class Division {
  readonly keyBytes: number;
  readonly bytes: number;
  readonly key: Buffer;
  readonly content: Buffer;
  readonly sealed: Buffer;

  constructor(scratch: Buffer, keyBytes: number, bytes: number) {
    this.keyBytes = keyBytes;
    this.bytes = bytes;
    this.key = scratch.subarray(0, keyBytes);
    this.content = scratch.subarray(0, bytes - CHECKSUM_BYTES);
    this.sealed = scratch.subarray(keyBytes, bytes);
  }
}

class CheckedChain implements LevelChain {
  private readonly chain: LevelChain;
  /** Key, value and checksum of the row that is being put. */
  private scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  /**
   * Most rows are as long as the one before them or, where those of newest and of older versions take turns, as the one before that; and making
   * views costs as much as copying the row.
   */
  private division = new Division(this.scratch, 0, CHECKSUM_BYTES);
  private before = this.division;

  constructor(chain: LevelChain) {
    this.chain = chain;
  }

  put(key: Buffer, value: Buffer): void {
    const bytes = sealedBytes(key, value);
    const { division } = this;
    const isSame = key.length === division.keyBytes && bytes === division.bytes;
    const { key: keyPart, content, sealed } = isSame ? division : this.divide(key.length, bytes);
    sealInto(this.scratch, content, key, value);
    this.chain.put(keyPart, sealed);
  }

  private divide(keyBytes: number, bytes: number): Division {
    const { before } = this;
    this.before = this.division;
    if (keyBytes === before.keyBytes && bytes === before.bytes) {
      this.division = before;
      return before;
    }
    if (this.scratch.length < bytes) {
      this.scratch = Buffer.allocUnsafe(bytes);
      this.before = new Division(this.scratch, 0, CHECKSUM_BYTES);
    }
    this.division = new Division(this.scratch, keyBytes, bytes);
    return this.division;
  }

  del(key: Buffer): void {
    this.chain.del(key);
  }

  write(options: { readonly sync: boolean }): Promise<void> {
    return this.chain.write(options);
  }
}

class CheckedIterator implements LevelIterator {
  private readonly iterator: LevelIterator;
  private readonly location: string;
  private readonly refuse: (error: unknown) => never;

  constructor(iterator: LevelIterator, location: string, refuse: (error: unknown) => never) {
    this.iterator = iterator;
    this.location = location;
    this.refuse = refuse;
  }

  async nextv(size: number): Promise<[Buffer, Buffer][]> {
    try {
      const page = await this.iterator.nextv(size);
      for (const row of page) row[1] = openRow(row[0], row[1], this.location);
      return page;
    } catch (error) {
      return this.refuse(error);
    }
  }

  close(): Promise<void> {
    return this.iterator.close();
  }
}

/** LevelDB's own word for damage becomes the store's. */
function readFailure(location: string, error: unknown): unknown {
  if (error instanceof CorruptStoreError) return error;
  if (!(error instanceof Error) || !/corrupt/i.test(`${(error as { code?: unknown }).code} ${error.message}`))
    return error;
  return new CorruptStoreError(location, `is damaged: ${error.message}`, { cause: error });
}
