/**
 * Items as answers have them, straight out of their rows: bytes of names and values go from the row into the JSON, and no tree is made in between. What comes
 * out is what `JSON.stringify` makes of `wireItem`, attributes in the order of the row.
 */
import { type AttributeType, type AttributeValue, wireValue } from '../values/index.ts';
import { readRecordHead } from './item-record.ts';
import { ATTRIBUTE_TYPES, MAX_DEPTH, ValueReader } from './value-codec.ts';

const [QUOTE, BACKSLASH, COMMA, FIRST_PLAIN] = [0x22, 0x5c, 0x2c, 0x20];
/** A byte becomes `\u001f` at worst. */
const MAX_ESCAPED_BYTES = 6;
/** JSON beside the bytes of a row, about. */
const USUAL_OVERHEAD = 256;

const SHORT_ESCAPES: ReadonlyMap<number, string> = new Map([
  [QUOTE, '\\"'],
  [BACKSLASH, '\\\\'],
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
]);

const escapeOf = (byte: number): string => SHORT_ESCAPES.get(byte) ?? `\\u${byte.toString(16).padStart(4, '0')}`;

/** Writes JSON; see the top of the file. */
export class ItemJson {
  private out: Buffer;
  private length = 0;

  /** @param rowBytes of what will be written, about */
  constructor(rowBytes: number) {
    this.out = Buffer.allocUnsafe(rowBytes + (rowBytes >> 2) + USUAL_OVERHEAD);
  }

  private reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.out.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.out.length));
    this.out.copy(larger, 0, 0, this.length);
    this.out = larger;
  }

  /** Appends ASCII as it is. */
  ascii(text: string): this {
    this.reserve(text.length);
    const { out } = this;
    for (let at = 0; at < text.length; at++) out[this.length + at] = text.charCodeAt(at);
    this.length += text.length;
    return this;
  }

  /** Appends JSON that somebody else has made. */
  json(text: string): this {
    const bytes = Buffer.byteLength(text);
    this.reserve(bytes);
    this.out.write(text, this.length);
    this.length += bytes;
    return this;
  }

  /** Appends a string of JSON: UTF-8 of `bytes`. */
  string(bytes: Buffer, from: number, to: number): void {
    this.reserve(to - from + 2);
    const { out } = this;
    let end = this.length;
    out[end++] = QUOTE;
    let at = from;
    for (; at < to; at++) {
      const byte = bytes[at]!;
      if (byte < FIRST_PLAIN || byte === QUOTE || byte === BACKSLASH) break;
      out[end++] = byte;
    }
    this.length = end;
    if (at < to) this.escaped(bytes, at, to);
    this.out[this.length++] = QUOTE;
  }

  /** The rest of a string from the first byte on that may not stand for itself. */
  private escaped(bytes: Buffer, from: number, to: number): void {
    // With the quote that comes behind it.
    this.reserve((to - from) * MAX_ESCAPED_BYTES + 1);
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!;
      if (byte < FIRST_PLAIN || byte === QUOTE || byte === BACKSLASH) this.ascii(escapeOf(byte));
      else this.out[this.length++] = byte;
    }
  }

  /** Appends base64 of bytes as a string. */
  base64(bytes: Buffer, from: number, to: number): void {
    this.ascii('"')
      .ascii(bytes.toString('base64', from, to))
      .ascii('"');
  }

  /** Behind another member of the same object. */
  comma(): void {
    this.reserve(1);
    this.out[this.length++] = COMMA;
  }

  /** What was written. */
  finish(): Buffer {
    return this.out.subarray(0, this.length);
  }
}

/** Reads values out of a row and writes them. */
class RowToJson extends ValueReader {
  private readonly json: ItemJson;

  constructor(bytes: Buffer, json: ItemJson) {
    super(bytes, 'an item');
    this.json = json;
  }

  private string(): void {
    const length = this.varint();
    const from = this.passed(length);
    this.json.string(this.buffer, from, from + length);
  }

  private base64(): void {
    const length = this.varint();
    const from = this.passed(length);
    this.json.base64(this.buffer, from, from + length);
  }

  private decimal(): void {
    this.json.ascii('"').ascii(this.number()).ascii('"');
  }

  /** So many, with commas between. */
  private each(count: number, write: () => void): void {
    for (let at = 0; at < count; at++) {
      if (at > 0) this.json.comma();
      write();
    }
  }

  private list(write: () => void): void {
    this.json.ascii('[');
    this.each(this.varint(), write);
    this.json.ascii(']');
  }

  /** One attribute. */
  private member(depth: number): void {
    this.string();
    this.json.ascii(':');
    this.attribute(depth);
  }

  private attribute(depth: number): void {
    if (depth > MAX_DEPTH) throw this.corrupt('has too many levels');
    const { json } = this;
    const type = this.oneOf(ATTRIBUTE_TYPES);
    json.ascii(OPENINGS[type]);
    switch (type) {
      case 'S':
        this.string();
        break;
      case 'N':
        this.decimal();
        break;
      case 'B':
        this.base64();
        break;
      case 'BOOL':
        json.ascii(this.flag() ? 'true' : 'false');
        break;
      case 'NULL':
        json.ascii('true');
        break;
      case 'L':
        this.list(() => this.attribute(depth + 1));
        break;
      case 'M':
        json.ascii('{');
        this.each(this.varint(), () => this.member(depth + 1));
        json.ascii('}');
        break;
      case 'SS':
        this.list(() => this.string());
        break;
      case 'NS':
        this.list(() => this.decimal());
        break;
      case 'BS':
        this.list(() => this.base64());
        break;
    }
    json.ascii('}');
  }

  /** All that is left. @param hasMembers there are members before */
  members(hasMembers: boolean): void {
    for (let isFirst = !hasMembers; !this.isAtEnd; isFirst = false) {
      if (!isFirst) this.json.comma();
      this.member(0);
    }
  }
}

const OPENINGS = Object.fromEntries(ATTRIBUTE_TYPES.map((type) => [type, `{"${type}":`])) as Readonly<
  Record<AttributeType, string>
>;

/**
 * Appends an item as an object.
 * @param keys the attributes that the row's key has
 * @throws CorruptRowError
 */
export function writeItemJson(json: ItemJson, keys: Iterable<readonly [string, AttributeValue]>, record: Buffer): void {
  json.ascii('{');
  let hasKeys = false;
  for (const [name, value] of keys) {
    if (hasKeys) json.comma();
    json.json(`${JSON.stringify(name)}:${JSON.stringify(wireValue(value))}`);
    hasKeys = true;
  }
  const reader = new RowToJson(record, json);
  readRecordHead(reader);
  reader.members(hasKeys);
  json.ascii('}');
}
