/**
 * The areas of a database: where its rows are, and in which form. Rows in clear lie where a program without keys has them; encrypted ones in one of two
 * areas behind them, by the first byte of their keys. A database has rows in one area, and while they go over into another, in two.
 */
import type { DataKeys, Sealing } from '../../security/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import { Branches } from './branches.ts';
import { HiddenNames, NAMES_KEY_BYTES } from './hidden-names.ts';
import type { UnderWay } from './under-way.ts';

/** Added to the kind of a row; disk values. Kinds lie between 0x44 and 0x58. */
export const AreaOffset = { Clear: 0, First: 0x40, Second: 0x80 } as const;
export type SealedOffset = typeof AreaOffset.First | typeof AreaOffset.Second;

/** Kinds of rows lie between these two, at which no row is. */
const BEFORE_KINDS = 0x40;
const BEHIND_KINDS = 0x5f;

/** A row in clear. */
export type Row = readonly [key: Buffer, value: Buffer];

/** One area of an open database. */
export interface Area {
  readonly offset: number;
  /** The data key that hides the names in it; 0 in clear. */
  readonly keyId: number;
  /** The key of a row as it is stored. */
  place(key: Buffer): Buffer;
  /** The value of a row as it is to be stored, in a batch that is under way. */
  store(placed: Buffer, key: Buffer, value: Buffer): Buffer;
  /** The row behind what is stored. @throws CorruptStoreError */
  read(placed: Buffer, stored: Buffer): Row;
}

/** Where the rows of an area lie. */
export const boundsOf = ({ offset }: Area): { readonly gte: Buffer; readonly lt: Buffer } => ({
  gte: Buffer.from([BEFORE_KINDS + 1 + offset]),
  lt: Buffer.from([BEHIND_KINDS + offset]),
});

/** Keys before and behind all rows of an area. */
export const edgesOf = ({ offset }: Area): readonly [before: Buffer, behind: Buffer] => [
  Buffer.from([BEFORE_KINDS + offset]),
  Buffer.from([BEHIND_KINDS + offset, 0xff]),
];

/** Rows as they are. */
export const CLEAR_AREA: Area = {
  offset: AreaOffset.Clear,
  keyId: 0,
  place: (key) => key,
  store: (_placed, _key, value) => value,
  read: (placed, stored) => [placed, stored],
};

const LENGTH_BYTES = 4;

/** Encrypted rows: the value has the key in it, since the stored key does not say it. */
export class SealedArea implements Area {
  readonly offset: SealedOffset;
  readonly keyId: number;
  readonly salt: Buffer;
  readonly names: HiddenNames;
  /** What walks know of it. */
  readonly branches: Branches;
  private readonly sealing: Sealing;
  private readonly location: string;

  /** @param name of the store, the same in all folders that it may lie in */
  constructor(options: {
    readonly offset: SealedOffset;
    readonly keyId: number;
    readonly salt: Buffer;
    readonly keys: DataKeys;
    readonly sealing: Sealing;
    readonly name: string;
    readonly location: string;
    /** Those of its database. */
    readonly batches: UnderWay;
  }) {
    const { offset, keyId, salt, keys, sealing, name, location, batches } = options;
    this.offset = offset;
    this.keyId = keyId;
    this.salt = salt;
    this.names = new HiddenNames(keys.derive(keyId, salt, `names of ${name}`, NAMES_KEY_BYTES));
    this.branches = new Branches(() => batches.next);
    this.sealing = sealing;
    this.location = location;
  }

  place(key: Buffer): Buffer {
    return this.names.hide(key, key[0]! + this.offset);
  }

  store(placed: Buffer, key: Buffer, value: Buffer): Buffer {
    this.branches.note(key);
    const row = Buffer.allocUnsafe(LENGTH_BYTES + key.length + value.length);
    row.writeUInt32BE(key.length, 0);
    row.set(key, LENGTH_BYTES);
    row.set(value, LENGTH_BYTES + key.length);
    return this.sealing.seal(row, placed);
  }

  read(placed: Buffer, stored: Buffer): Row {
    const row = this.sealing.open(stored, placed);
    if (row === undefined) {
      const problem = 'holds a row that was changed, or moved there, or was encrypted with a key that is not here';
      throw new CorruptStoreError(this.location, problem);
    }
    const end = LENGTH_BYTES + row.readUInt32BE(0);
    return [row.subarray(LENGTH_BYTES, end), row.subarray(end)];
  }
}
