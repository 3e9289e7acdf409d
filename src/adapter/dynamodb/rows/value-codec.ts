/**
 * Attributes as bytes in rows: a type, then what the type has. Lengths and counts are varints, so that a short attribute costs two bytes beside its
 * name and its value.
 *
 *   attribute := name (length, UTF-8), value
 *   value     := type u8, S | B: length, bytes | N: number | BOOL: u8 | NULL | L: count, values | M: count, attributes
 *              | SS, BS: count, (length, bytes)* | NS: count, number*
 *
 * Numbers are as in keys and end by themselves: their texts may be six times as long as all that the service counts for them. Types are on disk: only
 * ever append.
 */
import { ByteReader, type ByteWriter } from '../../../platform/index.ts';
import { type AttributeType, type AttributeValue, type Item, numberBytes, readNumberBytes } from '../values/index.ts';
import { CorruptRowError } from './errors.ts';

/** In the order of their numbers on disk. */
export const ATTRIBUTE_TYPES = [
  'S',
  'N',
  'B',
  'BOOL',
  'NULL',
  'L',
  'M',
  'SS',
  'NS',
  'BS',
] as const satisfies readonly AttributeType[];
/** Documents have 32 levels; a row with more was not written by this codec. */
export const MAX_DEPTH = 64;
const CONTINUES = 0x80;
const VARINT_MASK = 0x7f;

/** A whole number below 2^32, seven bits a byte, the lowest first. */
export function writeVarint(writer: ByteWriter, value: number): void {
  let rest = value;
  for (; rest >= CONTINUES; rest = Math.floor(rest / CONTINUES)) writer.u8((rest % CONTINUES) | CONTINUES);
  writer.u8(rest);
}

function writeBytes(writer: ByteWriter, bytes: Buffer): void {
  writeVarint(writer, bytes.length);
  writer.raw(bytes);
}

/** Appends a text with its length. */
export function writeText(writer: ByteWriter, text: string): void {
  const bytes = Buffer.byteLength(text);
  writeVarint(writer, bytes);
  writer.utf8(text, bytes);
}

/** Appends one value. */
export function writeValue(writer: ByteWriter, attribute: AttributeValue): void {
  writer.u8(ATTRIBUTE_TYPES.indexOf(attribute.type));
  switch (attribute.type) {
    case 'S':
      writeText(writer, attribute.value);
      return;
    case 'N':
      writer.raw(numberBytes(attribute.value));
      return;
    case 'B':
      writeBytes(writer, attribute.value);
      return;
    case 'BOOL':
      writer.u8(attribute.value ? 1 : 0);
      return;
    case 'NULL':
      return;
    case 'L':
      writeVarint(writer, attribute.value.length);
      for (const element of attribute.value) writeValue(writer, element);
      return;
    case 'M':
      writeAttributes(writer, attribute.value);
      return;
    case 'SS':
      writeVarint(writer, attribute.value.length);
      for (const member of attribute.value) writeText(writer, member);
      return;
    case 'NS':
      writeVarint(writer, attribute.value.length);
      for (const member of attribute.value) writer.raw(numberBytes(member));
      return;
    case 'BS':
      writeVarint(writer, attribute.value.length);
      for (const member of attribute.value) writeBytes(writer, member);
      return;
  }
}

/** Appends a name and its value. */
export function writeAttribute(writer: ByteWriter, name: string, value: AttributeValue): void {
  writeText(writer, name);
  writeValue(writer, value);
}

/** Appends a count and so many attributes. */
export function writeAttributes(writer: ByteWriter, item: Item): void {
  writeVarint(writer, item.size);
  for (const [name, value] of item) writeAttribute(writer, name, value);
}

/** Reads what the functions above have written. */
export class ValueReader extends ByteReader {
  constructor(bytes: Buffer, what: string) {
    super(bytes, what, CorruptRowError);
  }

  /** @param known all that this program knows */
  flags(known: number): number {
    const flags = this.u8();
    if ((flags & ~known) !== 0) throw this.corrupt(`has flags ${flags}, which this program does not know`);
    return flags;
  }

  /** A whole number below 2^32. */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 28; factor *= CONTINUES) {
      const byte = this.u8();
      value += (byte & VARINT_MASK) * factor;
      if (byte < CONTINUES) return value;
    }
    throw this.corrupt('has a length of more than five bytes');
  }

  private lengthy(): Buffer {
    return this.raw(this.varint());
  }

  /** A text with its length. */
  name(): string {
    return this.utf8(this.varint());
  }

  protected number(): string {
    const { value, end } = readNumberBytes(this.buffer, this.offset, CorruptRowError);
    this.offset = end;
    return value;
  }

  /** A count, then so many. */
  many<T>(read: () => T): T[] {
    const members: T[] = [];
    for (let left = this.varint(); left > 0; left--) members.push(read());
    return members;
  }

  /** @param depth containers around it */
  value(depth = 0): AttributeValue {
    if (depth > MAX_DEPTH) throw this.corrupt('has too many levels');
    const type = this.oneOf(ATTRIBUTE_TYPES);
    switch (type) {
      case 'S':
        return { type, value: this.name() };
      case 'N':
        return { type, value: this.number() };
      case 'B':
        return { type, value: this.lengthy() };
      case 'BOOL':
        return { type, value: this.flag() };
      case 'NULL':
        return { type };
      case 'L':
        return { type, value: this.many(() => this.value(depth + 1)) };
      case 'M':
        return { type, value: this.attributes(this.varint(), depth + 1) };
      case 'SS':
        return { type, value: this.many(() => this.name()) };
      case 'NS':
        return { type, value: this.many(() => this.number()) };
      case 'BS':
        return { type, value: this.many(() => this.lengthy()) };
    }
  }

  /** A count, then so many attributes. */
  item(): Map<string, AttributeValue> {
    return this.attributes(this.varint());
  }

  /** @param count how many; left out: up to the end @param attributes gets them */
  attributes(
    count = Number.POSITIVE_INFINITY,
    depth = 0,
    attributes = new Map<string, AttributeValue>(),
  ): Map<string, AttributeValue> {
    for (let left = count; left > 0 && (count !== Number.POSITIVE_INFINITY || !this.isAtEnd); left--) {
      const name = this.name();
      attributes.set(name, this.value(depth));
    }
    return attributes;
  }
}
