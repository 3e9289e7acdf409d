/** Items in memory, found by name: by looking at all of them while they are few, by a map when they are many. */

/** From so many on a map pays. */
const MAPPED_ITEMS = 128;

/** Items in the order in which they came. */
export class NamedItems<Item extends { readonly name: Buffer }> {
  /** Undefined when it has to be made anew out of the map. */
  private list: Item[] | undefined;
  private byName: Map<string, Item> | undefined;

  constructor(items: Item[] = []) {
    this.list = items;
    if (items.length > MAPPED_ITEMS) this.map(items);
  }

  get size(): number {
    return this.byName?.size ?? this.list!.length;
  }

  find(name: Buffer): Item | undefined {
    if (this.byName !== undefined) return this.byName.get(name.toString('latin1'));
    return this.list!.find((item) => item.name.equals(name));
  }

  /** Adds an item whose name is not there. */
  add(item: Item): void {
    this.list?.push(item);
    if (this.byName !== undefined) this.byName.set(item.name.toString('latin1'), item);
    else if (this.list!.length > MAPPED_ITEMS) this.map(this.list!);
  }

  /** @returns what was there */
  delete(name: Buffer): Item | undefined {
    if (this.byName === undefined) {
      const index = this.list!.findIndex((item) => item.name.equals(name));
      return index < 0 ? undefined : this.list!.splice(index, 1)[0];
    }
    const text = name.toString('latin1');
    const item = this.byName.get(text);
    if (item === undefined) return undefined;
    this.byName.delete(text);
    this.list = undefined;
    return item;
  }

  /** All items; not to be modified, and good until the next change. */
  all(): readonly Item[] {
    this.list ??= [...this.byName!.values()];
    return this.list;
  }

  private map(items: readonly Item[]): void {
    this.byName = new Map(items.map((item) => [item.name.toString('latin1'), item]));
  }
}
