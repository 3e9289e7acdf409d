/**
 * A sorted set that is in memory as a whole: because it lies in its head, or because a command makes it anew. It is saved in the form that fits.
 *
 *   sorted set in its head  (length of the key (varint)  key: score (8 bytes), member)*  in order
 */
import { ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { NamedItems } from '../names/index.ts';
import { ByteReader, drawIncarnation, type HeadPlace, type NewExpiry } from '../rows/index.ts';
import { LargeOrder } from './large-order.ts';
import type { KeyScan, OrderForm } from './order-form.ts';
import { memberOf, SCORE_BYTES } from './score.ts';

interface Item {
  readonly name: Buffer;
  key: Buffer;
}

/** See above. */
export class PackedOrder implements OrderForm {
  bits: number;
  private readonly place: HeadPlace;
  /** Made by the first change: until then the keys are all there is. */
  private items: NamedItems<Item> | undefined;
  /** All keys in order; undefined when they have to be taken from the items and sorted again. */
  private keys: Buffer[] | undefined;
  private isModified: boolean;
  /** Where rows of the body that it replaces have their numbers from: cursors of scans are such numbers. */
  private readonly nextNumber: number;

  /** @param stored elements of a head; left out for a body that is made anew */
  constructor(place: HeadPlace, bits: number, stored?: Buffer, nextNumber = 1) {
    this.place = place;
    this.bits = bits;
    this.nextNumber = nextNumber;
    // What is made anew is written, also when it has no elements: it replaces what the key holds.
    this.isModified = stored === undefined;
    this.keys = [];
    const reader = new ByteReader(stored ?? Buffer.alloc(0));
    while (!reader.isAtEnd) this.keys.push(reader.take(reader.varint()));
  }

  get count(): number {
    return this.items?.size ?? this.keys!.length;
  }

  /** All of it is here. */
  prefetch(): void {}

  prefetchKeys(): void {}

  prefetchAll(): void {}

  keyOf(member: Buffer): Buffer | undefined {
    if (this.items !== undefined) return this.items.find(member)?.key;
    const length = SCORE_BYTES + member.length;
    return this.keys!.find((key) => key.length === length && key.compare(member, 0, member.length, SCORE_BYTES) === 0);
  }

  add(member: Buffer, key: Buffer): void {
    this.change().add({ name: member, key });
  }

  move(member: Buffer, _from: Buffer, to: Buffer): void {
    this.change().find(member)!.key = to;
  }

  remove(member: Buffer): void {
    this.change().delete(member);
  }

  rankOf(key: Buffer): number {
    const keys = this.sorted();
    let [from, to] = [0, keys.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (Buffer.compare(keys[middle]!, key) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  *walkFrom(index: number, step: 1 | -1): Generator<Buffer> {
    const keys = this.sorted();
    for (let at = index; at >= 0 && at < keys.length; at += step) yield keys[at]!;
  }

  walkFromKey(key: Buffer, step: 1 | -1): Iterable<Buffer> {
    const rank = this.rankOf(key);
    return this.walkFrom(step === 1 ? rank : rank - 1, step);
  }

  removeRange(from: number, count: number): void {
    for (const key of this.sorted().slice(from, from + count)) this.remove(memberOf(key));
  }

  /** Everything at once, whatever the cursor is: it may come from the time when the body was large. */
  scan(): KeyScan {
    return { cursor: 0, keys: this.sorted() };
  }

  save(expiry: NewExpiry): void {
    if (!this.isModified && expiry === 'keep') return;
    this.isModified = false;
    const { place, bits } = this;
    const { packedBytes, packedElements } = place.access.bodyLimits;
    const keys = this.sorted();
    let bytes = keys.length > packedElements ? Number.POSITIVE_INFINITY : 0;
    if (bytes === 0) for (const { length } of keys) bytes += varintBytes(length) + length;
    if (bytes > packedBytes) {
      LargeOrder.create(place, drawIncarnation(place.access, place.type), bits, keys, this.nextNumber).save(expiry);
      return;
    }
    const elements = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const key of keys) {
      at = writeVarint(elements, at, key.length);
      at += key.copy(elements, at);
    }
    place.write({ form: ValueForm.Packed, type: place.type, bits, elements }, expiry, true);
  }

  private change(): NamedItems<Item> {
    this.isModified = true;
    this.items ??= new NamedItems(this.keys!.map((key) => ({ name: memberOf(key), key })));
    this.keys = undefined;
    return this.items;
  }

  private sorted(): Buffer[] {
    this.keys ??= this.items!.all()
      .map(({ key }) => key)
      .sort(Buffer.compare);
    return this.keys;
  }
}
