/** What DUMP and RESTORE keep that Redis 7.0 does not know, and what RESTORE refuses. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OK } from '../../../../src/adapter/redis/protocol/reply.ts';
import { sealed } from '../rdb/old-forms.ts';
import { Evaluator, START_MS } from './evaluate.ts';

describe('RESTORE', () => {
  test('brings the expiries of fields back, and no field whose time is over', () => {
    const keys = new Evaluator();
    keys.run('HSET', 'h', 'a', '1', 'b', '2', 'c', '3');
    keys.run('HPEXPIRE', 'h', '1000', 'FIELDS', '1', 'a');
    keys.run('HPEXPIRE', 'h', '9000', 'FIELDS', '1', 'b');
    const payload = keys.run('DUMP', 'h') as string;
    assert.equal(keys.run('RESTORE', 'copy', '0', payload), OK);
    assert.deepEqual(keys.run('HPEXPIRETIME', 'copy', 'FIELDS', '3', 'a', 'b', 'c'), [
      START_MS + 1000,
      START_MS + 9000,
      -1,
    ]);
    keys.nowMs += 5000;
    assert.equal(keys.run('RESTORE', 'late', '0', payload), OK);
    assert.equal(keys.run('HLEN', 'late'), 2);
    assert.equal(keys.run('HGET', 'late', 'a'), null);
  });

  test('reads the hashes of Redis 7.4 whose fields expire, in both of their forms', () => {
    const keys = new Evaluator();
    const base = Buffer.alloc(8);
    base.writeBigInt64LE(BigInt(START_MS + 500));
    // From the first expiry on in steps of a millisecond; 0 is none.
    const plain = Buffer.concat([Buffer.of(24), base, Buffer.of(2, 3, 1, 0x61, 1, 0x31, 0, 1, 0x62, 1, 0x32)]);
    assert.equal(keys.run('RESTORE', 'plain', '0', sealed(plain, 12).toString('latin1')), OK);
    assert.deepEqual(keys.run('HPEXPIRETIME', 'plain', 'FIELDS', '2', 'a', 'b'), [START_MS + 502, -1]);
    const time = String(START_MS + 700);
    const listpack = Buffer.from(
      `\x00\x00\x00\x00\x06\x00\x81a\x02\x81x\x02\x00\x01\x81b\x02\x81y\x02${String.fromCharCode(0x80 | time.length)}${time}\x0e\xff`,
      'latin1',
    );
    listpack.writeUInt32LE(listpack.length);
    const packed = Buffer.concat([Buffer.of(25), base, Buffer.of(listpack.length), listpack]);
    assert.equal(keys.run('RESTORE', 'packed', '0', sealed(packed, 12).toString('latin1')), OK);
    assert.deepEqual(keys.run('HPEXPIRETIME', 'packed', 'FIELDS', '2', 'a', 'b'), [-1, START_MS + 700]);
  });

  test('refuses a time that is no time, streams and modules', () => {
    const keys = new Evaluator();
    const far = Buffer.concat([Buffer.of(24), Buffer.alloc(8, 0x7f), Buffer.of(1, 1, 1, 0x61, 1, 0x31)]);
    for (const value of [far, Buffer.of(15, 0, 0, 0), Buffer.of(19, 0, 0, 0), Buffer.of(7, 0)]) {
      assert.throws(
        () => keys.run('RESTORE', 'k', '0', sealed(value, 12).toString('latin1')),
        /^RedisError: ERR Bad data format$/,
      );
    }
    assert.equal(keys.run('EXISTS', 'k'), 0);
  });
});
