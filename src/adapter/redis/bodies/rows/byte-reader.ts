/** Reads stored bytes from front to end. */
import { assert } from '../../../../platform/index.ts';

/** A position in bytes that moves on as they are read. Bytes that end too early are an assertion: a stored row is complete. */
export class ByteReader {
  private at: number;
  private readonly bytes: Buffer;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  /** Where the next byte is read from. */
  get offset(): number {
    return this.at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    assert(this.at < this.bytes.length, 'a stored row ends too early');
    return this.bytes[this.at++]!;
  }

  varint(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let scale = 0x80; ; scale *= 0x80) {
      const byte = this.byte();
      if (byte < 0x80) return value + byte * scale;
      value += (byte & 0x7f) * scale;
    }
  }

  /** A view of the next `length` bytes. */
  take(length: number): Buffer {
    const from = this.at;
    this.at += length;
    assert(this.at <= this.bytes.length, 'a stored row ends too early');
    return this.bytes.subarray(from, this.at);
  }

  skip(length: number): void {
    this.goTo(this.at + length);
  }

  /** Goes on at an offset. */
  goTo(offset: number): void {
    this.at = offset;
    assert(this.at <= this.bytes.length, 'a stored row ends too early');
  }

  /** A view of everything that was not read yet. */
  rest(): Buffer {
    return this.take(this.bytes.length - this.at);
  }
}
