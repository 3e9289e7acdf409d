/**
 * What work with a key has found by what it has read: rows of collections, keys that a script computes. Work on the same key mostly finds the same, and reads
 * it in its first round instead of one round after the other. Nothing but time depends on it: what is read and not used counts for nothing.
 */
import { nameOf } from '../apply/index.ts';

/** Keys that are remembered, those used last. */
const MAX_ENTRIES = 256;
/** Keys that are read at once for what earlier work has found; it may have found many that nobody will look at again. */
const MAX_FOUND = 64;

/** One a node. */
export class FoundKeys {
  private readonly entries = new Map<string, readonly Buffer[]>();

  /** @param named what the work names */
  of(named: readonly Buffer[]): readonly Buffer[] {
    const [first] = named;
    return (first && this.entries.get(nameOf(first))) ?? [];
  }

  /** @param used what it has read, in its order */
  note(named: readonly Buffer[], used: readonly Buffer[]): void {
    const [first] = named;
    if (first === undefined) return;
    const names = new Set(named.map(nameOf));
    const found = used.filter((key) => !names.has(nameOf(key)));
    const name = nameOf(first);
    this.entries.delete(name);
    if (found.length === 0) return;
    this.entries.set(name, found.slice(0, MAX_FOUND));
    if (this.entries.size <= MAX_ENTRIES) return;
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      return;
    }
  }
}
