import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decodeAnswer,
  decodeChanges,
  decodeHeader,
  encodeAnswer,
  encodeChanges,
  encodeHeader,
  MalformedChangesError,
} from '../../../../src/adapter/redis/tracking/codec.ts';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const PLAIN = { noNullPrototype: true };
const key = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const changes = fc.record(
  {
    number: fc.maxSafeNat(),
    isEverything: fc.boolean(),
    notesWriters: fc.boolean(),
    probe: fc.maxSafeNat(),
    keys: fc.array(fc.record({ key, client: fc.maxSafeNat() }, PLAIN), { maxLength: 5 }),
  },
  PLAIN,
);
const header = fc.record({ wantsWriters: fc.boolean(), probe: fc.maxSafeNat() }, PLAIN);
const answer = fc.record({ number: fc.maxSafeNat(), wantsWriters: fc.boolean(), probe: fc.maxSafeNat() }, PLAIN);

describe('the bytes of changes between nodes', () => {
  test('stay as they are', () => {
    const keys = [
      { key: 'user:1', client: 10_000_000_007 },
      { key: '\xff', client: 0 },
    ];
    assert.deepEqual(
      {
        header: [false, true].map((wantsWriters) => hex(encodeHeader({ wantsWriters, probe: 5 }))),
        keys: hex(encodeChanges({ number: 0x1_0000_0002, isEverything: false, notesWriters: true, probe: 6, keys })),
        everything: hex(encodeChanges({ number: 3, isEverything: true, notesWriters: false, probe: 7, keys: [] })),
        answer: hex(encodeAnswer({ number: 9, wantsWriters: true, probe: 258 })),
      },
      {
        header: ['01000000000000000005', '01010000000000000005'],
        keys:
          '430200000001000000020000000000000006' +
          '00000006757365723a3100000002540be407' +
          '00000001ff0000000000000000',
        everything: '430100000000000000030000000000000007',
        answer: '410100000000000000090000000000000102',
      },
    );
  });

  test('say again what was written', () => {
    fc.assert(
      fc.property(changes, answer, header, (frame, said, begun) => {
        assert.deepEqual(decodeChanges(encodeChanges(frame)), frame);
        assert.deepEqual(decodeAnswer(encodeAnswer(said)), said);
        assert.deepEqual(decodeHeader(encodeHeader(begun)), begun);
      }),
    );
  });

  test('that nobody writes are refused by the one error', () => {
    const written = fc.oneof(
      changes.map(encodeChanges),
      answer.map(encodeAnswer),
      header.map(encodeHeader),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    );
    const cut = fc.tuple(written, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, value]) => {
      const mutated = Buffer.from(bytes);
      if (mutated.length > 0) mutated[at % mutated.length] = value;
      return mutated.subarray(0, at % 3 === 0 ? at % (mutated.length + 1) : undefined);
    });
    fc.assert(
      fc.property(cut, (bytes) => {
        for (const decode of [decodeChanges, decodeAnswer, decodeHeader]) {
          try {
            decode(bytes);
          } catch (error) {
            assert.ok(error instanceof MalformedChangesError, String(error));
          }
        }
      }),
      { numRuns: 500 },
    );
    assert.throws(() => decodeHeader(Buffer.from('02000000000000000005', 'hex')), /version 2 of changes, expected 1/);
    assert.throws(() => decodeAnswer(Buffer.from('41010000000000000009000000000000010200', 'hex')), /left over/);
  });
});
