/**
 * The window of appends that were sent to one peer and not acknowledged yet, bounded by messages and by bytes. A ring of
 * the last index of each message, so that an acknowledgement frees everything up to it.
 */
import { assert, type LogIndex } from '../../platform/index.ts';

export class Inflights {
  private readonly maxMessages: number;
  private readonly maxBytes: number;
  /** Last index and payload bytes of each message, oldest at `head`; grows to `maxMessages` only when needed. */
  private lastIndexes: number[] = [];
  private sizes: number[] = [];
  private head = 0;
  private count = 0;
  private bytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    assert(maxMessages >= 1 && maxBytes >= 1, 'an inflight window must hold at least one message');
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  /** True when nothing more may be sent. One message may overshoot the byte bound, so that a large entry can pass. */
  isFull(): boolean {
    return this.count >= this.maxMessages || this.bytes >= this.maxBytes;
  }

  messageCount(): number {
    return this.count;
  }

  add(lastIndex: LogIndex, bytes: number): void {
    assert(!this.isFull(), 'an append was sent into a full window');
    if (this.count === this.lastIndexes.length) this.grow();
    const slot = (this.head + this.count) % this.lastIndexes.length;
    this.lastIndexes[slot] = lastIndex;
    this.sizes[slot] = bytes;
    this.count++;
    this.bytes += bytes;
  }

  /** Frees every message whose last index is at most `index`. */
  freeUpTo(index: LogIndex): void {
    while (this.count > 0 && this.lastIndexes[this.head]! <= index) {
      this.bytes -= this.sizes[this.head]!;
      this.head = (this.head + 1) % this.lastIndexes.length;
      this.count--;
    }
  }

  clear(): void {
    this.head = 0;
    this.count = 0;
    this.bytes = 0;
  }

  private grow(): void {
    const capacity = Math.min(Math.max(4, this.lastIndexes.length * 2), this.maxMessages);
    const lastIndexes = new Array<number>(capacity).fill(0);
    const sizes = new Array<number>(capacity).fill(0);
    for (let position = 0; position < this.count; position++) {
      const slot = (this.head + position) % this.lastIndexes.length;
      lastIndexes[position] = this.lastIndexes[slot]!;
      sizes[position] = this.sizes[slot]!;
    }
    this.lastIndexes = lastIndexes;
    this.sizes = sizes;
    this.head = 0;
  }
}
