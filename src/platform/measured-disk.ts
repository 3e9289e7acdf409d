/** A disk that counts what is written durably: how long each write took to be stable, and what failed. */
import { BucketCounts } from './bucket-counts.ts';
import type { Clock } from './clock.ts';
import type { Disk, DiskFile, DiskOpenOptions } from './disk.ts';
import { PassingDisk } from './passing-disk.ts';
import type { Millis } from './types.ts';

/** What a disk did since the start. */
export class DiskCounters {
  /** Durable writes, from the call until the bytes were stable, milliseconds. */
  readonly writeMs = new BucketCounts();
  writtenBytes = 0;
  failures = 0;
  /** Whether the newest durable write succeeded; true before the first. */
  isWritable = true;
}

/** See the top of the file. Everything else is the inner disk's. */
export class MeasuredDisk extends PassingDisk {
  readonly counters = new DiskCounters();
  /** Told of each durable write how long it took. */
  onWrite: (tookMs: Millis) => void = () => {};
  private readonly clock: Clock;

  constructor(inner: Disk, clock: Clock) {
    super(inner);
    this.clock = clock;
  }

  async open(path: string, options?: DiskOpenOptions): Promise<DiskFile> {
    const file = await this.inner.open(path, options);
    return options?.durable === true
      ? new MeasuredFile(file, this.clock, this.counters, (tookMs) => this.onWrite(tookMs))
      : file;
  }
}

class MeasuredFile implements Required<DiskFile> {
  private readonly inner: DiskFile;
  private readonly clock: Clock;
  private readonly counters: DiskCounters;
  private readonly written: (tookMs: Millis) => void;

  constructor(inner: DiskFile, clock: Clock, counters: DiskCounters, written: (tookMs: Millis) => void) {
    this.inner = inner;
    this.clock = clock;
    this.counters = counters;
    this.written = written;
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    const { clock, counters } = this;
    const startMs = clock.monotonicMs();
    try {
      await this.inner.write(bytes, position);
    } catch (error) {
      counters.failures++;
      counters.isWritable = false;
      throw error;
    }
    counters.isWritable = true;
    const tookMs = clock.monotonicMs() - startMs;
    counters.writeMs.observe(tookMs);
    this.written(tookMs);
    counters.writtenBytes += bytes.length;
  }

  sync(): Promise<void> {
    return this.inner.sync();
  }

  read(position: number, length: number): Promise<Buffer> {
    return this.inner.read(position, length);
  }

  readSync(position: number, length: number): Buffer {
    return this.inner.readSync(position, length);
  }

  size(): Promise<number> {
    return this.inner.size();
  }

  truncate(length: number): Promise<void> {
    return this.inner.truncate(length);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
