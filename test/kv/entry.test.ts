import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeEntry } from '../../src/kv/decoded-entry.ts';
import { encodeBatch, encodePurge, encodeSetGc, type Mutation } from '../../src/kv/entry.ts';
import { CorruptEntryError } from '../../src/kv/index.ts';
import { type HlcTimestamp, hlcTimestamp } from '../../src/platform/index.ts';
import { bytes } from './fakes.ts';

const ts = (value: bigint): HlcTimestamp => hlcTimestamp(value);
const buffer = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const timestamp = fc.bigInt({ min: 1n, max: 0xffff_ffff_ffff_ffffn }).map(ts);
const UNITS = 5;
const unit = fc.nat(UNITS - 1);
const zero = ts(0n);
const plain = { noNullPrototype: true } as const;
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record(
    { unit, key: buffer, value: buffer, expireTs: fc.oneof(fc.constant(zero), timestamp), end: fc.constant(undefined) },
    plain,
  ),
  fc.record(
    { unit, key: buffer, value: fc.constant(undefined), expireTs: fc.constant(zero), end: fc.constant(undefined) },
    plain,
  ),
  fc.record({ unit, key: buffer, value: fc.constant(undefined), expireTs: fc.constant(zero), end: buffer }, plain),
);
const expectation = fc.record({ unit, key: buffer, versionTs: fc.oneof(fc.constant(zero), timestamp) }, plain);

/** One entry of each kind that uses every field. */
const GOLDEN = (): Record<string, Buffer> => ({
  batch: encodeBatch(
    ts(0x018bcfe5_68000007n),
    2,
    [
      { unit: 0, key: bytes('absent'), versionTs: zero },
      { unit: 1, key: bytes('seen'), versionTs: ts(0x018bcfe5_67ff0001n) },
    ],
    [
      { unit: 0, key: bytes('a'), value: bytes('value'), expireTs: zero, end: undefined },
      { unit: 0, key: bytes('b'), value: bytes(''), expireTs: ts(0x018bcfe5_99990000n), end: undefined },
      { unit: 1, key: bytes('c'), value: undefined, expireTs: zero, end: undefined },
      { unit: 1, key: bytes('d'), value: undefined, expireTs: zero, end: bytes('e') },
    ],
  ),
  setGc: encodeSetGc(ts(0x018bcfe5_00000000n)),
  purgeExpired: encodePurge(ts(0x018bcfe5_68000009n), [{ key: bytes('old'), commitTs: ts(0x018bcfe5_11110000n) }]),
});

describe('log entries', () => {
  it('come back from their bytes as they were', () => {
    fc.assert(
      fc.property(timestamp, fc.array(expectation), fc.array(mutation), (commitTs, expects, mutations) => {
        const decoded = decodeEntry(encodeBatch(commitTs, UNITS, expects, mutations));
        assert.deepEqual(decoded, { opcode: 'batch', commitTs, unitCount: UNITS, expects, mutations });
      }),
    );
    fc.assert(
      fc.property(timestamp, fc.array(fc.record({ key: buffer, commitTs: timestamp }, plain)), (commitTs, versions) => {
        assert.deepEqual(decodeEntry(encodePurge(commitTs, versions)), { opcode: 'purgeExpired', commitTs, versions });
        assert.deepEqual(decodeEntry(encodeSetGc(commitTs)), { opcode: 'setGc', threshold: commitTs });
      }),
    );
  });

  it('keep the bytes that are pinned in the golden file', () => {
    const golden = JSON.parse(readFileSync(new URL('./entries.golden.json', import.meta.url), 'utf8'));
    const actual = Object.fromEntries(Object.entries(GOLDEN()).map(([name, entry]) => [name, entry.toString('hex')]));
    assert.deepEqual(actual, golden);
  });

  it('are refused when anything in them is unknown, cut off or left over', () => {
    for (const entry of Object.values(GOLDEN())) {
      for (let length = 0; length < entry.length; length++) {
        assert.throws(() => decodeEntry(entry.subarray(0, length)), CorruptEntryError);
      }
      assert.throws(() => decodeEntry(Buffer.concat([entry, Buffer.alloc(1)])), CorruptEntryError);
      const unknownOpcode = Buffer.from(entry);
      unknownOpcode[0] = 0x7f;
      assert.throws(() => decodeEntry(unknownOpcode), CorruptEntryError);
      const unknownCodec = Buffer.from(entry);
      unknownCodec[1] = 9;
      assert.throws(() => decodeEntry(unknownCodec), CorruptEntryError);
    }
  });

  it('never make the decoder fail in any other way than by refusing them', () => {
    const anything = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
    const damaged = fc
      .tuple(fc.constantFrom(...Object.values(GOLDEN())), fc.nat(), fc.nat(255))
      .map(([entry, at, value]) => {
        const copy = Buffer.from(entry);
        copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(anything, damaged), (entry) => {
        try {
          decodeEntry(entry);
        } catch (error) {
          assert.ok(error instanceof CorruptEntryError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
