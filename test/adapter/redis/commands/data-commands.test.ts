import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OK } from '../../../../src/adapter/redis/protocol/reply.ts';
import { ValueType } from '../../../../src/adapter/redis/values/values.ts';
import { Evaluator, START_MS } from './evaluate.ts';

describe('expiries', () => {
  test('are judged by the time of the view alone', () => {
    const keys = new Evaluator();
    keys.run('SET', 'k', 'v', 'PX', '1000');
    keys.nowMs += 999;
    assert.equal(keys.run('PTTL', 'k'), 1);
    keys.nowMs += 1;
    assert.equal(keys.run('GET', 'k'), null);
    assert.equal(keys.run('PTTL', 'k'), -2);
  });

  test('in the past delete the key at once', () => {
    const keys = new Evaluator();
    for (const [command, time] of [
      ['EXPIRE', '0'],
      ['PEXPIRE', '-5'],
      ['EXPIREAT', '1'],
      ['PEXPIREAT', String(START_MS)],
    ] as const) {
      keys.run('SET', 'k', 'v');
      assert.equal(keys.run(command, 'k', time), 1, command);
      assert.equal(keys.run('EXISTS', 'k'), 0, command);
    }
  });

  test('that SET is given in the past leave no key, and nothing that DBSIZE would count', () => {
    const keys = new Evaluator();
    keys.run('SET', 'k', 'old');
    assert.equal(keys.run('SET', 'k', 'v', 'PXAT', '1'), OK);
    assert.equal(keys.run('EXISTS', 'k'), 0);
    assert.equal(keys.storedKeys, 0);
  });

  test('later than timestamps reach are kept as the latest there is', () => {
    const keys = new Evaluator();
    keys.run('SET', 'k', 'v', 'PXAT', '9223372036854775807');
    assert.equal(keys.run('PEXPIRETIME', 'k'), 2 ** 48 - 1);
  });

  test('survive changes in place and go with a new value', () => {
    const keys = new Evaluator();
    for (const change of [
      ['APPEND', 'k', '1'],
      ['INCR', 'k'],
      ['INCRBYFLOAT', 'k', '1'],
      ['SETRANGE', 'k', '0', '2'],
      ['SETBIT', 'k', '0', '0'],
      ['BITFIELD', 'k', 'SET', 'u8', '0', '49'],
      ['SET', 'k', '3', 'KEEPTTL'],
    ] as const) {
      keys.run('SET', 'k', '1', 'EX', '100');
      keys.run(...(change as unknown as [string, ...string[]]));
      assert.equal(keys.run('TTL', 'k'), 100, change[0]);
    }
    for (const change of [
      ['SET', 'k', '1'],
      ['GETSET', 'k', '1'],
      ['MSET', 'k', '1'],
      ['BITOP', 'NOT', 'k', 'k'],
      ['PERSIST', 'k'],
      ['GETEX', 'k', 'PERSIST'],
    ] as const) {
      keys.run('SET', 'k', '1', 'EX', '100');
      keys.run(...(change as unknown as [string, ...string[]]));
      assert.equal(keys.run('TTL', 'k'), -1, change[0]);
    }
  });

  test('go along with RENAME, COPY and MOVE', () => {
    const keys = new Evaluator();
    keys.run('SET', 'a', 'v', 'EX', '100');
    keys.run('COPY', 'a', 'b');
    keys.run('RENAME', 'b', 'c');
    assert.equal(keys.run('TTL', 'a'), 100);
    assert.equal(keys.run('TTL', 'c'), 100);
    assert.equal(keys.run('MOVE', 'c', '1'), 1);
    assert.equal(keys.run('EXISTS', 'c'), 0);
  });
});

describe('the largest string', () => {
  test('is not exceeded by any command that makes strings longer', () => {
    const keys = new Evaluator();
    keys.maxStringBytes = 10;
    keys.run('SET', 'k', '0123456789');
    const tooLong = /ERR string exceeds maximum allowed size \(proto-max-bulk-len\)/;
    assert.throws(() => keys.run('APPEND', 'k', 'x'), tooLong);
    assert.throws(() => keys.run('SETRANGE', 'k', '10', 'x'), tooLong);
    assert.throws(() => keys.run('SETBIT', 'k', '80', '1'), /ERR bit offset is not an integer or out of range/);
    assert.throws(() => keys.run('LCS', 'k', 'k'), /transient memory for LCS exceeds/);
    assert.equal(keys.run('SETRANGE', 'k', '9', 'x'), 10);
    assert.equal(keys.run('SETBIT', 'k', '79', '1'), 0);
  });
});

describe('values', () => {
  test('that are negative count as large in an unsigned bit field', () => {
    const keys = new Evaluator();
    keys.run('BITFIELD', 'k', 'OVERFLOW', 'SAT', 'SET', 'u8', '0', '-1');
    assert.deepEqual(keys.run('BITFIELD', 'k', 'GET', 'u8', '0'), [255n]);
  });

  test('carry their type in the first byte, which strings of any content survive', () => {
    const keys = new Evaluator();
    for (const value of ['', '\x00', '\x01\xff', String(ValueType.String)]) {
      keys.run('SET', 'k', value);
      assert.equal(keys.run('GET', 'k'), value);
      assert.equal(keys.run('STRLEN', 'k'), value.length);
    }
  });

  test('that a failed command read stay as they were', () => {
    const keys = new Evaluator();
    keys.run('SET', 'k', '9223372036854775807');
    assert.throws(() => keys.run('INCR', 'k'), /ERR increment or decrement would overflow/);
    assert.throws(() => keys.run('INCRBY', 'k', 'x'), /ERR value is not an integer or out of range/);
    assert.throws(() => keys.run('DECRBY', 'k', '-9223372036854775808'), /ERR decrement would overflow/);
    assert.equal(keys.run('GET', 'k'), '9223372036854775807');
  });
});
