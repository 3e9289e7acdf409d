import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PayloadKeeper } from '../../../src/raftengine/log/payload-keeper.ts';

const KIB = 1024;

/** A view of memory that holds much else, as it comes from a socket. */
function viewOf(length: number, fill: number): Buffer {
  const read = Buffer.allocUnsafeSlow(64 * KIB);
  read.fill(fill, 1000, 1000 + length);
  return read.subarray(1000, 1000 + length);
}

describe('payloads of cached entries', () => {
  test('keep no more memory alive than they are', () => {
    const keeper = new PayloadKeeper();
    const kept = Array.from({ length: 3000 }, (_, at) => keeper.keep(viewOf(100 + (at % 7), at % 251)));
    const memory = new Set(kept.map(({ buffer }) => buffer));
    const bytes = kept.reduce((sum, { length }) => sum + length, 0);
    const alive = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(alive < bytes + 128 * KIB, `${alive} bytes are alive for ${bytes}`);
    for (const [at, payload] of kept.entries()) {
      assert.ok(payload.equals(Buffer.alloc(100 + (at % 7), at % 251)), `payload ${at} has changed`);
    }
  });

  test('of a group that has hardly any take little', () => {
    const kept = new PayloadKeeper().keep(viewOf(40, 1));
    assert.ok(kept.buffer.byteLength <= KIB);
  });

  test('are copied when they are large only where they lie in something larger', () => {
    const keeper = new PayloadKeeper();
    const own = Buffer.allocUnsafeSlow(20 * KIB).fill(7);
    assert.equal(keeper.keep(own), own);
    const kept = keeper.keep(viewOf(20 * KIB, 9));
    assert.equal(kept.buffer.byteLength, 20 * KIB);
    assert.ok(kept.equals(Buffer.alloc(20 * KIB, 9)));
    assert.equal(keeper.keep(Buffer.alloc(0)).length, 0);
  });
});
