/**
 * A map by names, in parts: a `Map` that is full is copied as a whole, which is a long turn when it has some hundred thousand entries whose names lie all over
 * the memory.
 */

/** A power of two: the parts of half a million names grow in two milliseconds each. */
const PARTS = 64;

/** By the last characters, in which names differ. */
function partOf(name: string): number {
  const { length } = name;
  // Behind the end it is NaN, which counts as 0.
  const last = name.charCodeAt(length - 1) + 7 * name.charCodeAt(length - 2) + 31 * name.charCodeAt(length - 3);
  return last & (PARTS - 1);
}

/** See the top of the file. */
export class NameMap<Value> {
  private readonly parts: (Map<string, Value> | undefined)[] = new Array<undefined>(PARTS).fill(undefined);

  get(name: string): Value | undefined {
    return this.parts[partOf(name)]?.get(name);
  }

  set(name: string, value: Value): void {
    const part = partOf(name);
    let map = this.parts[part];
    if (map === undefined) {
      map = new Map();
      this.parts[part] = map;
    }
    map.set(name, value);
  }

  delete(name: string): void {
    this.parts[partOf(name)]?.delete(name);
  }

  /** In no order; what is added or taken away meanwhile may be left out. */
  *values(): Generator<Value, undefined> {
    for (const map of this.parts) if (map !== undefined) yield* map.values();
    return undefined;
  }
}
