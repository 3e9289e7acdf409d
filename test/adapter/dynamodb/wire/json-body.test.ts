import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { parseJsonBody } from '../../../../src/adapter/dynamodb/wire/json-body.ts';

const refuses = (text: string | Buffer): boolean => {
  try {
    parseJsonBody(Buffer.from(text));
    return false;
  } catch (error) {
    assert.ok(error instanceof DynamoError && error.type === 'SerializationException');
    return true;
  }
};

describe('a body of JSON', () => {
  test('is read as it was written, whatever is in its strings', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3, stringUnit: 'grapheme' }), (value) => {
        const text = JSON.stringify(value);
        assert.deepEqual(parseJsonBody(Buffer.from(text)), JSON.parse(text));
      }),
      { numRuns: 100 },
    );
    const tricky = '{"a\\"b:":"\\\\","c":":\\\\\\":","":{"::":[":",{"d":1}]}}';
    assert.deepEqual(parseJsonBody(Buffer.from(tricky)), JSON.parse(tricky));
  });

  test('is refused when an object has a name twice, at any depth and under any spelling', () => {
    assert.ok(refuses('{"a":1,"a":1}'));
    assert.ok(refuses('[{"b":{"a":1,"\\u0061":2}}]'));
    assert.ok(refuses('{"__proto__":1,"__proto__":2}'));
    assert.ok(!refuses('{"a":{"a":1},"b":{"a":2}}'));
  });

  test('is refused when it is no JSON, no UTF-8 or has half of a pair', () => {
    for (const text of ['', '{', 'NaN', '{"a":Infinity}', '{a:1}', "{'a':1}", '{"a":1}x', '{"a":01}', '\ufeff{}']) {
      assert.ok(refuses(text), text);
    }
    assert.ok(refuses(Buffer.from([0x22, 0xff, 0x22])));
    assert.ok(refuses(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), 'a surrogate as bytes');
    assert.ok(refuses('"\\ud800"'));
    assert.ok(refuses('{"\\uDfff":1}'));
    assert.ok(refuses('["\\udc00\\ud800"]'));
    assert.ok(!refuses('["\\ud83d\\ude00", "\\\\ud800"]'));
  });

  test('may be as deep as it is long', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    assert.ok(!refuses(deep));
    assert.ok(!refuses(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`));
  });
});
