/**
 * Which keys the database may have, so that nobody looks there for a key that it does not have. The look itself is cheap, because LevelDB has filters of
 * its own; but it counts a look that goes past a table as a seek, whatever a filter said, and merges the table after a hundred or two of
 * them. A load of new keys asked for each of them once and had ten times as much merged as written.
 *
 * A database that was empty when it was opened is known from the start. Of another one nothing is known until a walk over all of its keys is through;
 * collection makes such walks, and notes what it sees. Keys that are written meanwhile are noted by whoever writes them.
 */
import { KeyFilter } from './key-filter.ts';

/** What a walk over all keys of the database tells, from its first key to its last. */
export interface KeyNotes {
  /** @param name latin-1 text of a key that has a newest version on disk */
  see(name: string): void;
  /** All were seen. */
  finish(): void;
}

/** See the top of the file. */
export class PresentKeys {
  private readonly budgetBytes: number;
  /** Undefined: nothing is known. */
  private known: KeyFilter | undefined;
  /** Of the walk that is under way. */
  private coming: KeyFilter | undefined;

  /**
   * @param budgetBytes for one filter, about; there are two while a walk is under way
   * @param isEmpty the database has no key yet
   */
  constructor(budgetBytes: number, isEmpty: boolean) {
    this.budgetBytes = budgetBytes;
    this.known = isEmpty ? new KeyFilter(budgetBytes) : undefined;
  }

  /** False is certain. @param name latin-1 text of a key */
  mayHave(name: string): boolean {
    return this.known === undefined || this.known.mayHave(name);
  }

  /** A key that was not there is going to be written. */
  add(name: string): void {
    this.known?.add(name);
    this.coming?.add(name);
  }

  /**
   * A walk over all keys begins; one that began before is forgotten.
   * @param buffered names of keys that are not on disk yet
   * @param expectedKeys about how many there are
   * @returns undefined when what is known is good enough
   */
  beginWalk(buffered: () => Iterable<string>, expectedKeys: number): KeyNotes | undefined {
    this.coming = undefined;
    if (this.known?.isCrowded === false) return undefined;
    const filter = new KeyFilter(this.budgetBytes, expectedKeys);
    for (const name of buffered()) filter.add(name);
    this.coming = filter;
    return {
      see: (name) => filter.add(name),
      finish: () => {
        if (this.coming !== filter) return;
        this.known = filter;
        this.coming = undefined;
      },
    };
  }

  /** Another database took the place of this one. */
  forget(): void {
    this.known = undefined;
    this.coming = undefined;
  }
}
