import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fitted, readField, writeField } from '../../../../src/adapter/redis/commands/bitmap/bitfield-integers.ts';
import { countBits, findBit } from '../../../../src/adapter/redis/commands/bitmap/bits-scan.ts';
import {
  addLongDoubles,
  formatLongDouble,
  parseLongDouble,
} from '../../../../src/adapter/redis/commands/string/numbers-long-double.ts';
import { parseInteger } from '../../../../src/adapter/redis/protocol/integers.ts';

const sum = (left: string, right: string): string | undefined => {
  const [a, b] = [parseLongDouble(Buffer.from(left)), parseLongDouble(Buffer.from(right))];
  const total = a === undefined || b === undefined ? undefined : addLongDoubles(a, b);
  return total === undefined ? undefined : formatLongDouble(total);
};

describe('integers', () => {
  test('are read back as they were written, and in no other spelling', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        assert.equal(parseInteger(Buffer.from(String(value))), value);
        assert.equal(parseInteger(Buffer.from(`0${value}`)), undefined);
        assert.equal(parseInteger(Buffer.from(`+${value}`)), undefined);
        assert.equal(parseInteger(Buffer.from(`${value} `)), undefined);
      }),
    );
    for (const text of ['', '-', '-0', '9223372036854775808', '-9223372036854775809', '1.0', '１']) {
      assert.equal(parseInteger(Buffer.from(text)), undefined, text);
    }
  });
});

describe('long doubles', () => {
  test('add decimal fractions the way Redis prints them', () => {
    assert.equal(sum('0.1', '0.2'), '0.3');
    assert.equal(sum('3.0e3', '200'), '3200');
    assert.equal(sum('10.5', '0.1'), '10.6');
    assert.equal(sum('-0', '-0'), '0');
    assert.equal(sum('6e-18', '0'), '0.00000000000000001');
    assert.equal(sum('18446744073709551615', '1'), '18446744073709551616');
    assert.equal(sum('0x1.8p3', '.5'), '12.5');
  });

  test('refuse what is not a finite number of the format', () => {
    for (const text of ['', ' 1', '1 ', 'nan', '1e5000', '1e-5000', '0x', '.', 'e1', '1e']) {
      assert.equal(parseLongDouble(Buffer.from(text)), undefined, text);
    }
    assert.equal(sum('1e4932', '1e4932'), undefined);
    assert.equal(sum('inf', '1'), undefined);
  });

  test('agree with exact arithmetic on integers of 64 bits', () => {
    const int63 = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
    fc.assert(fc.property(int63, int63, (a, b) => assert.equal(sum(String(a), String(b)), String(a + b))));
  });
});

describe('bit fields', () => {
  const bytes = fc.uint8Array({ minLength: 9, maxLength: 16 }).map((array) => Buffer.from(array));

  test('are read back as written and leave all other bits alone', () => {
    fc.assert(
      fc.property(bytes, fc.nat(64), fc.integer({ min: 1, max: 64 }), fc.bigInt(), (before, at, bits, value) => {
        const offset = Math.min(at, before.length * 8 - bits);
        const type = { signed: true, bits };
        const after = Buffer.from(before);
        writeField(after, offset, type, value);
        assert.equal(readField(after, offset, type), BigInt.asIntN(bits, value));
        const spelled = (buffer: Buffer) => [...buffer].map((byte) => byte.toString(2).padStart(8, '0')).join('');
        const outside = (text: string) => text.slice(0, offset) + text.slice(offset + bits);
        assert.equal(outside(spelled(after)), outside(spelled(before)));
      }),
    );
  });

  test('wrap, saturate or fail when they overflow', () => {
    const i8 = { signed: true, bits: 8 };
    assert.equal(fitted(128n, i8, 'WRAP'), -128n);
    assert.equal(fitted(128n, i8, 'SAT'), 127n);
    assert.equal(fitted(-129n, i8, 'SAT'), -128n);
    assert.equal(fitted(128n, i8, 'FAIL'), undefined);
    assert.equal(fitted(-1n, { signed: false, bits: 4 }, 'WRAP'), 15n);
    assert.equal(fitted(-1n, { signed: false, bits: 4 }, 'SAT'), 0n);
  });

  test('are counted and found like characters of the string of bits', () => {
    fc.assert(
      fc.property(bytes, fc.nat(71), fc.nat(71), fc.constantFrom<0 | 1>(0, 1), (buffer, from, to, bit) => {
        const spelled = [...buffer].map((byte) => byte.toString(2).padStart(8, '0')).join('');
        const range = spelled.slice(from, to + 1);
        assert.equal(countBits(buffer, from, to), range.replaceAll('0', '').length);
        const at = range.indexOf(String(bit));
        assert.equal(findBit(buffer, bit, from, to), at < 0 ? -1 : from + at);
      }),
    );
  });
});
