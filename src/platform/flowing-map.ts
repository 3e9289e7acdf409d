/**
 * A map whose entries come and go: of what is under way, thousands of times a second.
 *
 * V8's own `Map` copies its table to another one whenever the places of deleted entries have used it up, and the old table, which still holds all
 * that was in it, leads to the new one. Once one of these tables has become old, it is not collected before the whole heap is marked. Until then it
 * keeps the next table alive, which becomes old too, and keeps the next: a chain of dead tables, and with them everything that was ever in the map
 * becomes old and dies old. Measured with 800 entries in it: 80 % of all that passed through the map. Here the map itself is another one before its
 * tables can become old, and the chain ends with it.
 */

/** It is copied when so many entries were deleted, and twice as many as are in it: sooner would cost more than it saves. */
const LEAST_DELETED = 64;

/** See the top of the file. Entries are in the order in which they were added. */
export class FlowingMap<Key, Value> {
  private map = new Map<Key, Value>();
  /** Since the map is this one. */
  private deleted = 0;

  get size(): number {
    return this.map.size;
  }

  get(key: Key): Value | undefined {
    return this.map.get(key);
  }

  set(key: Key, value: Value): void {
    if (this.deleted >= LEAST_DELETED && this.deleted >= 2 * this.map.size) {
      this.map = new Map(this.map);
      this.deleted = 0;
    }
    this.map.set(key, value);
  }

  /** @returns false when it was not there */
  delete(key: Key): boolean {
    const wasThere = this.map.delete(key);
    if (wasThere) this.deleted++;
    return wasThere;
  }

  clear(): void {
    this.map = new Map();
    this.deleted = 0;
  }

  /** What is in it now, as a list: it may be changed meanwhile. */
  keys(): Key[] {
    return [...this.map.keys()];
  }

  /** The same of the values. */
  values(): Value[] {
    return [...this.map.values()];
  }
}
