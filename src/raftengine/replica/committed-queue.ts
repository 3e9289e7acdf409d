/** Entries that are committed and not yet applied, oldest first. */
import type { Entry } from '../core/index.ts';

/** A list with a moving head: the core hands over whole arrays, applying takes them in chunks. */
export class CommittedQueue {
  private entries: readonly Entry[] = [];
  private head = 0;

  get isEmpty(): boolean {
    return this.head === this.entries.length;
  }

  push(entries: readonly Entry[]): void {
    this.entries = this.isEmpty ? entries : [...this.entries.slice(this.head), ...entries];
    this.head = 0;
  }

  /** Takes the oldest entries: at least one, then as long as neither limit is reached and none of them is a last one. */
  take(maxEntries: number, maxBytes: number, isLast: (entry: Entry) => boolean = () => false): readonly Entry[] {
    const from = this.head;
    let bytes = 0;
    while (this.head < this.entries.length && this.head - from < maxEntries && bytes < maxBytes) {
      const entry = this.entries[this.head++]!;
      bytes += entry.payload.length;
      if (isLast(entry)) break;
    }
    return this.entries.slice(from, this.head);
  }

  clear(): void {
    this.entries = [];
    this.head = 0;
  }
}
