/** Which group has the keys of a command or a transaction, by the directory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commonGroup } from '../../../../src/adapter/redis/request/routing.ts';
import type { KeyStretch, KvService } from '../../../../src/kv/contract/service.ts';
import { groupId } from '../../../../src/platform/index.ts';
import { bytes } from '../../../support/lone-group.ts';

/** Stretches of groups 1, 2 and 1 again, with borders at `h` and `p`; counts how often it is asked. */
class Directory {
  asked = 0;

  stretchAt(key: Buffer): KeyStretch {
    this.asked++;
    const name = key.toString();
    if (name < 'h') return { group: groupId(1), end: bytes('h') };
    return name < 'p' ? { group: groupId(2), end: bytes('p') } : { group: groupId(1), end: undefined };
  }
}

const groupOf = (...keys: string[]) => {
  const directory = new Directory();
  const group = commonGroup(directory as unknown as KvService, keys.map(bytes));
  return { group, asked: directory.asked };
};

describe('the group of many keys', () => {
  test('is looked up once a stretch', () => {
    assert.deepEqual(groupOf(), { group: undefined, asked: 0 });
    assert.deepEqual(groupOf('a', 'c', 'b', 'g'), { group: groupId(1), asked: 1 });
    assert.deepEqual(
      groupOf('c', 'd', 'a', 'b', 'c'),
      { group: groupId(1), asked: 2 },
      'nothing is known of what lies before',
    );
  });

  test('is that of all of them, wherever they lie', () => {
    assert.equal(groupOf('a', 'z', 'b').group, groupId(1), 'two stretches of one group');
    for (const keys of [
      ['a', 'h'],
      ['h', 'g'],
      ['o', 'p'],
      ['a', 'z', 'i'],
    ]) {
      assert.equal(groupOf(...keys).group, 'several', keys.join());
    }
  });
});
