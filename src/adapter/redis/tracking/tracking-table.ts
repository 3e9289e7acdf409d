/**
 * The keys that clients of this node may keep: for each key the clients that have read it since it was last changed, each with the place of its reply. A key
 * that is changed is taken out; whoever reads it again is noted again. It is bounded: beyond its limit the keys that were noted first are given up.
 *
 * Databases are not told apart, as in Redis. Keys are the latin1 text of their bytes.
 */

/** Bytes of keys that it remembers, whatever their number. */
const MAX_KEY_BYTES = 256 * 1024 * 1024;

/** A client that may keep a key. */
export interface Holder {
  readonly client: number;
  /** Place of the newest reply that it has the key from: what invalidates the key goes behind it. */
  readonly place: number;
}

/** Most keys have one client. */
type Holders = Holder | Map<number, number>;

/** See the top of the file. */
export class TrackingTable {
  /** In the order in which they were noted. */
  private keys = new Map<string, Holders>();
  private keyBytes = 0;
  private itemCount = 0;

  /** Keys that it knows. */
  get size(): number {
    return this.keys.size;
  }

  /** Pairs of a key and a client. */
  get items(): number {
    return this.itemCount;
  }

  add(key: string, client: number, place: number): void {
    const known = this.keys.get(key);
    if (known === undefined) {
      this.keys.set(key, { client, place });
      this.keyBytes += key.length;
      this.itemCount++;
    } else if (known instanceof Map) {
      if (!known.has(client)) this.itemCount++;
      known.set(client, Math.max(place, known.get(client) ?? place));
    } else if (known.client === client) {
      if (place > known.place) this.keys.set(key, { client, place });
    } else {
      const several = new Map([[known.client, known.place]]);
      this.keys.set(key, several.set(client, place));
      this.itemCount++;
    }
  }

  /** Takes a key out. @returns who may keep it */
  take(key: string): readonly Holder[] {
    const known = this.keys.get(key);
    if (known === undefined) return [];
    this.keys.delete(key);
    this.keyBytes -= key.length;
    const holders =
      known instanceof Map ? Array.from(known, ([client, place]): Holder => ({ client, place })) : [known];
    this.itemCount -= holders.length;
    return holders;
  }

  /** The key that has to be given up; undefined when there is room. @param maxKeys 0: any number of keys */
  overdue(maxKeys: number): string | undefined {
    const isFull = (maxKeys > 0 && this.keys.size > maxKeys) || this.keyBytes > MAX_KEY_BYTES;
    return isFull ? this.keys.keys().next().value : undefined;
  }

  clear(): void {
    this.keys = new Map();
    this.keyBytes = 0;
    this.itemCount = 0;
  }
}
