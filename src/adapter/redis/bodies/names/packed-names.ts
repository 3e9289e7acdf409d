/**
 * A hash or a set that is in memory as a whole: because it lies in its head, or because a command makes it anew. It is saved in the form that
 * fits.
 *
 *   hash in its head  (length of the field (varint)  field  length of the value (varint)  value)*
 *   set in its head   (length of the member (varint)  member)*
 *   fields that expire, a flag of the head says so  (as above  unix time in milliseconds (varint), 0 for a field that does not)*
 *
 * What has expired is left out when the elements are taken apart, so the next change of the hash forgets it.
 */
import { type HlcTimestamp, type Millis, NEVER, physicalMs, timestampOfMs } from '../../../../platform/index.ts';
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { FIELD_EXPIRIES_BYTES, ValueType } from '../../values/index.ts';
import { ByteReader, drawIncarnation, type HeadPlace, type NewExpiry, type PackedHead } from '../rows/index.ts';
import { LargeNames } from './large-names.ts';
import {
  type ElementExpiry,
  type NamedEntry,
  type NamedForm,
  type NameScan,
  NO_EXPIRY,
  NO_VALUE,
} from './named-form.ts';
import { NamedItems } from './named-items.ts';

interface Item {
  readonly name: Buffer;
  value: Buffer;
  expireMs: Millis;
}

/** See above. */
export class PackedNames implements NamedForm {
  bits: number;
  private readonly place: HeadPlace;
  /** As they are stored, until something changes. */
  private readonly stored: Buffer;
  /** Whether the stored elements have expiries. */
  private readonly haveExpiries: boolean;
  private items: NamedItems<Item> | undefined;
  private isModified = false;

  /** @param stored the head of the body; left out for one that is made anew */
  constructor(place: HeadPlace, bits: number, stored?: Pick<PackedHead, 'elements' | 'lastFieldTs'>) {
    this.place = place;
    this.bits = bits;
    this.stored = stored?.elements ?? NO_VALUE;
    this.haveExpiries = stored?.lastFieldTs !== undefined;
    // What is made anew is written, also when it has no elements: it replaces what the key holds.
    this.isModified = stored === undefined;
  }

  get count(): number {
    if (this.items !== undefined || this.haveExpiries) return this.taken().size;
    const reader = new ByteReader(this.stored);
    let count = 0;
    for (; !reader.isAtEnd; count++)
      for (let part = this.hasValues ? 2 : 1; part > 0; part--) reader.skip(reader.varint());
    return count;
  }

  get(name: Buffer): Buffer | undefined {
    return (this.items === undefined ? this.findStored(name) : this.items.find(name))?.value;
  }

  /** None: everything is here already. */
  rowsOf(): Buffer[] {
    return [];
  }

  expiryOf(name: Buffer): Millis | undefined {
    return (this.items === undefined ? this.findStored(name) : this.items.find(name))?.expireMs;
  }

  set(name: Buffer, value: Buffer, expiry: ElementExpiry): boolean {
    const items = this.taken();
    const item = items.find(name);
    this.isModified ||= this.hasValues || item === undefined;
    if (item === undefined) {
      items.add({ name, value, expireMs: expiry === 'keep' ? NO_EXPIRY : expiry });
      return true;
    }
    item.value = value;
    if (expiry !== 'keep') item.expireMs = expiry;
    return false;
  }

  setExpiry(name: Buffer, expireMs: Millis): void {
    this.isModified = true;
    this.taken().find(name)!.expireMs = expireMs;
  }

  delete(name: Buffer): boolean {
    if (this.taken().delete(name) === undefined) return false;
    this.isModified = true;
    return true;
  }

  *names(): Generator<Buffer> {
    for (const item of this.taken().all()) yield item.name;
  }

  *entries(): Generator<NamedEntry> {
    yield* this.taken().all();
  }

  random(): Buffer {
    const items = this.taken().all();
    return items[this.place.access.random.int(items.length)]!.name;
  }

