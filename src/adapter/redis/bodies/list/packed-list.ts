/**
 * A list that is in memory as a whole: because it lies in its head, or because a command makes it anew. It is saved in the form that fits.
 *
 *   list in its head  (length of the value (varint)  value)*
 */
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { ByteReader, drawIncarnation, type HeadPlace, type NewExpiry } from '../rows/index.ts';
import { LargeList } from './large-list.ts';
import type { ListForm } from './list-form.ts';

/** See above. */
export class PackedList implements ListForm {
  readonly bits: number;
  private readonly place: HeadPlace;
  private values: Buffer[];
  private isModified: boolean;

  /** @param stored elements of a head; left out for a body that is made anew */
  constructor(place: HeadPlace, bits: number, stored?: Buffer) {
    this.place = place;
    this.bits = bits;
    this.values = [];
    // What is made anew is written, also when it has no elements: it replaces what the key holds.
    this.isModified = stored === undefined;
    if (stored === undefined) return;
    const reader = new ByteReader(stored);
    while (!reader.isAtEnd) this.values.push(reader.take(reader.varint()));
  }

  get count(): number {
    return this.values.length;
  }

  at(index: number): Buffer {
    return this.values[index]!;
  }

  replaceAt(index: number, value: Buffer): void {
    this.isModified = true;
    this.values[index] = value;
  }

  insertAt(index: number, values: readonly Buffer[]): void {
    this.isModified = true;
    if (index === this.values.length) for (const value of values) this.values.push(value);
    else this.values = [...this.values.slice(0, index), ...values, ...this.values.slice(index)];
  }

  removeRange(from: number, count: number): void {
    this.isModified ||= count > 0;
    this.values.splice(from, count);
  }

  *walkFrom(index: number, step: 1 | -1): Generator<Buffer> {
    for (let at = index; at >= 0 && at < this.values.length; at += step) yield this.values[at]!;
  }

  *matchesFrom(index: number, step: 1 | -1, value: Buffer): Generator<boolean> {
    for (const other of this.walkFrom(index, step)) yield value.equals(other);
  }

  save(expiry: NewExpiry): void {
    if (!this.isModified && expiry === 'keep') return;
    this.isModified = false;
    const { place, bits, values } = this;
    const { packedBytes, packedElements } = place.access.bodyLimits;
    let bytes = values.length > packedElements ? Number.POSITIVE_INFINITY : 0;
    if (bytes === 0) for (const { length } of values) bytes += varintBytes(length) + length;
    if (bytes > packedBytes) {
      LargeList.create(place, drawIncarnation(place.access, place.type), bits, values).save(expiry);
      return;
    }
    const elements = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const value of values) {
      at = writeVarint(elements, at, value.length);
      at += value.copy(elements, at);
    }
    place.write({ form: ValueForm.Packed, type: place.type, bits, elements }, expiry, true);
  }
}
