/** Draws without replacement, so that everything listed has its turn before anything comes again. */
import type { Random } from '../src/platform/index.ts';

export class ShuffleBag<Item> {
  private readonly items: readonly Item[];
  private readonly random: Random;
  /** Positions that were not drawn yet in this round. */
  private left: number[] = [];

  /** @param items at least one */
  constructor(items: readonly Item[], random: Random) {
    this.items = items;
    this.random = random;
  }

  /** Different items, `count` of them or all that there are, in the order in which they were listed. */
  take(count: number): Item[] {
    const drawn = new Set<number>();
    while (drawn.size < Math.min(count, this.items.length)) drawn.add(this.draw(drawn));
    return [...drawn].sort((a, b) => a - b).map((at) => this.items[at]!);
  }

  private draw(taken: ReadonlySet<number>): number {
    const isFree = (at: number): boolean => !taken.has(at);
    // A round that ends inside one draw begins the next with what this draw does not hold yet.
    if (!this.left.some(isFree)) this.left.push(...this.items.keys());
    const free = this.left.filter(isFree);
    const chosen = free[this.random.int(free.length)]!;
    this.left.splice(this.left.indexOf(chosen), 1);
    return chosen;
  }
}
