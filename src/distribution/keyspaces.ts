/**
 * What everything below and beside an adapter has to know of its keys, without knowing the adapter. An adapter stores an object
 * of its users as one row, its head, or as a head and rows behind it; ranges may be cut between objects and never inside one;
 * what is counted is heads. Each adapter owns all keys that begin with one byte, and declares here how they are read.
 *
 * A key that no adapter owns (a program's, through gRPC) is an object by itself and is not counted.
 */
import { assert } from '../platform/index.ts';
import type { BodyRow, BodyRules, GroupStoreOptions } from '../store/index.ts';

/** What the adapter knows of keys: several stored keys may be rows of one object, which is never cut. */
export interface KeyRules {
  /** The first stored key of the object that `key` is a row of. */
  align(key: Buffer): Buffer;
  /** The first key after all rows of the object that `key` is a row of. */
  after(key: Buffer): Buffer;
}

/** Every stored key is an object of its own. */
export const PLAIN_KEYS: KeyRules = {
  align: (key) => key,
  after: (key) => Buffer.concat([key, Buffer.of(0)]),
};

/** A half-open range of storage keys. */
export interface KeyRange {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
}

/** How an adapter's keys fall into hash slots, where they do. */
export interface SlottedKeys {
  readonly databaseCount: number;
  readonly slotCount: number;
  /** The first storage key that a slot can have; of `slotCount`, the first one behind the database. */
  slotStart(db: number, slot: number): Buffer;
}

/** What an adapter says of its keys. All functions are pure and take any bytes that begin with the adapter's tag. */
export interface KeyspaceDeclaration {
  readonly name: string;
  /** First byte of every storage key of the adapter, and of no other's. */
  readonly tag: number;
  /** Length of the head that the key is or lies behind; undefined for bytes that no stored key begins with, such as a bound. */
  headLengthOf(key: Buffer): number | undefined;
  /** The counter that a head is counted under; undefined for everything else. */
  counterClassOf(key: Buffer): number | undefined;
  /** All storage keys that a counter class can have; undefined for classes of other adapters. */
  counterRangeOf(counterClass: number): KeyRange | undefined;
  /**
   * Of a row behind a head, where the head ends and which body the row is of; undefined for heads, and for bytes that no row of the
   * adapter has: a row that is taken for one is collected when no head names its body. Left out: every object is one row.
   */
  bodyOf?(key: Buffer): BodyRow | undefined;
  /** The incarnation of the body that a head names by its value; undefined when all of the object is in the head. */
  incarnationIn?(value: Buffer): Buffer | undefined;
  readonly slots?: SlottedKeys;
  /**
   * How a new cluster divides the adapter's keys over so many data groups, in key order: part n is group n's. Keys that no part has are the catalog
   * group's. Left out: all are.
   */
  foundingParts?(count: number): readonly KeyRange[];
  /** Reads what people type; undefined when it is not of this adapter's form. @throws KeyTextError when it is, and is wrong */
  parse(text: string): Buffer | undefined;
  /** What `parse` reads; undefined for keys that are best shown as bytes. */
  format(key: Buffer): string | undefined;
}

/** A key that cannot be read; the message says what is wrong with it. */
export class KeyTextError extends Error {
  override readonly name = 'KeyTextError';
}

/** The keyspaces of all adapters of a program, and what follows from their declarations for any key. */
export class Keyspaces implements KeyRules {
  readonly all: readonly KeyspaceDeclaration[];
  private readonly byTag: (KeyspaceDeclaration | undefined)[] = Array.from({ length: 256 });

  /** @param all with different tags */
  constructor(all: readonly KeyspaceDeclaration[]) {
    this.all = all;
    for (const declaration of all) {
      assert(this.byTag[declaration.tag] === undefined, `two keyspaces have the tag ${declaration.tag}`);
      this.byTag[declaration.tag] = declaration;
    }
  }

  /** Whose the key is; undefined for a program's own. */
  of(key: Buffer): KeyspaceDeclaration | undefined {
    return this.byTag[key[0]!];
  }

  /** Bound, so that a store can be given it. */
  readonly counterClassOf = (key: Buffer): number | undefined => this.byTag[key[0]!]?.counterClassOf(key);

  /** Bound, so that a store can be given it. */
  readonly counterRangeOf = (counterClass: number): KeyRange | undefined => {
    for (const declaration of this.all) {
      const range = declaration.counterRangeOf(counterClass);
      if (range !== undefined) return range;
    }
    return undefined;
  };

  /** Which rows are bodies of objects, whichever adapter's. */
  readonly bodies: BodyRules = {
    bodyOf: (key) => this.byTag[key[0]!]?.bodyOf?.(key),
    incarnationIn: (head, value) => this.byTag[head[0]!]?.incarnationIn?.(value),
  };

  /** All that a store has to know of keys. */
  readonly forStores: Pick<GroupStoreOptions, 'counterClassOf' | 'counterRangeOf' | 'bodies'> = {
    counterClassOf: this.counterClassOf,
    counterRangeOf: this.counterRangeOf,
    bodies: this.bodies,
  };

  /** The head of the object that `key` is or lies in: where a cut at `key` may be made. A view of the same bytes. */
  align(key: Buffer): Buffer {
    const length = this.of(key)?.headLengthOf(key);
    return length === undefined ? key : key.subarray(0, length);
  }

  /** The first key behind all rows of the object that `key` is or lies in. */
  after(key: Buffer): Buffer {
    const length = this.of(key)?.headLengthOf(key);
    return length === undefined ? Buffer.concat([key, Buffer.of(0)]) : prefixEnd(key.subarray(0, length));
  }

  /** Reads what people type, in the form of any adapter; undefined when it is of none. @throws KeyTextError */
  parse(text: string): Buffer | undefined {
    for (const declaration of this.all) {
      const key = declaration.parse(text);
      if (key !== undefined) return key;
    }
    return undefined;
  }

  /** What `parse` reads; undefined for keys that are best shown as bytes. */
  format(key: Buffer): string | undefined {
    return this.of(key)?.format(key);
  }
}

/** The first key that does not begin with `prefix`, whose first byte is below 0xff. */
function prefixEnd(prefix: Buffer): Buffer {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) length--;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]!++;
  return end;
}
