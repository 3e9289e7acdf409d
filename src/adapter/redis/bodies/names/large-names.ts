/**
 * A hash or a set with a row for each element.
 *
 *   element of a hash  flags (u8)  page of the roster (varint)  value, or with flag 1 the number of its row (varint)
 *   element of a set   flags (u8)  page of the roster (varint)
 *   part of the head   pages of the roster (varint)  cap (varint)  next number of a row (varint)
 *
 * A value that does not fit into a row of the size of a page has a row of its own: filling up a page of the roster writes elements again, and
 * must not write long values.
 */
import { assert } from '../../../../platform/index.ts';
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { ValueType, writtenLater } from '../../values/index.ts';
import {
  BodyRows,
  ByteReader,
  Cells,
  type HeadPlace,
  type LargeHead,
  type NewExpiry,
  RowKind,
  type RowNumbers,
} from '../rows/index.ts';
import { type NamedEntry, type NamedForm, type NameScan, NO_VALUE } from './named-form.ts';
import { Roster, type RosterState } from './roster.ts';

/** The value is in a row of its own. Disk values: never change; a reader refuses flags that it does not know. */
const LONG_VALUE = 0x01;
/** Most bytes in front of the value in an element's row. */
const ELEMENT_HEADER_BYTES = 8;

/** An element's row: the page of its name, and its value or the number of the value's row. */
interface Element {
  readonly page: number;
  readonly value: Buffer;
  /** 0 when the value is in the element's row. */
  readonly valueRow: number;
}

/** What the head of a large hash or set says beyond what all heads say. */
export interface NamesPart extends RosterState, RowNumbers {}

/** Reads what `encodeNamesPart` wrote. */
export function decodeNamesPart(part: Buffer): NamesPart {
  const reader = new ByteReader(part);
  return { pages: reader.varint(), cap: reader.varint(), next: reader.varint() };
}

function encodeNamesPart({ pages, cap, next }: NamesPart): Buffer {
  const part = Buffer.allocUnsafe(varintBytes(pages) + varintBytes(cap) + varintBytes(next));
  writeVarint(part, writeVarint(part, writeVarint(part, 0, pages), cap), next);
  return part;
}

/** An element's row taken apart. @throws RedisError when a later program wrote it */
export function decodeElement(row: Buffer): Element {
  const reader = new ByteReader(row);
  const flags = reader.byte();
  if ((flags & ~LONG_VALUE) !== 0) throw writtenLater();
  const page = reader.varint();
  return flags === LONG_VALUE
    ? { page, value: NO_VALUE, valueRow: reader.varint() }
    : { page, value: reader.rest(), valueRow: 0 };
}

function encodeElement({ page, value, valueRow }: Element): Buffer {
  const size = valueRow === 0 ? value.length : varintBytes(valueRow);
  const row = Buffer.allocUnsafe(1 + varintBytes(page) + size);
  row[0] = valueRow === 0 ? 0 : LONG_VALUE;
  const at = writeVarint(row, 1, page);
  if (valueRow === 0) value.copy(row, at);
  else writeVarint(row, at, valueRow);
  return row;
}

/** Pages and the head are written by `save`, elements at once. */
export class LargeNames implements NamedForm {
  count: number;
  bits: number;
  private readonly place: HeadPlace;
  private readonly part: NamesPart;
  private readonly rows: BodyRows;
  private readonly roster: Roster;

  constructor(place: HeadPlace, head: LargeHead, bits: number) {
    const { view, bodyLimits } = place.access;
    this.place = place;
    this.count = head.count;
    this.bits = bits;
    this.part = decodeNamesPart(head.part);
    this.rows = new BodyRows(view, place.key, head.incarnation);
    this.roster = new Roster(this.part, this.rows, new Cells(this.rows, this.part, bodyLimits, false), bodyLimits);
  }

  /** A body without elements; `addNew` fills it. */
  static create(place: HeadPlace, incarnation: Buffer, bits: number): LargeNames {
    const part = encodeNamesPart({ pages: 0, cap: 0, next: 1 });
    return new LargeNames(place, { form: ValueForm.Large, type: place.type, bits, incarnation, count: 0, part }, bits);
  }

