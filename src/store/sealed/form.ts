/**
 * Which areas a database has rows in: one row of its own, before all others, sealed like them.
 *
 *   form   version u8 (1), areas u8, for each, the one that is written to first: offset u8, data key u32, salt (16)
 */
import { assert, ByteReader, ByteWriter } from '../../platform/index.ts';
import type { DataKeys, Sealing } from '../../security/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import { type Area, AreaOffset, CLEAR_AREA, SealedArea, type SealedOffset } from './areas.ts';
import type { UnderWay } from './under-way.ts';

/** Where the form is; no row of a store begins so. */
export const FORM_KEY = Buffer.from([1]);
const VERSION = 1;
const SALT_BYTES = 16;
const NO_SALT = Buffer.alloc(SALT_BYTES);

/** Reads and writes the form of one database, and makes its areas. */
export class Form {
  private readonly location: string;
  private readonly name: string;
  private readonly keys: DataKeys;
  private readonly sealing: Sealing;
  private readonly rows: Sealing;
  private readonly batches: UnderWay;
  /** Areas that were made: each snapshot asks again. */
  private readonly made = new Map<string, Area>();

  /**
   * @param name of the store, the same in all folders that its database may lie in
   * @param batches of the database
   */
  constructor(location: string, name: string, keys: DataKeys, batches: UnderWay) {
    this.location = location;
    this.name = name;
    this.keys = keys;
    this.batches = batches;
    this.sealing = keys.sealing(`form of ${name}`);
    this.rows = keys.sealing(`rows of ${name}`);
  }

  /** An area for what is written from now on, beside the one that is there. */
  draw(beside: Area | undefined): SealedArea {
    const offset = beside?.offset === AreaOffset.First ? AreaOffset.Second : AreaOffset.First;
    return this.area(offset, this.keys.newest, this.keys.drawSalt()) as SealedArea;
  }

  /** The row that says which areas there are. */
  encode(areas: readonly Area[]): Buffer {
    const writer = new ByteWriter().u8(VERSION).u8(areas.length);
    for (const area of areas) {
      writer
        .u8(area.offset)
        .u32(area.keyId)
        .raw(area instanceof SealedArea ? area.salt : NO_SALT);
    }
    return this.sealing.seal(writer.finish(), FORM_KEY);
  }

  /** @throws CorruptStoreError when it is not what was written here, or needs a key that is not here */
  decode(stored: Buffer): readonly Area[] {
    const bytes = this.sealing.open(stored, FORM_KEY);
    if (bytes === undefined) {
      throw new CorruptStoreError(
        this.location,
        'is encrypted with a key that is not here, or was changed or moved there',
      );
    }
    const reader = new ByteReader(bytes, `the form of ${this.location}`, Error);
    reader.version(VERSION);
    const areas = Array.from({ length: reader.u8() }, () => {
      const offset = reader.u8();
      const keyId = reader.u32();
      const salt = reader.raw(SALT_BYTES);
      return offset === AreaOffset.Clear ? CLEAR_AREA : this.area(offset as SealedOffset, keyId, salt);
    });
    assert(areas.length > 0 && areas[0] !== CLEAR_AREA, 'what is written to an encrypted database is encrypted');
    return areas;
  }

  private area(offset: SealedOffset, keyId: number, salt: Buffer): Area {
    const id = `${offset} ${keyId} ${salt.toString('hex')}`;
    const known = this.made.get(id);
    if (known !== undefined) return known;
    if (!this.keys.has(keyId)) {
      throw new CorruptStoreError(this.location, `is encrypted with data key ${keyId}, which is not here`);
    }
    const { keys, rows: sealing, name, location, batches } = this;
    const area = new SealedArea({ offset, keyId, salt: Buffer.from(salt), keys, sealing, name, location, batches });
    this.made.set(id, area);
    return area;
  }
}
