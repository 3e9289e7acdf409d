/** What counts as a change of a watched key, asked of redis-server and of kvorum. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_BODY_LIMITS } from '../../src/adapter/redis/bodies/index.ts';
import { skipWithout } from '../support/programs.ts';
import { Comparison } from './comparison.ts';
import { comparedTargets, LARGE_FROM_THE_FIRST } from './targets.ts';

const STORIES: Readonly<Record<string, readonly string[]>> = {
  'an absent key that came and went': ['WATCH k', 'APPEND k x', 'UNLINK k'],
  'an absent key that came empty and went': ['WATCH k', 'SET k', 'DEL k'],
  'a key that went and came back the same': ['SET k 1', 'WATCH k', 'DEL k', 'SET k 1'],
  'a key that had been deleted, and still is': ['SET k 1', 'DEL k', 'WATCH k', 'DEL k'],
  'a key that had been deleted, and came and went again': ['SET k 1', 'DEL k', 'WATCH k', 'SET k 2', 'DEL k'],
  'a key that was never there when everything is deleted': ['WATCH never', 'FLUSHALL'],
  'a deleted key when everything else is deleted': ['SET k 1', 'DEL k', 'WATCH k', 'FLUSHALL'],
  'an absent key that came and is deleted with everything else': ['WATCH k', 'SET k 1', 'FLUSHALL'],
  'a deleted key that came and is deleted with everything else': ['SET k 1', 'DEL k', 'WATCH k', 'SET k 2', 'FLUSHALL'],
  'a flushed key when everything is deleted again': ['SET k 1', 'FLUSHALL', 'WATCH k', 'FLUSHALL'],
  'a key that is deleted with everything else': ['SET k 1', 'WATCH k', 'FLUSHALL'],
};

/** Each is made, watched by one client, and changed in place by another. */
const CHANGES_IN_PLACE: Readonly<Record<string, readonly [make: string, ...changes: string[]]>> = {
  hash: [
    'HSET k f 1 g 2',
    'HSET k f 2',
    'HSET k f 1',
    'HINCRBY k f 1',
    'HINCRBYFLOAT k f 1',
    'HSETNX k f 2',
    'HGET k f',
  ],
  list: ['RPUSH k a b c', 'LSET k 1 x', 'LSET k -1 c', 'LRANGE k 0 -1', 'LREM k 0 nothing'],
  string: [
    'SET k abcdef',
    'SETRANGE k 2 x',
    'SETRANGE k 0 abc',
    'APPEND k x',
    'SETBIT k 1 0',
    'SETBIT k 1 1',
    'SETBIT k 1000 0',
    'BITFIELD k SET u8 0 97',
    'BITFIELD k OVERFLOW FAIL INCRBY u8 0 255',
    'BITFIELD k GET u8 0',
    'GETRANGE k 0 1',
    'GETEX k',
    'GETEX k PERSIST',
  ],
  sketch: [
    'PFADD k a b',
    'PFADD k a',
    'PFADD k c',
    'PFCOUNT k',
    'PFCOUNT k k',
    'PFMERGE k k',
    'PFDEBUG ENCODING k',
    'GET k',
  ],
  'sorted set': ['ZADD k 1 a 2 b 3 c', 'ZADD k 5 a', 'ZADD k 1 a', 'ZINCRBY k 1 b', 'ZADD k XX GT 0 c', 'ZSCORE k a'],
  set: ['SADD k a b c', 'SADD k d', 'SREM k a', 'SADD k a', 'SISMEMBER k a'],
};

for (const [layout, bodyLimits] of [
  ['collections as usual', DEFAULT_BODY_LIMITS],
  ['collections in rows', LARGE_FROM_THE_FIRST],
] as const) {
  describe(`a watched key, compared with redis-server, ${layout}`, { skip: skipWithout('redis-server') }, () => {
    const targets = comparedTargets(bodyLimits);

    const judgedAlike = async (steps: readonly (readonly [on: 0 | 1, line: string])[]): Promise<void> => {
      const comparison = await Comparison.open(targets.reference, targets.tested);
      try {
        const commands = steps.map(([on, line]) => ({ on, command: line.split(' ') }));
        assert.equal(await comparison.firstDifference(commands, 2), undefined);
      } finally {
        comparison.close();
      }
    };

    for (const [name, commands] of Object.entries(STORIES)) {
      test(`is judged alike: ${name}`, () => judgedAlike([...commands, 'MULTI', 'EXEC'].map((line) => [0, line])));
    }

    for (const [type, [make, ...changes]] of Object.entries(CHANGES_IN_PLACE)) {
      test(`is judged alike when another client changes it in place: ${type}`, async () => {
        for (const change of changes) {
          // The second watch finds what the first has left.
          await judgedAlike([
            ...([0, 1] as const).flatMap((): (readonly [0 | 1, string])[] => [
              [0, make],
              [0, 'WATCH k'],
              [1, change],
              [0, 'MULTI'],
              [0, 'PING'],
              [0, 'EXEC'],
            ]),
            [0, 'WATCH k'],
            [1, 'WATCH k'],
            [1, 'MULTI'],
            [1, change],
            [1, 'EXEC'],
            [0, 'MULTI'],
            [0, 'PING'],
            [0, 'EXEC'],
          ]);
        }
      });
    }
  });
}
