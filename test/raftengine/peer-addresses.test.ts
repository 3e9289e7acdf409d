import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeId } from '../../src/platform/index.ts';
import { decodeAddresses, encodeAddresses } from '../../src/raftengine/wire/peer-addresses.ts';

test('addresses come back from the context of a configuration change', () => {
  const addresses = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.string()), {
    selector: ([id]) => id,
  });
  fc.assert(
    fc.property(addresses, (pairs) => {
      const expected = pairs.map(([id, address]) => [nodeId(id), address] as const);
      assert.deepEqual([...decodeAddresses(encodeAddresses(expected))], expected);
    }),
  );
});

test('the bytes of a context stay as they are', () => {
  const context = encodeAddresses([[nodeId(3), 'host-3:50051']]);
  assert.equal(context.toString('hex'), '81a9616464726573736573919203ac686f73742d333a3530303531');
});

test('a context that names no addresses is read as such, whatever it holds', () => {
  assert.deepEqual([...decodeAddresses(Buffer.alloc(0))], []);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeAddresses(Buffer.from(bytes))));
});
