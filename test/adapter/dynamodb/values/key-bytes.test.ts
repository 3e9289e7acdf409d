import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Decimal } from 'decimal.js';
import fc from 'fast-check';
import {
  canonicalNumber,
  compareScalars,
  keyComponent,
  keyComponentPrefix,
  MAX_NUMBER_BYTES,
  prefixEnd,
  readKeyComponent,
  type ScalarValue,
} from '../../../../src/adapter/dynamodb/values/index.ts';

class TornKeyError extends Error {}

const strings = fc.string({ unit: 'binary', maxLength: 6 }).map((value): ScalarValue => ({ type: 'S', value }));
const binaries = fc
  .uint8Array({ maxLength: 6 })
  .map((bytes): ScalarValue => ({ type: 'B', value: Buffer.from(bytes) }));
const numbers = fc
  .tuple(fc.constantFrom('', '-'), fc.stringMatching(/^[0-9]{1,38}$/), fc.integer({ min: -125, max: 80 }))
  .map(
    ([sign, digits, exponent]): ScalarValue => ({ type: 'N', value: canonicalNumber(`${sign}${digits}e${exponent}`) }),
  );
const small = fc.integer({ min: -120, max: 120 }).map((n): ScalarValue => ({ type: 'N', value: String(n) }));
const ofOneType = (values: fc.Arbitrary<ScalarValue>): fc.Arbitrary<[ScalarValue, ScalarValue]> =>
  fc.tuple(values, values);
const number = (text: string): ScalarValue => ({ type: 'N', value: canonicalNumber(text) });

describe('a key attribute as bytes', () => {
  test('has these bytes for ever', () => {
    const golden: Readonly<Record<string, string>> = {
      '0': '80',
      '1': '81820b00',
      '10': '81830b00',
      '1.5': '81821000',
      '123': '81840d1f00',
      '0.001': '817f0b00',
      '1e-130': '81000b00',
      '9.99e125': '81ff645b00',
      '-1': '7f7df4ff',
      '-123': '7f7bf2e0ff',
      '-0.5': '7f7eccff',
    };
    for (const [text, bytes] of Object.entries(golden)) assert.equal(keyComponent(number(text)).toString('hex'), bytes);
    assert.equal(keyComponent({ type: 'S', value: 'a\0é' }).toString('hex'), '6100ffc3a90001');
    assert.equal(keyComponent({ type: 'B', value: Buffer.of(0, 1, 255) }).toString('hex'), '00ff01ff0001');
    assert.equal(keyComponent(number('1'.repeat(38))).length, MAX_NUMBER_BYTES);
  });

  test('is ordered as the values are, whatever follows it', () => {
    const pairs = fc.oneof(ofOneType(strings), ofOneType(binaries), ofOneType(numbers), ofOneType(small));
    fc.assert(
      fc.property(
        pairs,
        fc.uint8Array({ maxLength: 3 }),
        fc.uint8Array({ maxLength: 3 }),
        ([a, b], behindA, behindB) => {
          const order = Math.sign(compareScalars(a, b)!);
          if (order === 0) return;
          const left = Buffer.concat([keyComponent(a), behindA]);
          const right = Buffer.concat([keyComponent(b), behindB]);
          assert.equal(Buffer.compare(left, right), order);
        },
      ),
      { numRuns: 5000 },
    );
    assert.ok(compareScalars({ type: 'S', value: '\uffff' }, { type: 'S', value: '😀' })! < 0);
  });

  test('of a number is ordered as another library of decimals orders it, and reads back as the same value', () => {
    const Exact = Decimal.clone({ precision: 100, toExpNeg: -1e9, toExpPos: 1e9 });
    const value = ({ value: text }: ScalarValue): Decimal => new Exact(text as string);
    fc.assert(
      fc.property(fc.oneof(ofOneType(numbers), ofOneType(small)), ([a, b]) => {
        const [left, right] = [keyComponent(a), keyComponent(b)];
        assert.equal(Buffer.compare(left, right), value(a).comparedTo(value(b)));
        const read = readKeyComponent(left, 0, 'N', TornKeyError).value;
        assert.ok(value(read).equals(value(a)));
      }),
      { numRuns: 3000 },
    );
  });

  test('is read back, and says where it ends', () => {
    fc.assert(
      fc.property(fc.oneof(strings, binaries, numbers), fc.uint8Array({ maxLength: 3 }), (value, behind) => {
        const bytes = keyComponent(value);
        const read = readKeyComponent(Buffer.concat([Buffer.of(7), bytes, behind]), 1, value.type, TornKeyError);
        assert.deepEqual(read, { value, end: bytes.length + 1 });
      }),
      { numRuns: 2000 },
    );
  });

  test('of damaged bytes is an error, never another value', () => {
    fc.assert(
      fc.property(fc.constantFrom('S', 'N', 'B'), fc.uint8Array({ maxLength: 8 }), (type, bytes) => {
        try {
          const { value, end } = readKeyComponent(Buffer.from(bytes), 0, type as ScalarValue['type'], TornKeyError);
          if (type !== 'S') assert.deepEqual(keyComponent(value), Buffer.from(bytes).subarray(0, end));
        } catch (error) {
          assert.ok(error instanceof TornKeyError);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('begins with a prefix exactly when the value does', () => {
    fc.assert(
      fc.property(binaries, binaries, (value, prefix) => {
        assert.ok(value.type === 'B' && prefix.type === 'B');
        const start = keyComponentPrefix(prefix);
        const end = prefixEnd(start);
        const bytes = keyComponent(value);
        const isWithin = bytes.compare(start) >= 0 && (end === undefined || bytes.compare(end) < 0);
        assert.equal(isWithin, value.value.subarray(0, prefix.value.length).equals(prefix.value));
      }),
      { numRuns: 5000 },
    );
    assert.equal(prefixEnd(Buffer.of(255, 255)), undefined);
  });
});
