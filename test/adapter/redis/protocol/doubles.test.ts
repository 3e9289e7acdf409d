import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  doubleText,
  fixedText,
  humanText,
  parseDouble,
  readDoublePrefix,
} from '../../../../src/adapter/redis/protocol/doubles.ts';

describe('numbers as C prints them', () => {
  // Left: what C's printf says of the number on the right.
  const general: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['-0', -0],
    ['inf', Number.POSITIVE_INFINITY],
    ['-inf', Number.NEGATIVE_INFINITY],
    ['nan', Number.NaN],
    ['0.10000000000000001', 0.1],
    ['0.0001', 0.0001],
    ['1.0000000000000001e-05', 1e-5],
    ['2.9999999999999999e-07', 3e-7],
    ['10000000000000000', 1e16],
    ['1e+17', 1e17],
    ['1.2345678901234568e+17', Number('123456789012345678')],
    ['1.0000000000000001e+300', 1e300],
    ['4.9406564584124654e-324', 5e-324],
    ['3.999955468730732e-320', 4e-320],
    ['-17179869184.5', -17179869184.5],
  ];
  for (const [text, value] of general) test(text, () => assert.equal(doubleText(value), text));

  test('ties go to the even digit', () => {
    assert.equal(doubleText(2 ** 50 + 0.25), '1125899906842624.2');
    assert.equal(doubleText(2 ** 50 + 0.75), '1125899906842624.8');
    assert.equal(fixedText(0.03125, 4), '0.0312');
    assert.equal(fixedText(0.09375, 4), '0.0938');
    assert.equal(fixedText(3 * 2 ** -18, 17), '0.00001144409179688');
    assert.equal(fixedText(2 ** -18, 17), '0.00000381469726562');
  });

  test('for people: without zeros at the end', () => {
    assert.equal(humanText(13.5), '13.5');
    assert.equal(humanText(-0), '0');
    assert.equal(humanText(120), '120');
    assert.equal(humanText(0.1), '0.10000000000000001');
  });

  test('read back they are the same', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        assert.ok(Object.is(readDoublePrefix(doubleText(value)).value, value));
      }),
    );
  });
});

describe('numbers as C reads them', () => {
  const parse = (text: string): number | undefined => parseDouble(Buffer.from(text, 'latin1'));

  test('whole arguments', () => {
    for (const [text, value] of [
      ['1', 1],
      ['+1.5e3', 1500],
      ['.5', 0.5],
      ['5.', 5],
      ['-inf', Number.NEGATIVE_INFINITY],
      ['Infinity', Number.POSITIVE_INFINITY],
      ['0x1.8p3', 12],
      ['-0x.8', -0.5],
      ['0x1p-1074', 5e-324],
      ['0x1.8p-1074', 1e-323],
      ['0x.8p-1074', undefined],
      ['0x0p999', 0],
      ['0x1p1024', undefined],
      ['0x1.fffffffffffff7p1023', Number.MAX_VALUE],
      ['0x1.fffffffffffff8p1023', undefined],
      ['4e-324', 5e-324],
      ['1e-400', undefined],
      ['0e-400', 0],
      ['1e400', undefined],
      ['nan', undefined],
      ['', undefined],
      [' 1', undefined],
      ['1 ', undefined],
      ['1x', undefined],
      ['0x', undefined],
      ['1\0', undefined],
    ] as const)
      assert.equal(parse(text), value, JSON.stringify(text));
    assert.ok(Object.is(parse('-0'), -0));
  });

  test('hexadecimal digits round once', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: (1n << 80n) - 1n }), (digits) => {
        assert.equal(parse(`0x${digits.toString(16)}`), Number(digits));
      }),
    );
  });

  test('the number that a text begins with', () => {
    assert.deepEqual(readDoublePrefix(' 12abc'), { value: 12, length: 3, isOutOfRange: false });
    assert.deepEqual(readDoublePrefix('abc'), { value: 0, length: 0, isOutOfRange: false });
    assert.deepEqual(readDoublePrefix('  '), { value: 0, length: 0, isOutOfRange: false });
    assert.deepEqual(readDoublePrefix('1e'), { value: 1, length: 1, isOutOfRange: false });
    assert.deepEqual(readDoublePrefix('0xg'), { value: 0, length: 1, isOutOfRange: false });
    assert.deepEqual(readDoublePrefix('-1e999 '), { value: -Infinity, length: 6, isOutOfRange: true });
  });
});
