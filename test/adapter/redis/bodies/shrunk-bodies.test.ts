import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type BodyLimits,
  newList,
  newOrdered,
  newSet,
  openList,
  openOrdered,
  openSet,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { bodyOf } from '../../../../src/adapter/redis/keys/index.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, checkAll, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('shrunk');
const SIZE = 6_000;
/** What is left when elements are removed one by one. */
const LEFT = 300;
/** Removals never write anew what stays: this is about pages that become empty bit by bit. */
const LIMITS: BodyLimits = {
  ...TINY_LIMITS,
  pageBytes: 128,
  inlineBytes: 48,
  rosterNames: 16,
  childrenWithoutCounts: 8,
  rebuildAbove: Number.POSITIVE_INFINITY,
};

/** Rows of one kind, and the bytes of their values. */
function pagesOf(access: TestAccess, kind: string): { count: number; bytes: number } {
  const rows = access.view.keys().filter((key) => key[bodyOf(key)?.headLength ?? key.length] === kind.charCodeAt(0));
  return { count: rows.length, bytes: rows.reduce((sum, key) => sum + access.view.get(key)!.value.length, 0) };
}

function assertFew(access: TestAccess, kind: string, before: { count: number }): void {
  checkAll(access, KEY);
  const { count, bytes } = pagesOf(access, kind);
  const needed = Math.ceil(bytes / LIMITS.pageBytes);
  assert.ok(count <= 4 * needed + 8, `${count} pages for ${bytes} bytes, that were ${before.count}`);
  assert.ok(count < before.count / 4, `${count} pages, that were ${before.count}`);
}

describe('after much deletion there are few pages left', () => {
  test('of a roster', () => {
    const access = accessTo(LIMITS);
    const set = newSet(access, KEY);
    for (let n = 0; n < SIZE; n++) set.add(bytesOf(`member ${n}`));
    set.save();
    const before = pagesOf(access, 'p');
    const removing = openSet(access, KEY);
    while (removing.size > LEFT) removing.delete([removing.random()!]);
    removing.save();
    assertFew(access, 'p', before);
  });

  test('of the tree of a list', () => {
    const access = accessTo(LIMITS);
    const list = newList(access, KEY);
    list.pushLast(Array.from({ length: SIZE }, (_, n) => bytesOf(`value ${n}`)));
    list.save();
    const before = pagesOf(access, 't');
    const random = new SeededRandom(3);
    const removing = openList(access, KEY);
    while (removing.length > LEFT) removing.remove(removing.at(random.int(removing.length))!, 1);
    removing.save();
    assertFew(access, 't', before);
  });

  test('of the tree of a sorted set', () => {
    const access = accessTo(LIMITS);
    const order = newOrdered(access, KEY);
    for (let n = 0; n < SIZE; n++) order.set(bytesOf(`m${n}`), n % 1_000);
    order.save();
    const before = pagesOf(access, 't');
    const removing = openOrdered(access, KEY);
    while (removing.size > LEFT) removing.delete([removing.random()!.member]);
    removing.save();
    assertFew(access, 't', before);
  });
});
