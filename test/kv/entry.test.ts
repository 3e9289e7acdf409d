import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CorruptEntryError } from '../../src/kv/contract/errors.ts';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { encodeBatch, encodePurge, encodeSetGc, encodeTxnFloor, type Mutation } from '../../src/kv/entry/entry.ts';
import {
  type CapturedEffect,
  captureKey,
  capturePlace,
  decodeCaptured,
  encodeCaptured,
} from '../../src/kv/entry/local-keys.ts';
import { encodeImport, encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { encodeFence, encodeLease } from '../../src/kv/entry/time-entries.ts';
import { groupId, type HlcTimestamp, hlcTimestamp } from '../../src/platform/index.ts';
import { bytes } from '../support/lone-group.ts';

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
  batchWithCeiling: encodeBatch(
    ts(0x018bcfe5_68000007n),
    1,
    [],
    [{ unit: 0, key: bytes('a'), value: bytes('value'), expireTs: zero, end: undefined }],
    0x018bcfe5_7000,
  ),
  hlcLease: encodeLease(0x018bcfe5_7000),
  tsFence: encodeFence({ kind: 'fence', mode: 'tso', epoch: 3, oracle: groupId(9) }),
  tsOpen: encodeFence({ kind: 'open', epoch: 3, floor: ts(0x018bcfe5_68000007n) }),
  setGc: encodeSetGc(ts(0x018bcfe5_00000000n)),
  txnFloor: encodeTxnFloor(ts(0x018bcfe5_00000001n)),
  purgeExpired: encodePurge(ts(0x018bcfe5_68000009n), [{ key: bytes('old'), commitTs: ts(0x018bcfe5_11110000n) }]),
  span: encodeSpan(ts(0x018bcfe5_6800000bn), { kind: 'captureOn', job: 7, start: bytes('a'), end: undefined }),
  activate: encodeSpan(
    ts(0x018bcfe5_6800000dn),
    { kind: 'activate', job: 7, floor: ts(0x018bcfe5_6800000an), epoch: 3 },
    ts(0x018bcfe4_00000000n),
    12,
  ),
  import: encodeImport({
    job: 7,
    attempt: 2,
    seq: 12,
    bookmark: bytes('here'),
    versions: [
      { key: bytes('a'), commitTs: ts(0x018bcfe5_00000001n), expireTs: zero, value: bytes('value') },
      { key: bytes('a'), commitTs: ts(0x018bcfe5_00000002n), expireTs: zero, value: undefined },
      { key: bytes('b'), commitTs: ts(0x018bcfe5_00000003n), expireTs: ts(0x018bcfe6_00000000n), value: bytes('') },
    ],
  }),
});

