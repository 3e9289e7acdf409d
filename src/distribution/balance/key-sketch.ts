/**
 * The heaviest keys of a stream in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi, 2005). A key that is not
 * watched takes the place of the lightest one and inherits its weight as its error, so that a weight is never too small,
 * and weight less error is never too large.
 */

/** Keys that are watched; any key with more than a sixteenth of the load is among them. */
export const SKETCH_KEYS = 16;

interface Watched {
  name: string;
  weight: number;
  error: number;
}

/** See the top of the file. */
export class KeySketch {
  private readonly byName = new Map<string, Watched>();
  private readonly watched: Watched[] = [];

  /** Counts a key; it is copied when it is kept. */
  add(key: Buffer, weight: number): void {
    const name = key.toString('latin1');
    const known = this.byName.get(name);
    if (known !== undefined) {
      known.weight += weight;
      return;
    }
    if (this.watched.length < SKETCH_KEYS) {
      const entry = { name, weight, error: 0 };
      this.watched.push(entry);
      this.byName.set(name, entry);
      return;
    }
    let lightest = this.watched[0]!;
    for (const entry of this.watched) if (entry.weight < lightest.weight) lightest = entry;
    this.byName.delete(lightest.name);
    lightest.error = lightest.weight;
    lightest.weight += weight;
    lightest.name = name;
    this.byName.set(name, lightest);
  }

  /** Heaviest first; `least` is what the key weighs at least. */
  heaviest(): { readonly key: Buffer; readonly weight: number; readonly least: number }[] {
    return this.watched
      .map(({ name, weight, error }) => ({ key: Buffer.from(name, 'latin1'), weight, least: weight - error }))
      .sort((a, b) => b.least - a.least || b.weight - a.weight || Buffer.compare(a.key, b.key));
  }

  clear(): void {
    this.byName.clear();
    this.watched.length = 0;
  }
}
