/** What a comparison has found, by kind. */

const EXAMPLES = 10;

/** Missing: there and not here. Extra: here and not there. */
export type DifferenceKind = 'missing' | 'extra' | 'value' | 'expiry';

export class Differences {
  /** Keys that were compared. */
  compared = 0;
  private readonly counts = new Map<DifferenceKind, number>();
  readonly examples: string[] = [];

  note(kind: DifferenceKind, what: string, detail: string, count = 1): void {
    this.counts.set(kind, this.count(kind) + count);
    if (this.examples.length < EXAMPLES) this.examples.push(`${what}: ${detail}`);
  }

  count(kind: DifferenceKind): number {
    return this.counts.get(kind) ?? 0;
  }

  get total(): number {
    let total = 0;
    for (const count of this.counts.values()) total += count;
    return total;
  }

  /** All kinds that were met. */
  entries(): [DifferenceKind, number][] {
    return [...this.counts].sort(([left], [right]) => (left < right ? -1 : 1));
  }
}
