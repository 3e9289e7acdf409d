import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_COUNT, observe, REGISTER_COUNT } from '../../../../src/adapter/redis/commands/hyperloglog/element-hash.ts';
import { findFault } from '../../../../src/adapter/redis/commands/hyperloglog/self-test.ts';
import { emptySketch, HEADER_BYTES } from '../../../../src/adapter/redis/commands/hyperloglog/sketch-format.ts';
import { SparseSketch } from '../../../../src/adapter/redis/commands/hyperloglog/sparse-sketch.ts';
import { Evaluator } from './evaluate.ts';

/** The hash in the words of its definition. */
function murmurHash64A(bytes: Buffer): bigint {
  const factor = 0xc6a4a7935bd1e995n;
  const wrapped = (value: bigint): bigint => BigInt.asUintN(64, value);
  let hash = 0xadc83b19n ^ wrapped(BigInt(bytes.length) * factor);
  const whole = bytes.length - (bytes.length % 8);
  for (let at = 0; at < whole; at += 8) {
    let block = wrapped(bytes.readBigUInt64LE(at) * factor);
    block ^= block >> 47n;
    hash = wrapped((hash ^ wrapped(block * factor)) * factor);
  }
  if (whole < bytes.length) {
    for (let at = whole; at < bytes.length; at++) hash ^= BigInt(bytes[at]!) << BigInt((at - whole) * 8);
    hash = wrapped(hash * factor);
  }
  hash = wrapped((hash ^ (hash >> 47n)) * factor);
  return hash ^ (hash >> 47n);
}

describe('an element of a sketch', () => {
  test('counts by the 64-bit hash of its bytes', () => {
    let highest = 0;
    for (let nth = 0; nth < 20_000; nth++) {
      const element = Buffer.from(`${nth}`.repeat(1 + (nth % 7)), 'latin1');
      const hash = murmurHash64A(element);
      const rest = (hash >> 14n) | (1n << 50n);
      let count = 1;
      while (((rest >> BigInt(count - 1)) & 1n) === 0n) count++;
      assert.deepEqual(observe(element), { register: Number(hash & 16_383n), count });
      highest = Math.max(highest, count);
    }
    assert.ok(highest > 10 && highest <= MAX_COUNT);
  });
});

describe('a sparse sketch', () => {
  const runsAfter = (...raised: readonly (readonly [register: number, count: number])[]): string => {
    const sketch = new SparseSketch(emptySketch(), 3_000);
    for (const [register, count] of raised) assert.equal(sketch.raise(register, count), 'raised');
    return sketch.bytes.subarray(HEADER_BYTES).toString('hex');
  };

  test('joins what has come between two runs with both of them', () => {
    // Ten zeros, three registers of 5, zeros to the end.
    assert.equal(runsAfter([10, 5], [12, 5], [11, 5]), '09927ff2');
    // Five are too many for one run: three and two.
    assert.equal(runsAfter([10, 5], [11, 5], [13, 5], [14, 5], [12, 5]), '0992917ff0');
  });

  test('splits a run where a register is higher', () => {
    assert.equal(runsAfter([10, 5], [11, 5], [12, 5], [11, 6]), '099094907ff2');
  });
});

describe('a sketch', () => {
  test('estimates within two hundredths', () => {
    const evaluator = new Evaluator();
    for (let nth = 0; nth < 30_000; nth += 100) {
      evaluator.run('PFADD', 'sketch', ...Array.from({ length: 100 }, (_, more) => `element:${nth + more}`));
    }
    const estimate = Number(evaluator.run('PFCOUNT', 'sketch'));
    assert.ok(Math.abs(estimate - 30_000) < 600, `${estimate}`);
  });

  test('passes its own test', () => {
    assert.equal(findFault(), undefined);
    assert.equal(REGISTER_COUNT, 2 ** 14);
  });

  test('answers PFCOUNT from what the last one has noted, until it changes', () => {
    const evaluator = new Evaluator();
    evaluator.run('PFADD', 'sketch', 'a', 'b');
    const stale = evaluator.run('GET', 'sketch') as string;
    assert.equal(evaluator.run('PFCOUNT', 'sketch'), 2n);
    const noted = evaluator.run('GET', 'sketch') as string;
    assert.notEqual(noted, stale);
    assert.equal(noted.slice(8, 16), '\x02\x00\x00\x00\x00\x00\x00\x00');
    evaluator.run('SETRANGE', 'sketch', '8', '\x07');
    assert.equal(evaluator.run('PFCOUNT', 'sketch'), 7n);
    assert.equal(evaluator.run('PFCOUNT', 'sketch', 'sketch'), 2n, 'several are counted anew');
    evaluator.run('PFADD', 'sketch', 'a');
    assert.equal(evaluator.run('PFCOUNT', 'sketch'), 7n, 'nothing changed');
    evaluator.run('PFADD', 'sketch', 'c');
    assert.equal(evaluator.run('PFCOUNT', 'sketch'), 3n);
  });

  test('keeps nothing of a command that finds it damaged', () => {
    const evaluator = new Evaluator();
    const damaged = 'HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x40\x10';
    evaluator.run('SET', 'sketch', damaged);
    const elements = Array.from({ length: 3_000 }, (_, nth) => `element:${nth}`);
    assert.throws(() => evaluator.run('PFADD', 'sketch', ...elements), /^RedisError: INVALIDOBJ/);
    assert.equal(evaluator.run('GET', 'sketch'), damaged);
  });
});
