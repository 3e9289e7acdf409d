/** A transaction that only reads, as adapters hold transactions. It locks nothing, and nobody can make it fail. */
import { type ErrorDisposition, type HlcTimestamp, KvorumError, type Millis } from '../../platform/index.ts';
import type { KvTransaction, LiveValue, ScanPage, ScanRequest } from '../contract/index.ts';
import type { ReadSnapshot } from './snapshot.ts';

/** A read of it looks for a leader no longer than this. */
const READ_TIMEOUT_MS: Millis = 5_000;

/** A write in a transaction that was begun to read. */
export class ReadOnlyError extends KvorumError {
  readonly code = 'READ_ONLY';
  readonly disposition: ErrorDisposition = 'final';
}

export class SnapshotTransaction implements KvTransaction {
  readonly id: Buffer;
  readonly snapshot: ReadSnapshot;
  private readonly clock: { monotonicMs(): Millis };

  /** @param id 16 bytes, unlike those of any other @param snapshot one whose timestamp is fixed */
  constructor(id: Buffer, snapshot: ReadSnapshot, clock: { monotonicMs(): Millis }) {
    this.id = id;
    this.snapshot = snapshot;
    this.clock = clock;
  }

  get startTs(): HlcTimestamp {
    return this.snapshot.ts;
  }

  get seenTs(): HlcTimestamp {
    return this.snapshot.ts;
  }

  private deadlineMs(): Millis {
    return this.clock.monotonicMs() + READ_TIMEOUT_MS;
  }

  async get(key: Buffer): Promise<LiveValue | undefined> {
    return (await this.snapshot.get([key], this.deadlineMs()))[0];
  }

  scan(request: ScanRequest): Promise<ScanPage> {
    return this.snapshot.scan(request, this.deadlineMs());
  }

  /** @throws ReadOnlyError always */
  put(): never {
    throw new ReadOnlyError('the transaction was begun to read only');
  }

  /** @throws ReadOnlyError always */
  delete(): never {
    throw new ReadOnlyError('the transaction was begun to read only');
  }

  /** @returns what was read at */
  commit(): Promise<HlcTimestamp> {
    this.snapshot.release();
    return Promise.resolve(this.startTs);
  }

  rollback(): Promise<void> {
    this.snapshot.release();
    return Promise.resolve();
  }
}
