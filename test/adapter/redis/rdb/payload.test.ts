/** Redis' file format: what is written is read, and what is no payload is refused without harm. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { streamId } from '../../../../src/adapter/redis/bodies/index.ts';
import { crc64 } from '../../../../src/adapter/redis/rdb/crc64.ts';
import { RdbFormatError } from '../../../../src/adapter/redis/rdb/errors.ts';
import { ListpackWriter, readListpack } from '../../../../src/adapter/redis/rdb/listpack.ts';
import { compressLzf, decompressLzf } from '../../../../src/adapter/redis/rdb/lzf.ts';
import type { RdbValue } from '../../../../src/adapter/redis/rdb/objects.ts';
import { isPayload, readPayload, writePayload } from '../../../../src/adapter/redis/rdb/payload.ts';
import type { RdbStream } from '../../../../src/adapter/redis/rdb/streams.ts';
import { OLD_PAYLOADS, sealed, streamOf } from './old-forms.ts';

const MAX_BYTES = 1 << 20;
const integers = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  ...[4n, 6n, 7n, 8n, 12n, 15n, 16n, 23n, 24n, 31n, 32n, 62n, 63n].map((bits) =>
    fc.constantFrom(2n ** bits, -(2n ** bits), 2n ** bits - 1n, -(2n ** bits) - 1n),
  ),
);
const bytes = fc.oneof(
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)) },
  { weight: 2, arbitrary: integers.map((value) => Buffer.from(String(value))) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(63, 64, 127, 4095, 4096, 5000, 20_000).map((size) => Buffer.alloc(size, 'ab')),
  },
  { weight: 1, arbitrary: fc.constantFrom('', '-0', '00', '+1', '1.5', ' 1').map((text) => Buffer.from(text)) },
);
const different = <T>(element: fc.Arbitrary<T>, name: (one: T) => Buffer) =>
  fc.uniqueArray(element, { minLength: 1, maxLength: 40, selector: (one) => name(one).toString('latin1') });
const score = fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number));

const MAX_U64 = (1n << 64n) - 1n;
/** Ids of few different milliseconds, and some from the corners. */
const streamIds = fc
  .uniqueArray(
    fc.tuple(
      fc.oneof(fc.bigInt(0n, 5n), fc.constantFrom(1_700_000_000_000n, MAX_U64)),
      fc.oneof(fc.bigInt(0n, 300n), fc.constantFrom(1n << 40n, MAX_U64)),
    ),
    { minLength: 1, maxLength: 40, selector: (parts) => parts.join() },
  )
  .map((all) => all.map(([ms, seq]) => streamId(ms, seq)).sort(Buffer.compare));
const field = fc.oneof(
  fc.constantFrom('f', 'g').map((text) => Buffer.from(text)),
  bytes,
);
const moment = fc.integer({ min: 0, max: 2 ** 41 });

const streams = fc
  .record({
    ids: streamIds,
    parts: fc.array(fc.array(fc.tuple(field, bytes), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 7 }),
    seen: fc.array(moment, { maxLength: 3 }),
    entriesRead: fc.constantFrom(-1n, 0n, 7n, 2n ** 63n - 1n),
    groups: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ ids, parts, seen, entriesRead, groups }): RdbStream => {
    const consumers = seen.map((seenMs, at) => ({ name: Buffer.from(`c${at}`), seenMs }));
    const pending =
      consumers.length === 0
        ? []
        : ids.slice(0, 5).map((id, at) => ({
            ...{ id, deliveredMs: at * 1_000, deliveries: at },
            consumer: consumers[at % consumers.length]!.name,
          }));
    return {
      type: 'stream',
      entries: ids.map((id, at) => ({ id, parts: parts[at % parts.length]!.flat() })),
      lastId: ids.at(-1)!,
      maxDeletedId: ids[0]!,
      entriesAdded: entriesRead < 0n ? 0n : entriesRead,
      groups: Array.from({ length: groups }, (_, at) => ({
        ...{ name: Buffer.from(`g${at}`), lastDelivered: ids[0]!, entriesRead, consumers, pending },
      })),
    };
  });

