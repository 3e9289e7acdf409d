import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Decimal } from 'decimal.js';
import fc from 'fast-check';
import {
  addNumbers,
  canonicalNumber,
  compareNumbers,
  subtractNumbers,
} from '../../../../src/adapter/dynamodb/values/index.ts';

const Exact = Decimal.clone({ precision: 400, toExpNeg: -1e9, toExpPos: 1e9 });
const canonicalOf = (number: Decimal): string => (number.isZero() ? '0' : number.toFixed());

/** Numbers within the limits, written in many ways. */
const written = fc
  .record({
    sign: fc.constantFrom('', '-', '+'),
    digits: fc.stringMatching(/^[0-9]{1,38}$/),
    point: fc.nat(38),
    exponent: fc.integer({ min: -100, max: 80 }),
    zeros: fc.nat(3),
    mark: fc.constantFrom('e', 'E', 'e+', ''),
  })
  .map(({ sign, digits, point, exponent, zeros, mark }) => {
    const at = Math.min(point, digits.length);
    const text = `${sign}${'0'.repeat(zeros)}${digits.slice(0, at)}.${digits.slice(at)}`;
    return mark === '' ? text : `${text}${mark === 'e+' && exponent < 0 ? 'e' : mark}${exponent}`;
  });

const refusal = (text: string): string => {
  try {
    return `accepted as ${canonicalNumber(text)}`;
  } catch (error) {
    return (error as Error).message;
  }
};

describe('a number', () => {
  test('has the canonical text of its value, however it is written', () => {
    fc.assert(
      fc.property(written, (text) => {
        assert.equal(canonicalNumber(text), canonicalOf(new Exact(text)));
      }),
      { numRuns: 2000 },
    );
    const cases = { '1E2': '100', '1.50': '1.5', '-0': '0', '.123': '0.123', '5.': '5', '0001.23': '1.23', '+3': '3' };
    for (const [text, canonical] of Object.entries(cases)) assert.equal(canonicalNumber(text), canonical);
    assert.equal(canonicalNumber('1E-130'), `0.${'0'.repeat(129)}1`);
    assert.equal(canonicalNumber(`${'9'.repeat(38)}e88`), '9'.repeat(38) + '0'.repeat(88));
    assert.equal(canonicalNumber('0e126'), '0');
  });

  test('is refused with the text of the service when it is none', () => {
    const none = 'The parameter cannot be converted to a numeric value';
    assert.equal(refusal(''), none);
    for (const text of [
      'dog',
      ' 1',
      '1 ',
      '.',
      '-',
      '+',
      'e5',
      '1e',
      '1e+',
      '--1',
      '1.2.3',
      '0x10',
      '1_000',
      'NaN',
      'Infinity',
      '١',
    ])
      assert.equal(refusal(text), `${none}: ${text}`);
  });

  test('is refused beyond its limits, and costs nothing for its exponent', () => {
    const overflow = 'Number overflow. Attempting to store a number with magnitude larger than supported range';
    const underflow = 'Number underflow. Attempting to store a number with magnitude smaller than supported range';
    for (const text of ['1e126', '-1e126', '10e125', '1.0e100000000', `1e${'9'.repeat(400)}`])
      assert.equal(refusal(text), overflow);
    for (const text of ['1e-131', '0.1e-130', '1e-100000000000000000000']) assert.equal(refusal(text), underflow);
    assert.equal(refusal('1'.repeat(39)), 'Attempting to store more than 38 significant digits in a Number');
    assert.equal(refusal(`1.${'0'.repeat(37)}1`), 'Attempting to store more than 38 significant digits in a Number');
    assert.equal(refusal(`${'1'.repeat(38)}00.000`), `accepted as ${'1'.repeat(38)}00`);
  });

  test('is ordered by its value', () => {
    fc.assert(
      fc.property(written, written, (a, b) => {
        const found = Math.sign(compareNumbers(canonicalNumber(a), canonicalNumber(b)));
        assert.equal(found, new Exact(a).comparedTo(new Exact(b)));
      }),
      { numRuns: 2000 },
    );
  });

  test('is added and subtracted exactly, or refused where a digit would be lost', () => {
    fc.assert(
      fc.property(written, fc.oneof(written, fc.constant('same')), fc.boolean(), (a, other, isSum) => {
        const left = canonicalNumber(a);
        const right = other === 'same' ? left : canonicalNumber(other);
        const exact = isSum ? new Exact(left).plus(right) : new Exact(left).minus(right);
        const compute = (): string => (isSum ? addNumbers(left, right) : subtractNumbers(left, right));
        if (exact.isZero() || (exact.precision() <= 38 && exact.e <= 125 && exact.e >= -130))
          assert.equal(compute(), canonicalOf(exact));
        else assert.throws(compute, /Number (over|under)flow/);
      }),
      { numRuns: 3000 },
    );
    assert.equal(addNumbers('9007199254740993', '1'), '9007199254740994');
    assert.equal(subtractNumbers('0.3', '0.1'), '0.2');
    assert.throws(() => addNumbers(canonicalNumber('1e50'), '1'), /Number overflow/);
    assert.throws(() => subtractNumbers(canonicalNumber('1.1e-130'), canonicalNumber('1e-130')), /Number underflow/);
  });
});
