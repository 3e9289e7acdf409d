/** A level database whose reads and synced writes are counted; everything else is the inner one's. */
import type { Clock } from '../../platform/index.ts';
import type { StoreActivity } from './activity.ts';
import type {
  Level,
  LevelChain,
  LevelIterator,
  LevelIteratorOptions,
  LevelOperation,
  LevelSnapshot,
  OpenLevel,
} from './level.ts';

class MeasuredLevel implements Level {
  private readonly inner: Level;
  private readonly clock: Clock;
  private readonly activity: StoreActivity;

  constructor(inner: Level, clock: Clock, activity: StoreActivity) {
    this.inner = inner;
    this.clock = clock;
    this.activity = activity;
  }

  async open(): Promise<void> {
    await this.inner.open();
    this.activity.levels.add(this.inner);
  }

  close(): Promise<void> {
    this.activity.levels.delete(this.inner);
    return this.inner.close();
  }

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    this.activity.pointReads++;
    return options === undefined ? this.inner.getSync(key) : this.inner.getSync(key, options);
  }

  batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    return this.timed(options.sync, () => this.inner.batch(operations, options));
  }

  chain(): LevelChain {
    const inner = this.inner.chain();
    return {
      put: (key, value) => inner.put(key, value),
      del: (key) => inner.del(key),
      write: (options) => this.timed(options.sync, () => inner.write(options)),
    };
  }

  iterator(options: LevelIteratorOptions): LevelIterator {
    this.activity.iterators++;
    return this.inner.iterator(options);
  }

  snapshot(): LevelSnapshot {
    return this.inner.snapshot();
  }

  get doubt(): Level['doubt'] {
    return this.inner.doubt?.bind(this.inner);
  }

  get proveTrusted(): Level['proveTrusted'] {
    return this.inner.proveTrusted?.bind(this.inner);
  }

  get lend(): Level['lend'] {
    return this.inner.lend?.bind(this.inner);
  }

  async approximateBytes(start: Buffer, end: Buffer): Promise<number | undefined> {
    return this.inner.approximateBytes?.(start, end);
  }

  async compact(start: Buffer, end: Buffer): Promise<void> {
    await this.inner.compact?.(start, end);
  }

  property(name: string): string | undefined {
    return this.inner.property?.(name);
  }

  private async timed(isSynced: boolean, write: () => Promise<void>): Promise<void> {
    const startMs = this.clock.monotonicMs();
    try {
      await write();
    } catch (error) {
      this.activity.failures++;
      throw error;
    }
    if (isSynced) this.activity.batchMs.observe(this.clock.monotonicMs() - startMs);
  }
}

/** Opens databases that tell `activity` what they do. */
export const measured =
  (openLevel: OpenLevel, clock: Clock, activity: StoreActivity): OpenLevel =>
  (location) =>
    new MeasuredLevel(openLevel(location), clock, activity);
