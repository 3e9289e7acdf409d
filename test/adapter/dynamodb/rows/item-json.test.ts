import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  CorruptRowError,
  encodeItemRecord,
  ItemJson,
  writeItemJson,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import { type Item, itemSize, readItem, wireItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import { anyWire } from '../values/wires.ts';

const KEYS = new Set(['p', 's']);

function jsonOf(item: Item, invocation?: Buffer): string {
  const row = encodeItemRecord(item, KEYS, itemSize(item), invocation);
  const json = new ItemJson(0);
  writeItemJson(
    json,
    [...item].filter(([name]) => KEYS.has(name)),
    row,
  );
  return json.finish().toString();
}

/** No number: JavaScript puts those before all other members. */
const name = fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => `${text}-`);

describe('an item as JSON out of its row', () => {
  test('is what JSON.stringify makes of it', () => {
    const attributes = fc.dictionary(name, anyWire, { maxKeys: 6 });
    fc.assert(
      fc.property(attributes, fc.boolean(), (wire, isInvoked) => {
        const item = readItem({ p: { S: '"\\/' }, s: { N: '-1.50' }, ...wire });
        const invocation = isInvoked ? Buffer.alloc(8, 7) : undefined;
        assert.deepEqual(JSON.parse(jsonOf(item, invocation)), JSON.parse(JSON.stringify(wireItem(item))));
      }),
      { numRuns: 200 },
    );
  });

  test('has every character as JSON.stringify has it', () => {
    const controls = Array.from({ length: 0x80 }, (_, code) => String.fromCharCode(code)).join('');
    for (const text of ['', controls, '\u2028\u2029é\u{1F600}\ufeff', 'x'.repeat(5_000), '"'.repeat(5_000)]) {
      const item = readItem({ p: { S: 'a' }, [`${text}-`]: { S: text }, m: { M: { [`${text}-`]: { L: [] } } } });
      assert.equal(jsonOf(item), JSON.stringify(wireItem(item)));
    }
  });

  test('is only the keys where the row has nothing else', () => {
    assert.equal(jsonOf(readItem({ p: { B: 'AP8=' } })), '{"p":{"B":"AP8="}}');
  });

  test('is refused where the row is damaged', () => {
    const row = encodeItemRecord(readItem({ a: { S: 'text' } }), KEYS, 5);
    const write = (bytes: Buffer) => writeItemJson(new ItemJson(0), [], bytes);
    assert.throws(() => write(row.subarray(0, -1)), CorruptRowError);
    assert.throws(() => write(Buffer.concat([Buffer.of(9), row.subarray(1)])), CorruptRowError);
  });
});