const values: fc.Arbitrary<{ value: RdbValue; isCompact: boolean }> = fc.oneof(
  fc.record({ value: streams, isCompact: fc.constant(false) }),
  fc.record({ value: fc.record({ type: fc.constant('string' as const), bytes }), isCompact: fc.boolean() }),
  fc.record({
    value: fc.record({ type: fc.constant('list' as const), values: fc.array(bytes, { minLength: 1, maxLength: 40 }) }),
    isCompact: fc.boolean(),
  }),
  fc.record({
    value: fc.record({ type: fc.constant('set' as const), members: different(bytes, (one) => one) }),
    isCompact: fc.constant(false),
  }),
  fc.record({
    value: fc.record({
      type: fc.constant('set' as const),
      members: fc
        .uniqueArray(
          integers.filter((value) => BigInt.asIntN(64, value) === value),
          { minLength: 1 },
        )
        .map((numbers) => [...numbers].sort((a, b) => (a < b ? -1 : 1)).map((number) => Buffer.from(String(number)))),
    }),
    isCompact: fc.constant(true),
  }),
  fc.record({
    value: fc.record({
      type: fc.constant('hash' as const),
      fields: different(fc.record({ field: bytes, value: bytes }), ({ field }) => field),
    }),
    isCompact: fc.boolean(),
  }),
  fc.record({
    value: fc.record({
      type: fc.constant('zset' as const),
      members: different(fc.record({ member: bytes, score }), ({ member }) => member),
    }),
    isCompact: fc.boolean(),
  }),
);

const latin1 = (part: Buffer): string => part.toString('latin1');

const shownNumber = (_: string, each: unknown): unknown => (typeof each === 'bigint' ? `${each}` : each);

/** The contents of a value as text, in an order that does not depend on how it was written. */
function contentsOf(value: RdbValue): string[] {
  switch (value.type) {
    case 'string':
      return [latin1(value.bytes)];
    case 'list':
      return value.values.map(latin1);
    case 'set':
      return value.members.map(latin1);
    case 'hash':
      return value.fields.flatMap(({ field, value: content }) => [latin1(field), latin1(content)]);
    case 'zset':
      return value.members.map(({ member, score: of }) => `${of} ${latin1(member)}`).sort();
    case 'stream':
      return [JSON.stringify({ ...value, entriesAdded: `${value.entriesAdded}` }, shownNumber)];
  }
}

