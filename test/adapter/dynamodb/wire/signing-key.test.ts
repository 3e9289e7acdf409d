import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { SigningKey } from '../../../../src/adapter/dynamodb/wire/signing-key.ts';

test('a signing key signs as HMAC-SHA-256 does, one text after the other', () => {
  const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 1_500 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(ascii, { minLength: 1, maxLength: 4 }), (bytes, texts) => {
      const key = new SigningKey(Buffer.from(bytes));
      for (const text of texts) {
        assert.deepEqual(key.sign(text), createHmac('sha256', bytes).update(text).digest());
      }
    }),
    { numRuns: 100 },
  );
});
