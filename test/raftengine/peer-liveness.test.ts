import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeId, SeededRandom } from '../../src/platform/index.ts';
import { MalformedFrameError } from '../../src/raftengine/errors.ts';
import type { ClockStamp } from '../../src/raftengine/liveness/clock-exchange.ts';
import { decodeBeat, encodeBeat, isBeat, newLife } from '../../src/raftengine/liveness/peer-beat.ts';
import { PeerLiveness } from '../../src/raftengine/liveness/peer-liveness.ts';

const PEER = nodeId(2);

test('a peer is present from its first beat until none came for the timeout, and is told lost once', () => {
  const liveness = new PeerLiveness(1000);
  assert.deepEqual(liveness.expire(0), []);
  assert.equal(liveness.heard(PEER, 7, 100), true);
  assert.equal(liveness.heard(PEER, 7, 350), false);
  assert.deepEqual(liveness.expire(1349), []);
  assert.deepEqual(liveness.expire(1350), [PEER]);
  assert.deepEqual(liveness.expire(1400), []);
  assert.equal(liveness.present.has(PEER), false);
  assert.equal(liveness.heardMs(PEER), 350);
  assert.equal(liveness.heard(PEER, 7, 5000), true);
});

test('another life of a peer that was never missed is news', () => {
  const liveness = new PeerLiveness(1000);
  liveness.heard(PEER, 7, 100);
  assert.equal(liveness.heard(PEER, 8, 200), true);
  assert.equal(liveness.heard(PEER, 8, 300), false);
});

test('a node that stood still itself does not hold the silence against its peers', () => {
  const liveness = new PeerLiveness(1000);
  liveness.heard(PEER, 7, 100);
  liveness.skipRound(9000);
  assert.deepEqual(liveness.expire(9999), []);
  assert.deepEqual(liveness.expire(10_000), [PEER]);
});

test('a beat carries a life of 48 bits, and anything else is refused', () => {
  const random = new SeededRandom(3);
  for (let at = 0; at < 50; at++) {
    const life = newLife(random);
    const frame = encodeBeat(life);
    assert.ok(isBeat(frame));
    assert.deepEqual(decodeBeat(frame), { life, clocks: undefined });
  }
  assert.equal(encodeBeat(0x0102_0304_0506).toString('hex'), '810000010203040506');
  for (const hex of ['81', '8100000102030405', '81000001020304050607', '810001010203040506', '01']) {
    assert.throws(() => decodeBeat(Buffer.from(hex, 'hex')), MalformedFrameError);
  }
});

test('a beat carries what the clocks of its sender show, and is read without it too', () => {
  const life = 0x0102_0304_0506;
  const stamps: ClockStamp[] = [
    { isOff: false, sentAtMs: 1.5, wallMs: 1_700_000_000_000, heldMs: undefined, echo: undefined },
    { isOff: true, sentAtMs: 2 ** 40 + 0.25, wallMs: 0, heldMs: 12, echo: { sentAtMs: 7.75, keptMs: 0.5 } },
  ];
  for (const clocks of stamps) assert.deepEqual(decodeBeat(encodeBeat(life, clocks)), { life, clocks });
  assert.equal(
    encodeBeat(life, stamps[1]).toString('hex'),
    '810000010203040506' +
      '07' +
      '4270000000000400' +
      '0000000000000000' +
      '4028000000000000' +
      '401f000000000000' +
      '3fe0000000000000',
  );
  assert.throws(() => decodeBeat(encodeBeat(life, stamps[1]).subarray(0, 49)), MalformedFrameError);
  const timeless = encodeBeat(life, stamps[1]);
  timeless.writeDoubleBE(Number.NaN, 10);
  assert.throws(() => decodeBeat(timeless), MalformedFrameError);
});
