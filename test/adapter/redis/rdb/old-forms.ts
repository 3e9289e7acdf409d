/** Payloads in forms that Redis 7.0 still reads and no longer writes, made by hand. */
import { streamId } from '../../../../src/adapter/redis/bodies/index.ts';
import { crc64 } from '../../../../src/adapter/redis/rdb/crc64.ts';
import { ListpackWriter } from '../../../../src/adapter/redis/rdb/listpack.ts';

const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** A string of fewer than 16,384 bytes with its length. */
export const stringOf = (bytes: Buffer): Buffer =>
  Buffer.concat([
    bytes.length < 64 ? Buffer.of(bytes.length) : Buffer.of(0x40 | (bytes.length >> 8), bytes.length & 0xff),
    bytes,
  ]);

/** What RESTORE takes, with the right checksum. */
export function sealed(value: Buffer, version = 10): Buffer {
  const framed = Buffer.concat([value, u16(version)]);
  return Buffer.concat([framed, crc64(framed)]);
}

/** Integers are encoded as such. */
export function ziplistOf(elements: readonly (string | number | bigint)[]): Buffer {
  const entries: Buffer[] = [];
  let before = 0;
  let tail = 10;
  for (const element of elements) {
    const previous = before < 254 ? Buffer.of(before) : Buffer.concat([Buffer.of(0xfe), u32(before)]);
    const entry = Buffer.concat([previous, zipEntry(element)]);
    if (entries.length > 0) tail += before;
    before = entry.length;
    entries.push(entry);
  }
  const size = 11 + entries.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([u32(size), u32(tail), u16(elements.length), ...entries, Buffer.of(0xff)]);
}

function zipEntry(element: string | number | bigint): Buffer {
  if (typeof element === 'string') {
    const bytes = Buffer.from(element, 'latin1');
    const { length } = bytes;
    const header =
      length < 64
        ? Buffer.of(length)
        : length < 16_384
          ? Buffer.of(0x40 | (length >> 8), length & 0xff)
          : Buffer.of(0x80, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
    return Buffer.concat([header, bytes]);
  }
  const value = Number(element);
  if (value >= 0 && value <= 12) return Buffer.of(0xf1 + value);
  const widths = [
    [0xfe, 1],
    [0xc0, 2],
    [0xf0, 3],
    [0xd0, 4],
  ] as const;
  for (const [encoding, width] of widths) {
    if (value < -(2 ** (8 * width - 1)) || value >= 2 ** (8 * width - 1)) continue;
    const bytes = Buffer.alloc(1 + width, encoding);
    bytes.writeIntLE(value, 1, width);
    return bytes;
  }
  const bytes = Buffer.alloc(9, 0xe0);
  bytes.writeBigInt64LE(BigInt(element), 1);
  return bytes;
}

export function zipmapOf(parts: readonly string[]): Buffer {
  const length = (size: number): Buffer => (size < 254 ? Buffer.of(size) : Buffer.concat([Buffer.of(0xfe), u32(size)]));
  const fields = parts.map((part, at) => {
    const bytes = Buffer.from(part, 'latin1');
    const free = at % 2 === 1 ? at % 5 : undefined;
    if (free === undefined) return Buffer.concat([length(bytes.length), bytes]);
    return Buffer.concat([length(bytes.length), Buffer.of(free), bytes, Buffer.alloc(free)]);
  });
  return Buffer.concat([Buffer.of(Math.min(254, parts.length / 2)), ...fields, Buffer.of(0xff)]);
}

const LONG = 'x'.repeat(300);
const NUMBERS = [0, 12, 13, -1, 127, -129, 40_000, -8_000_000, 100_000_000, 5_000_000_000n];
const typed = (type: number, ...parts: Buffer[]): Buffer => sealed(Buffer.concat([Buffer.of(type), ...parts]));
const text = (value: string): Buffer => stringOf(Buffer.from(value, 'latin1'));

const time = (ms: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(ms));
  return bytes;
};

/**
 * A stream with a deleted entry, a group that has read two entries and a consumer that has acknowledged one.
 * @param form 1 as of Redis 5, 2 as of 7.0, 3 as of 7.2
 */
export function streamOf(form: 1 | 2 | 3): Buffer {
  const first = streamId(1n, 0n);
  const fields = ['f', 'g'];
  const listpack = new ListpackWriter();
  const entries = [...[2, 0, 0, 'v', 1, 5], ...[3, 1, 0, 'gone', 2, 5], ...[0, 1, 1, 1, 'other', 'w'.repeat(80), 6]];
  for (const part of [2, 1, 2, ...fields, 0, ...entries]) listpack.add(Buffer.from(String(part)));
  return sealed(
    Buffer.concat([
      Buffer.of([15, 19, 21][form - 1]!, 1),
      stringOf(first),
      stringOf(listpack.finish()),
      // Entries, last id; first id, highest deleted id, entries added.
      Buffer.of(2, 3, 0),
      form > 1 ? Buffer.of(1, 0, 2, 0, 4) : Buffer.of(),
      // The group, its last delivered id, entries read.
      Buffer.of(1, 1, 0x67, 2, 1),
      form > 1 ? Buffer.of(3) : Buffer.of(),
      Buffer.of(1),
      ...[first, time(1_700_000_000_000), Buffer.of(4)],
      // The consumer.
      Buffer.of(1, 1, 0x63),
      time(1_700_000_000_500),
      form > 2 ? time(1_700_000_000_400) : Buffer.of(),
      Buffer.of(1),
      first,
    ]),
  );
}

/** As sent to servers below; see `streamOf`. */
const STREAM_READ = ['XINFO', 'STREAM', 'k', 'FULL'] as const;

/** By what they are, with a command that reads them. */
export const OLD_PAYLOADS: Readonly<Record<string, readonly [payload: Buffer, ...read: string[]]>> = {
  'list of strings': [typed(1, Buffer.of(3), text('a'), text('bb'), text(LONG)), 'LRANGE', 'k', '0', '-1'],
  'list in a ziplist': [typed(10, stringOf(ziplistOf(['a', LONG, 'z', ...NUMBERS]))), 'LRANGE', 'k', '0', '-1'],
  'list in ziplists': [
    typed(14, Buffer.of(2), stringOf(ziplistOf(['a', LONG])), stringOf(ziplistOf(NUMBERS))),
    'LRANGE',
    'k',
    '0',
    '-1',
  ],
  'hash in a zipmap': [typed(9, stringOf(zipmapOf(['f', 'v', 'g', LONG, LONG, 'w']))), 'HGETALL', 'k'],
  'hash in a ziplist': [typed(13, stringOf(ziplistOf(['f', 1, 'g', 'v']))), 'HGETALL', 'k'],
  'sorted set with scores as text': [
    typed(3, Buffer.of(3), text('a'), text('1.5'), text('b'), Buffer.of(254), text('c'), Buffer.of(255)),
    'ZRANGE',
    'k',
    '0',
    '-1',
    'WITHSCORES',
  ],
  'sorted set in a ziplist': [
    typed(12, stringOf(ziplistOf(['a', '-1.25', 'b', 3, 'c', 'inf']))),
    'ZRANGE',
    'k',
    '0',
    '-1',
    'WITHSCORES',
  ],
  'stream of Redis 5': [streamOf(1), ...STREAM_READ],
  'stream of Redis 7': [streamOf(2), ...STREAM_READ],
  'plain value in a list': [typed(18, Buffer.of(1), Buffer.of(1), text(LONG)), 'LRANGE', 'k', '0', '-1'],
};
