/**
 * Names of the keys of a generation that begin with one byte: each adapter's keys do, and those of the catalog. Who looks for one of them, or walks over
 * some, does not pay for sorting those of everybody else, which may be a hundred times as many.
 */

import { NameMap } from '../rows/index.ts';

/** Names that are made known to look-ups in one turn, some five milliseconds. */
const NAMED_AT_ONCE = 4_096;
/** Names that are sorted in one turn, as long. */
const SORTED_AT_ONCE = 4_096;
/** Longest run of sorted names: to merge two of half the length takes as long. A generation of the usual size has a few. */
const MAX_RUN = 32_768;

/** See the top of the file. */
export class TaggedNames {
  private readonly list: readonly { readonly name: string }[];
  /** Where the keys are in `list`, in the order in which they were first written. */
  private readonly slots: number[] = [];
  /** Slots of the first `named` of them, for `slotOf`. */
  private readonly byName = new NameMap<number>();
  private named = 0;
  /** Under way, for all who wait. */
  private naming: Promise<void> | undefined;
  /** Of the first `sortedCount` names, each sorted. */
  private runs: (readonly string[])[] = [];
  private sortedCount = 0;

  /** @param list of the generation */
  constructor(list: readonly { readonly name: string }[]) {
    this.list = list;
  }

  add(slot: number): void {
    this.slots.push(slot);
  }

  get count(): number {
    return this.slots.length;
  }

  /** Whether the next look-up would take longer than a turn should. */
  get areManyUnnamed(): boolean {
    return this.slots.length - this.named > NAMED_AT_ONCE;
  }

  /** Makes the names that there are known to `slotOf`, over many turns. */
  nameAll(nextTurn: () => Promise<void>): Promise<void> {
    this.naming ??= this.nameInSlices(nextTurn).finally(() => {
      this.naming = undefined;
    });
    return this.naming;
  }

  private async nameInSlices(nextTurn: () => Promise<void>): Promise<void> {
    for (const count = this.slots.length; this.named < count; ) {
      this.nameUpTo(Math.min(count, this.named + NAMED_AT_ONCE));
      if (this.named < count) await nextTurn();
    }
  }

  /** @param name the latin-1 text of a key: one character a byte, so text order is byte order */
  slotOf(name: string): number | undefined {
    this.nameUpTo(this.slots.length);
    return this.byName.get(name);
  }

  /** Only reads of the past ask for names, and writes go on without a map as long as nobody does. */
  private nameUpTo(count: number): void {
    for (; this.named < count; this.named++) {
      const slot = this.slots[this.named]!;
      this.byName.set(this.list[slot]!.name, slot);
    }
  }

  /**
   * Sorts names that were added since, as many as a turn has time for, and makes them known to `slotOf`.
   * @param count of the names that are to be sorted in the end
   * @returns false when there is none left
   */
  sortSome(count: number): boolean {
    const from = this.sortedCount;
    if (from >= count) return false;
    this.sortedCount = Math.min(count, from + SORTED_AT_ONCE);
    let names = this.slots.slice(from, this.sortedCount).map((slot) => this.list[slot]!.name);
    names.sort((a, b) => (a < b ? -1 : 1));
    // A run is merged with those that are no longer than it, so that a name is merged a few times only.
    while (this.runs.length > 0) {
      const last = this.runs.at(-1)!;
      if (last.length > names.length || last.length + names.length > MAX_RUN) break;
      this.runs.pop();
      names = merged(last, names);
    }
    this.runs.push(names);
    this.nameUpTo(this.sortedCount);
    return this.sortedCount < count;
  }

  /** All names that were sorted, in runs of which each is in order. The runs are never changed afterwards. */
  sortedRuns(): (readonly string[])[] {
    return [...this.runs];
  }
}

/** Names of two sorted lists, in order. */
function merged(one: readonly string[], other: readonly string[]): string[] {
  const names = new Array<string>(one.length + other.length);
  let fromOne = 0;
  let fromOther = 0;
  for (let at = 0; at < names.length; at++) {
    const takesOne = fromOther === other.length || (fromOne < one.length && one[fromOne]! < other[fromOther]!);
    names[at] = takesOne ? one[fromOne++]! : other[fromOther++]!;
  }
  return names;
}

/** First position in sorted names that is not before `name`. */
export function lowerBound(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (names[middle]! < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