  get(name: Buffer): Buffer | undefined {
    const row = this.rows.get(this.rows.elementKey(name));
    if (row === undefined) return undefined;
    const { value, valueRow } = decodeElement(row);
    return valueRow === 0 ? value : this.longValue(valueRow);
  }

  prefetch(names: readonly Buffer[]): void {
    this.rows.prefetch(() => names.map((name) => this.rows.elementKey(name)));
  }

  set(name: Buffer, value: Buffer): boolean {
    const key = this.rows.elementKey(name);
    const row = this.rows.get(key);
    if (row === undefined) {
      this.addNew(name, value);
      return true;
    }
    if (this.place.type === ValueType.Set) return false;
    const old = decodeElement(row);
    if (this.isLong(value)) {
      const valueRow = old.valueRow === 0 ? this.part.next++ : old.valueRow;
      this.rows.put(this.rows.numberedKey(RowKind.Long, valueRow), Buffer.from(value));
      if (valueRow !== old.valueRow) this.rows.put(key, encodeElement({ page: old.page, value: NO_VALUE, valueRow }));
    } else {
      if (old.valueRow !== 0) this.rows.delete(this.rows.numberedKey(RowKind.Long, old.valueRow));
      this.rows.put(key, encodeElement({ page: old.page, value, valueRow: 0 }));
    }
    return false;
  }

  /** Adds an element whose name is known to be new. */
  addNew(name: Buffer, value: Buffer): void {
    const page = this.roster.append(name);
    let valueRow = 0;
    if (this.isLong(value)) {
      valueRow = this.part.next++;
      this.rows.put(this.rows.numberedKey(RowKind.Long, valueRow), Buffer.from(value));
    }
    this.rows.put(this.rows.elementKey(name), encodeElement({ page, value, valueRow }));
    this.count++;
  }

  delete(name: Buffer): boolean {
    const key = this.rows.elementKey(name);
    const row = this.rows.get(key);
    if (row === undefined) return false;
    const { page, valueRow } = decodeElement(row);
    this.rows.delete(key);
    if (valueRow !== 0) this.rows.delete(this.rows.numberedKey(RowKind.Long, valueRow));
    this.roster.remove(name, page, (moved, to) => this.changePage(moved, to));
    this.count--;
    return true;
  }

  names(): Iterable<Buffer> {
    return this.roster.names();
  }

  *entries(): Generator<NamedEntry> {
    for (const name of this.names())
      yield { name, value: this.place.type === ValueType.Set ? NO_VALUE : this.get(name)! };
  }

  random(): Buffer {
    return this.roster.random(this.place.access.random);
  }

  scan(cursor: number, atLeast: number): NameScan {
    let left = cursor === 0 ? this.part.pages : Math.min(cursor, this.part.pages);
    const names: Buffer[] = [];
    do {
      left--;
      names.push(...this.roster.namesOf(left));
    } while (left > 0 && names.length < atLeast);
    return { cursor: left, names };
  }

  save(expiry: NewExpiry): void {
    const { place, count, bits } = this;
    if (count > 0) this.roster.save();
    const { incarnation } = this.rows;
    const head = {
      form: ValueForm.Large,
      type: place.type,
      bits,
      incarnation,
      count,
      part: encodeNamesPart(this.part),
    };
    place.write(head, expiry, this.rows.isChanged);
  }

  private changePage(name: Buffer, page: number): void {
    const key = this.rows.elementKey(name);
    const row = this.rows.get(key);
    assert(row !== undefined, 'every name of a roster has an element');
    this.rows.put(key, encodeElement({ ...decodeElement(row), page }));
  }

  private isLong(value: Buffer): boolean {
    return value.length > this.place.access.bodyLimits.pageBytes - ELEMENT_HEADER_BYTES;
  }

  private longValue(number: number): Buffer {
    const value = this.rows.get(this.rows.numberedKey(RowKind.Long, number));
    assert(value !== undefined, 'the row of a long value is missing');
    return value;
  }
}
