/**
 * Keys whose newest version is known without a look at the disk: those that were read or written lately, those that are not there among them, and
 * all that are buffered. Two maps take turns: what is not used while the younger one fills up to half of the budget is forgotten with the
 * older one, unless it is buffered or held for the next unit, which have bounds of their own. What of a key is on disk is mirrored as it is there: whoever
 * changes such rows must say so.
 */
import type { Generation, KnownKey } from '../flush/index.ts';

/** Rough cost of an entry beside its bytes: two objects and a text, a map slot, what of the row's slab is nobody's any more. */
const OVERHEAD_BYTES = 250;

/** See the top of the file. */
export class KnownKeys {
  private readonly budgetBytes: () => number;
  private readonly generations: () => readonly Generation[];
  private young = new Map<string, KnownKey>();
  private old = new Map<string, KnownKey>();
  private youngBytes = 0;
  /** Of the younger map; the older one has the age before. Keys that are not kept have age 0, or that of a map which is gone. */
  private age = 2;
  /** Keys that the next unit writes, which were looked up beforehand. */
  private held: KnownKey[] = [];

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
    const old = this.old.get(name);
    if (old !== undefined) this.keep(old);
    return old;
  }

  /** Whether this is still what is known of its key. */
  isKept(known: KnownKey): boolean {
    return known.age >= this.age - 1;
  }

  /** Remembers a key until `release`, however much is read meanwhile; what it takes counts only when it is written. */
  hold(known: KnownKey): void {
    this.held.push(known);
    if (!this.isKept(known)) this.carry(known);
  }

  /** Keys that were held are as others are. */
  release(): void {
    if (this.held.length > 0) this.held = [];
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
    if (known.age !== this.age) return;
    const bytes = known.name.length + OVERHEAD_BYTES + known.rowBytes;
    this.youngBytes += bytes - known.countedBytes;
    known.countedBytes = bytes;
    if (this.youngBytes >= this.budgetBytes() / 2) this.turn();
  }

  private turn(): void {
    const goneAge = this.age - 1;
    this.old = this.young;
    this.startYoung();
    for (const { list } of this.generations()) {
      for (const known of list) if (known.age === goneAge) this.carry(known);
    }
    for (const known of this.held) if (known.age === goneAge) this.carry(known);
  }

  private startYoung(): void {
    this.young = new Map();
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
    const known = this.young.get(name) ?? this.old.get(name);
    if (known === undefined || known.generation !== undefined) return;
    if (known.age === this.age) this.youngBytes -= known.countedBytes;
    known.age = 0;
    this.young.delete(name);
    this.old.delete(name);
  }

  /** Forgets all that is not buffered. */
  clear(): void {
    this.old = new Map();
    this.release();
    this.startYoung();
    // Beyond the age of what was the younger map too.
    this.age++;
    for (const { list } of this.generations())
      for (const known of list) if (known.generation !== undefined) this.carry(known);
  }
}
