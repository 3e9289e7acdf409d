import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FoundKeys } from '../../../src/kv/txn/found-keys.ts';

const keys = (...names: string[]): Buffer[] => names.map((name) => Buffer.from(name));
const textOf = (found: readonly Buffer[]): string[] => found.map(String);

test('what work has found is known to the next work with the same first key', () => {
  const found = new FoundKeys();
  assert.deepEqual(found.of(keys('a')), []);
  found.note(keys('a', 'b'), keys('b', 'row 1', 'a', 'row 2'));
  assert.deepEqual(textOf(found.of(keys('a', 'c'))), ['row 1', 'row 2']);
  assert.deepEqual(found.of(keys('b')), []);
  found.note(keys('a'), keys('a'));
  assert.deepEqual(found.of(keys('a')), [], 'the last work has found nothing');
});

test('so much is remembered and no more', () => {
  const found = new FoundKeys();
  const many = Array.from({ length: 100 }, (_, nth) => `row ${nth}`);
  for (let nth = 0; nth < 300; nth++) found.note(keys(`key ${nth}`), keys(...many));
  assert.equal(found.of(keys('key 299')).length, 64);
  assert.deepEqual(found.of(keys('key 0')), []);
});