describe('log entries', () => {
  test('come back from their bytes as they were', () => {
    fc.assert(
      fc.property(
        timestamp,
        fc.array(expectation),
        fc.array(mutation),
        fc.maxSafeNat(),
        (commitTs, expects, mutations, ceilingMs) => {
          const decoded = decodeEntry(encodeBatch(commitTs, UNITS, expects, mutations, ceilingMs));
          assert.deepEqual(decoded, { opcode: 'batch', ceilingMs, commitTs, unitCount: UNITS, expects, mutations });
        },
      ),
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), timestamp, fc.nat(0xffff), (number, floor, oracle) => {
        assert.deepEqual(decodeEntry(encodeLease(number)), { opcode: 'hlcLease', ceilingMs: number });
        for (const mode of ['local', 'bridge', 'tso'] as const) {
          const fence = { kind: 'fence', mode, epoch: number, oracle: groupId(oracle) } as const;
          assert.deepEqual(decodeEntry(encodeFence(fence)), { opcode: 'tsFence', ...fence });
        }
        const open = { kind: 'open', epoch: number, floor } as const;
        assert.deepEqual(decodeEntry(encodeFence(open)), { opcode: 'tsFence', ...open });
      }),
    );
    fc.assert(
      fc.property(timestamp, fc.array(fc.record({ key: buffer, commitTs: timestamp }, plain)), (commitTs, versions) => {
        assert.deepEqual(decodeEntry(encodePurge(commitTs, versions)), { opcode: 'purgeExpired', commitTs, versions });
        assert.deepEqual(decodeEntry(encodeSetGc(commitTs)), { opcode: 'setGc', threshold: commitTs });
        assert.deepEqual(decodeEntry(encodeTxnFloor(commitTs)), { opcode: 'txnFloor', floor: commitTs });
      }),
    );
  });

  test('come back from their bytes as they were when they carry a range', () => {
    const version = fc
      .record(
        { key: buffer, commitTs: timestamp, expireTs: timestamp, value: fc.option(buffer, { nil: undefined }) },
        plain,
      )
      .map((one) => (one.value === undefined ? { ...one, expireTs: zero } : one));
    const number = fc.maxSafeNat();
    const request = fc.record(
      { job: number, attempt: fc.nat(), seq: number, bookmark: buffer, versions: fc.array(version) },
      plain,
    );
    fc.assert(
      fc.property(request, (one) => assert.deepEqual(decodeEntry(encodeImport(one)), { opcode: 'import', ...one })),
    );
    const behind = fc.tuple(request, buffer).map(([one, follows]) => ({ ...one, sides: [], follows }));
    fc.assert(
      fc.property(behind, (one) => assert.deepEqual(decodeEntry(encodeImport(one)), { opcode: 'import', ...one })),
    );
    fc.assert(
      fc.property(timestamp, number, timestamp, timestamp, number, (commitTs, job, floor, gcThreshold, imports) => {
        const command = { kind: 'activate' as const, job, floor, epoch: 1 };
        const expected = { opcode: 'span', commitTs, command, gcThreshold, imports };
        assert.deepEqual(decodeEntry(encodeSpan(commitTs, command, gcThreshold, imports)), expected);
        const fence = { kind: 'fence' as const, job, attempt: 3 };
        const plainEntry = { opcode: 'span', commitTs, command: fence, gcThreshold: zero, imports: 0 };
        assert.deepEqual(decodeEntry(encodeSpan(commitTs, fence)), plainEntry);
      }),
    );
  });

  test('keep the bytes that are pinned in the golden file', () => {
    const golden = JSON.parse(readFileSync(new URL('./entries.golden.json', import.meta.url), 'utf8'));
    const actual = Object.fromEntries(Object.entries(GOLDEN()).map(([name, entry]) => [name, entry.toString('hex')]));
    assert.deepEqual(actual, golden);
  });

  test('are refused when anything in them is unknown, cut off or left over', () => {
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

  test('never make the decoder fail in any other way than by refusing them', () => {
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

describe('capture rows', () => {
  const effect: fc.Arbitrary<CapturedEffect> = fc
    .record({ kind: fc.constantFrom('put' as const, 'delete' as const), commitTs: timestamp, key: buffer }, plain)
    .map((one) => ({ ...one, end: undefined }));
  const rangeEffect: fc.Arbitrary<CapturedEffect> = fc
    .record({ commitTs: timestamp, key: buffer, end: buffer }, plain)
    .filter(({ end }) => end.length > 0)
    .map((one) => ({ kind: 'deleteRange' as const, ...one }));

  test('come back from their bytes as they were, in the order of the log', () => {
    fc.assert(
      fc.property(fc.oneof(effect, rangeEffect), (one) => assert.deepEqual(decodeCaptured(encodeCaptured(one)), one)),
    );
    const place = fc.record({ job: fc.nat(300), index: fc.maxSafeNat(), position: fc.nat() }, plain);
    const inOrder = (a: number[], b: number[]): number =>
      a.map((one, at) => one - b[at]!).find((one) => one !== 0) ?? 0;
    fc.assert(
      fc.property(place, place, (a, b) => {
        const [left, right] = [a, b].map(({ job, index, position }) => captureKey(job, index, position));
        assert.deepEqual(capturePlace(left!), { index: a.index, position: a.position });
        const expected = inOrder([a.job, a.index, a.position], [b.job, b.index, b.position]);
        assert.equal(Buffer.compare(left!, right!), Math.sign(expected));
      }),
    );
  });

  test('are refused when they are damaged', () => {
    const row = encodeCaptured({ kind: 'put', commitTs: ts(5n), key: bytes('key'), end: undefined });
    for (let length = 0; length < row.length; length++) {
      assert.throws(() => decodeCaptured(row.subarray(0, length)), CorruptEntryError);
    }
    assert.throws(() => decodeCaptured(Buffer.concat([row, Buffer.alloc(1)])), CorruptEntryError);
    assert.throws(() => decodeCaptured(Buffer.concat([Buffer.from([9]), row.subarray(1)])), CorruptEntryError);
    assert.throws(() => capturePlace(bytes('short')), CorruptEntryError);
  });
});
