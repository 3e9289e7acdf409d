/**
 * A hash or a set that is in memory as a whole: because it lies in its head, or because a command makes it anew. It is saved in the form that
 * fits.
 *
 *   hash in its head  (length of the field (varint)  field  length of the value (varint)  value)*
 *   set in its head   (length of the member (varint)  member)*
 */
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import { ByteReader, drawIncarnation, type HeadPlace, type NewExpiry, type PackedHead } from '../rows/index.ts';
import { LargeNames } from './large-names.ts';
import { type NamedEntry, type NamedForm, type NameScan, NO_VALUE } from './named-form.ts';
import { NamedItems } from './named-items.ts';

interface Item {
  readonly name: Buffer;
  value: Buffer;
}

/** See above. */
export class PackedNames implements NamedForm {
  bits: number;
  private readonly place: HeadPlace;
  /** As they are stored, until something changes. */
  private readonly stored: Buffer;
  private items: NamedItems<Item> | undefined;
  private isModified = false;

  /** @param stored elements of a head; left out for a body that is made anew */
  constructor(place: HeadPlace, bits: number, stored?: Buffer) {
    this.place = place;
    this.bits = bits;
    this.stored = stored ?? NO_VALUE;
    // What is made anew is written, also when it has no elements: it replaces what the key holds.
    this.isModified = stored === undefined;
  }

  get count(): number {
    if (this.items !== undefined) return this.items.size;
    const reader = new ByteReader(this.stored);
    let count = 0;
    for (; !reader.isAtEnd; count++)
      for (let part = this.hasValues ? 2 : 1; part > 0; part--) reader.skip(reader.varint());
    return count;
  }

  get(name: Buffer): Buffer | undefined {
    return this.items === undefined ? this.findStored(name) : this.items.find(name)?.value;
  }

  /** Everything is here already. */
  prefetch(): void {}

  set(name: Buffer, value: Buffer): boolean {
    const items = this.taken();
    const item = items.find(name);
    this.isModified ||= this.hasValues || item === undefined;
    if (item === undefined) items.add({ name, value });
    else item.value = value;
    return item === undefined;
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
    const bytes = items.length <= packedElements ? this.encodedBytes(items) : Number.POSITIVE_INFINITY;
    if (bytes > packedBytes) {
      const large = LargeNames.create(place, drawIncarnation(place.access), bits);
      for (const { name, value } of items) large.addNew(name, value);
      large.save(expiry);
      return;
    }
    const head: PackedHead = { form: ValueForm.Packed, type: place.type, bits, elements: this.encode(items, bytes) };
    place.write(head, expiry, true);
  }

  private get hasValues(): boolean {
    return this.place.type === ValueType.Hash;
  }

  private encodedBytes(items: readonly Item[]): number {
    let bytes = 0;
    for (const { name, value } of items) {
      bytes += varintBytes(name.length) + name.length;
      if (this.hasValues) bytes += varintBytes(value.length) + value.length;
    }
    return bytes;
  }

  private encode(items: readonly Item[], bytes: number): Buffer {
    const target = Buffer.allocUnsafe(bytes);
    let at = 0;
    const write = (part: Buffer): void => {
      at = writeVarint(target, at, part.length);
      at += part.copy(target, at);
    };
    for (const { name, value } of items) {
      write(name);
      if (this.hasValues) write(value);
    }
    return target;
  }

  /** The value of a name among the stored bytes: taking all of them apart would cost more. */
  private findStored(name: Buffer): Buffer | undefined {
    const reader = new ByteReader(this.stored);
    while (!reader.isAtEnd) {
      const isIt = reader.take(reader.varint()).equals(name);
      const value = this.hasValues ? reader.take(reader.varint()) : NO_VALUE;
      if (isIt) return value;
    }
    return undefined;
  }

  private taken(): NamedItems<Item> {
    if (this.items === undefined) {
      const reader = new ByteReader(this.stored);
      const items: Item[] = [];
      while (!reader.isAtEnd) {
        const name = reader.take(reader.varint());
        items.push({ name, value: this.hasValues ? reader.take(reader.varint()) : NO_VALUE });
      }
      this.items = new NamedItems(items);
    }
    return this.items;
  }
}