  /** Everything at once, whatever the cursor is: it may come from the time when the body was large. */
  scan(): NameScan {
    return { cursor: 0, names: [...this.names()] };
  }

  save(expiry: NewExpiry): void {
    if (!this.isModified && expiry === 'keep') return;
    this.isModified = false;
    const { place, bits } = this;
    const { packedBytes, packedElements } = place.access.bodyLimits;
    const items = this.taken().all();
    const lastFieldTs = lastExpiry(items);
    const haveExpiries = lastFieldTs !== undefined;
    const bytes = items.length <= packedElements ? this.encodedBytes(items, haveExpiries) : Number.POSITIVE_INFINITY;
    if (bytes + (haveExpiries ? FIELD_EXPIRIES_BYTES : 0) > packedBytes) {
      const large = LargeNames.create(place, drawIncarnation(place.access, place.type), bits);
      for (const { name, value, expireMs } of items) large.addNew(name, value, expireMs);
      large.save(expiry);
      return;
    }
    const elements = this.encode(items, bytes, haveExpiries);
    const head: PackedHead = { form: ValueForm.Packed, type: place.type, bits, lastFieldTs, elements };
    place.write(head, expiry, true);
  }

  private get hasValues(): boolean {
    return this.place.type === ValueType.Hash;
  }

  private encodedBytes(items: readonly Item[], haveExpiries: boolean): number {
    let bytes = 0;
    for (const { name, value, expireMs } of items) {
      bytes += varintBytes(name.length) + name.length;
      if (this.hasValues) bytes += varintBytes(value.length) + value.length;
      if (haveExpiries) bytes += varintBytes(expireMs);
    }
    return bytes;
  }

  private encode(items: readonly Item[], bytes: number, haveExpiries: boolean): Buffer {
    const target = Buffer.allocUnsafe(bytes);
    let at = 0;
    const write = (part: Buffer): void => {
      at = writeVarint(target, at, part.length);
      at += part.copy(target, at);
    };
    for (const { name, value, expireMs } of items) {
      write(name);
      if (this.hasValues) write(value);
      if (haveExpiries) at = writeVarint(target, at, expireMs);
    }
    return target;
  }

  /** An element among the stored bytes: taking all of them apart would cost more. */
  private findStored(name: Buffer): Omit<Item, 'name'> | undefined {
    const reader = new ByteReader(this.stored);
    while (!reader.isAtEnd) {
      const isIt = reader.take(reader.varint()).equals(name);
      const value = this.hasValues ? reader.take(reader.varint()) : NO_VALUE;
      const expireMs = this.haveExpiries ? reader.varint() : NO_EXPIRY;
      if (isIt) return this.isThere(expireMs) ? { value, expireMs } : undefined;
    }
    return undefined;
  }

  private taken(): NamedItems<Item> {
    if (this.items === undefined) {
      const reader = new ByteReader(this.stored);
      const items: Item[] = [];
      while (!reader.isAtEnd) {
        const name = reader.take(reader.varint());
        const value = this.hasValues ? reader.take(reader.varint()) : NO_VALUE;
        const expireMs = this.haveExpiries ? reader.varint() : NO_EXPIRY;
        if (this.isThere(expireMs)) items.push({ name, value, expireMs });
      }
      this.items = new NamedItems(items);
    }
    return this.items;
  }

  private isThere(expireMs: Millis): boolean {
    return expireMs === NO_EXPIRY || expireMs > physicalMs(this.place.access.view.ts);
  }
}

/** When the last of some elements expires, `NEVER` when one of them does not; undefined when none does. */
function lastExpiry(items: readonly Item[]): HlcTimestamp | undefined {
  let last = NO_EXPIRY;
  let expiring = 0;
  for (const { expireMs } of items) {
    if (expireMs === NO_EXPIRY) continue;
    expiring++;
    last = Math.max(last, expireMs);
  }
  if (expiring === 0) return undefined;
  return expiring < items.length ? NEVER : timestampOfMs(last);
}
