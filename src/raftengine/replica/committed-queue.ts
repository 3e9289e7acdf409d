/** Entries that are committed and not yet applied, oldest first. */
import type { Entry } from '../core/index.ts';

/** A list with a moving head: the core hands over whole arrays, applying takes them in chunks. */
export class CommittedQueue {
  private entries: readonly Entry[] = [];
  private head = 0;

  get isEmpty(): boolean {
    return this.head === this.entries.length;
  }

  /** The oldest; undefined when there is none. */
  get first(): Entry | undefined {
    return this.entries[this.head];
  }

  push(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.entries = this.isEmpty ? entries : [...this.entries.slice(this.head), ...entries];
    this.head = 0;
  }

  /**
   * Takes the oldest entries: at least one, then as long as neither limit is reached and none of them is a last one.
   * @param aloneFromBytes an entry of such a payload is taken alone
   */
  take(
    maxEntries: number,
    maxBytes: number,
    isLast: (entry: Entry) => boolean = () => false,
    aloneFromBytes = Number.POSITIVE_INFINITY,
  ): readonly Entry[] {
    const from = this.head;
    let bytes = 0;
    while (this.head < this.entries.length && this.head - from < maxEntries && bytes < maxBytes) {
      const entry = this.entries[this.head]!;
      const isAlone = entry.payload.length >= aloneFromBytes;
      if (isAlone && this.head > from) break;
      this.head++;
      bytes += entry.payload.length;
      if (isAlone || isLast(entry)) break;
    }
    return this.entries.slice(from, this.head);
  }

  clear(): void {
    this.entries = [];
    this.head = 0;
  }
}
