/**
 * Keys whose newest version is known without a look at the disk: those that were read or written lately, those that are not there among them, and
 * all that are buffered. Two maps take turns: what is not used while the younger one fills up to half of the budget is forgotten with the
 * older one, unless it is buffered or held for the next unit, which have bounds of their own. Those move on to the younger one a few at a time, whenever
 * something comes to be known: there may be half a million of them, which no turn of the event loop has time for. What of a key is on disk is mirrored
 * as it is there: whoever changes such rows must say so.
 */
import type { Generation, KnownKey } from '../flush/index.ts';
import { NameMap } from '../rows/index.ts';

/** Rough cost of an entry beside its bytes: two objects and a text, a map slot, what of the row's slab is nobody's any more. */
const OVERHEAD_BYTES = 250;
/** Keys of the map that goes which are looked at for each that comes: the map before it has gone long before this one does. */
const LOOKED_AT = 16;

/** See the top of the file. */
export class KnownKeys {
  private readonly budgetBytes: () => number;
  private readonly generations: () => readonly Generation[];
  private young = new NameMap<KnownKey>();
  private old = new NameMap<KnownKey>();
  /** Two turns old, while there may be keys in it that have to be known. */
  private leaving: NameMap<KnownKey> | undefined;
  /** Its keys that have not been looked at. */
  private left: Iterator<KnownKey, undefined> | undefined;
  private youngBytes = 0;
  /** Of the younger map; the older one has the age before, and what leaves the one before that. */
  private age = 3;
  /** The unit that keys are held for; they have its number. */
  private unit = 1;

  /**
   * @param budgetBytes what all entries together may take, about, as things are
   * @param generations what is buffered
   */
  constructor(budgetBytes: () => number, generations: () => readonly Generation[]) {
    this.budgetBytes = budgetBytes;
    this.generations = generations;
  }

  /** Undefined when nothing is known. It is kept for longer. */
  find(name: string): KnownKey | undefined {
    const young = this.young.get(name);
    if (young !== undefined) return young;
    const old = this.old.get(name) ?? this.leaving?.get(name);
    if (old !== undefined) this.keep(old);
    return old;
  }

  /** Whether this was held for the next unit, and is still what is known of its key. */
  isHeld(known: KnownKey): boolean {
    return known.heldFor === this.unit;
  }

  /** Remembers a key, which was just found or made, until `release`, however much is read meanwhile; what it takes counts only when it is written. */
  hold(known: KnownKey): void {
    known.heldFor = this.unit;
    if (known.age !== this.age) this.carry(known);
    this.look(LOOKED_AT);
  }

  /** Keys that were held are as others are. */
  release(): void {
    this.unit++;
  }

  /** Remembers a key, or goes on doing so. */
  keep(known: KnownKey): void {
    if (known.age === this.age) return;
    known.age = this.age;
    this.young.set(known.name, known);
    known.countedBytes = 0;
    this.count(known);
  }

  /** Books what a key takes now. */
  count(known: KnownKey): void {
    this.look(LOOKED_AT);
    if (known.age !== this.age) return;
    const bytes = known.name.length + OVERHEAD_BYTES + known.rowBytes;
    this.youngBytes += bytes - known.countedBytes;
    known.countedBytes = bytes;
    if (this.youngBytes >= this.budgetBytes() / 2) this.turn();
  }

  private turn(): void {
    this.look(Number.POSITIVE_INFINITY);
    this.leaving = this.old;
    this.left = this.leaving.values();
    this.old = this.young;
    this.startYoung();
  }

  /** Goes through some of the map that leaves, for what has to be known. It is gone when nothing is left of it. */
  private look(atMost: number): void {
    const { left } = this;
    if (left === undefined) return;
    for (let looked = 0; looked < atMost; looked++) {
      const known = left.next().value;
      if (known === undefined) {
        this.leaving = undefined;
        this.left = undefined;
        return;
      }
      // Used since: then it is in another map already.
      if (known.age !== this.age - 2) continue;
      if (known.generation !== undefined || this.isHeld(known)) this.carry(known);
    }
  }

  private startYoung(): void {
    this.young = new NameMap();
    this.youngBytes = 0;
    this.age++;
  }

  /** Buffered and held keys go along whatever they take: there are bounds of their own. */
  private carry(known: KnownKey): void {
    known.age = this.age;
    known.countedBytes = 0;
    this.young.set(known.name, known);
  }

  /** Forgets a key, unless it is buffered. */
  delete(name: string): void {
    const known = this.young.get(name) ?? this.old.get(name) ?? this.leaving?.get(name);
    if (known === undefined || known.generation !== undefined) return;
    if (known.age === this.age) this.youngBytes -= known.countedBytes;
    known.age = 0;
    known.heldFor = 0;
    this.young.delete(name);
    this.old.delete(name);
    this.leaving?.delete(name);
  }

  /** Forgets all that is not buffered. */
  clear(): void {
    this.old = new NameMap();
    this.leaving = undefined;
    this.left = undefined;
    this.release();
    this.startYoung();
    // Beyond the ages of what was there.
    this.age += 2;
    for (const { list } of this.generations())
      for (const known of list) if (known.generation !== undefined) this.carry(known);
  }
}