describe('a payload', () => {
  test('is read as the value that it was written for', () => {
    fc.assert(
      fc.property(values, ({ value, isCompact }) => {
        const payload = Buffer.from(writePayload(value, { isCompact }));
        assert.ok(isPayload(payload));
        const read = readPayload(payload, MAX_BYTES);
        assert.equal(read.type, value.type);
        assert.deepEqual(contentsOf(read), contentsOf(value));
      }),
      { numRuns: 400 },
    );
  });

  test('keeps when the fields of a hash expire', () => {
    const fields = [
      { field: Buffer.from('a'), value: Buffer.from('1'), expiresMs: 1_900_000_000_000 },
      { field: Buffer.from('b'), value: Buffer.from('2'), expiresMs: undefined },
      { field: Buffer.from('c'), value: Buffer.from('3'), expiresMs: 2_100_000_000_000 },
    ];
    const payload = writePayload({ type: 'hash', fields }, { isCompact: true });
    assert.equal(payload.readUInt16LE(payload.length - 10), 12, 'the version that has them');
    assert.deepEqual(readPayload(payload, MAX_BYTES), { type: 'hash', fields });
  });

  test('that was changed anywhere has another checksum, and cut or of a later version is none', () => {
    const payload = Buffer.from(writePayload({ type: 'string', bytes: Buffer.from('hello') }, { isCompact: false }));
    for (let at = 0; at < payload.length; at++) {
      const changed = Buffer.from(payload);
      changed[at]! ^= 0x10;
      assert.equal(isPayload(changed), false);
      assert.equal(isPayload(payload.subarray(0, at)), false);
    }
    assert.equal(isPayload(sealed(payload.subarray(0, -10), 13)), false);
    assert.equal(isPayload(sealed(Buffer.alloc(0))), true);
    assert.throws(() => readPayload(sealed(Buffer.alloc(0)), MAX_BYTES), RdbFormatError);
  });

  test('of arbitrary bytes with a right checksum is a value or refused, in little time and room', () => {
    const written = values.map(({ value, isCompact }) => writePayload(value, { isCompact }));
    const anyPayload = fc.oneof(written, fc.constantFrom(...Object.values(OLD_PAYLOADS).map(([payload]) => payload)));
    const change = fc.record({
      at: fc.nat(),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfe, 0xff)),
    });
    let read = 0;
    fc.assert(
      fc.property(anyPayload, fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(), (payload, changes, cut) => {
        const bytesOfIt = Buffer.from(payload.subarray(0, -10));
        for (const { at, byte } of changes) bytesOfIt[at % bytesOfIt.length] = byte;
        const kept = cut % 4 === 0 ? bytesOfIt.subarray(0, cut % bytesOfIt.length) : bytesOfIt;
        try {
          readPayload(sealed(kept), MAX_BYTES);
          read++;
        } catch (error) {
          assert.ok(error instanceof RdbFormatError, String(error));
        }
      }),
      { numRuns: 5_000 },
    );
    assert.ok(read > 100, 'some changes leave a value');
  });

  test('claims no length that it has not the bytes for', () => {
    const claims = [
      [0, 0x80, 0xff, 0xff, 0xff, 0xff],
      [0, 0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0, 0xc3, 0x02, 0x80, 0x7f, 0xff, 0xff, 0xff, 0x00, 0x61],
      [2, 0x80, 0xff, 0xff, 0xff, 0xff, 0x01, 0x61],
      [4, 0x80, 0x7f, 0xff, 0xff, 0xff, 0x01, 0x61],
      [11, 0x08, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f],
    ];
    for (const claim of claims) assert.throws(() => readPayload(sealed(Buffer.from(claim)), MAX_BYTES), RdbFormatError);
  });

  test('decompresses to no more than it may', () => {
    const payload = writePayload({ type: 'string', bytes: Buffer.alloc(100_000) }, { isCompact: false });
    assert.ok(payload.length < 2_000);
    assert.throws(() => readPayload(payload, 99_999), RdbFormatError);
    assert.equal(readPayload(payload, 100_000).type, 'string');
  });

  test('of a stream is read in the form of later versions too', () => {
    const stream = readPayload(streamOf(3), MAX_BYTES);
    assert.deepEqual(contentsOf(stream), contentsOf(readPayload(streamOf(2), MAX_BYTES)));
    assert.notDeepEqual(contentsOf(stream), contentsOf(readPayload(streamOf(1), MAX_BYTES)));
  });

  for (const [name, [payload]] of Object.entries(OLD_PAYLOADS)) {
    test(`is read in an old form: ${name}`, () => {
      assert.ok(isPayload(payload));
      readPayload(payload, MAX_BYTES);
    });
  }
});

describe('the parts of payloads', () => {
  test('have the checksum of their standard', () => {
    assert.equal(crc64(Buffer.from('123456789')).toString('hex'), 'cad9b8c414d9c6e9');
  });

  test('are compressed and come back, whatever repeats in them', () => {
    const repetitive = fc
      .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 60 })), {
        maxLength: 12,
      })
      .map((parts) => Buffer.concat(parts.flatMap(([part, times]) => Array.from({ length: times }, () => part))));
    fc.assert(
      fc.property(repetitive, fc.nat(20), (original, saved) => {
        const limit = Math.max(0, original.length - saved);
        const compressed = compressLzf(original, limit);
        if (compressed === undefined) return;
        assert.ok(compressed.length <= limit);
        assert.ok(decompressLzf(compressed, original.length).equals(original));
        assert.throws(() => decompressLzf(compressed, original.length + 1), RdbFormatError);
      }),
      { numRuns: 500 },
    );
    assert.ok(compressLzf(Buffer.alloc(1000), 996)!.length < 20);
  });

  test('are listpacks of any elements', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 50 }), (elements) => {
        const writer = new ListpackWriter();
        for (const element of elements) writer.add(element);
        assert.deepEqual(readListpack(writer.finish()).map(latin1), elements.map(latin1));
      }),
    );
  });
});
