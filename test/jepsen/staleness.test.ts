import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { boundedStaleness, flushedSessions, monotonicSessions } from '../../jepsen/checkers/staleness.ts';
import type { Op } from '../../jepsen/history.ts';

/** One operation that began and ended at these milliseconds; an undefined value: nobody knows its outcome. */
type Done = readonly [
  process: number,
  f: 'add' | 'read' | 'mark' | 'flush',
  value: number | undefined,
  fromMs: number,
  toMs: number,
];

const historyOf = (operations: readonly Done[]): Op[] =>
  operations
    .flatMap(([process, f, value, fromMs, toMs]) => [
      { process, f, type: 'invoke' as const, value: ['k', null] as unknown, time: fromMs * 1e6 },
      value === undefined
        ? { process, f, type: 'info' as const, value: ['k', null] as unknown, time: toMs * 1e6 }
        : { process, f, type: 'ok' as const, value: [['k', value]] as unknown, time: toMs * 1e6 },
    ])
    .sort((left, right) => left.time - right.time)
    .map((op, index) => ({ ...op, index }));

interface Case {
  readonly name: string;
  /** Undefined: the history is valid. */
  readonly problem: RegExp | undefined;
  readonly operations: readonly Done[];
}

const accepts = (name: string, ...operations: Done[]): Case => ({ name, problem: undefined, operations });
const refuses = (name: string, problem: RegExp, ...operations: Done[]): Case => ({ name, problem, operations });

const staleness: Case[] = [
  accepts(
    'reads that lack what was acknowledged within the bound',
    [0, 'add', 1, 0, 10],
    [1, 'read', 0, 1000, 1005],
    [0, 'add', 2, 1010, 1020],
    [1, 'read', 1, 1500, 1510],
  ),
  refuses(
    'a read that lacks the oldest of two additions, counted from that one',
    /over 1001 ms/,
    [0, 'add', 1, 0, 10],
    [0, 'add', 2, 900, 910],
    [1, 'read', 0, 1011, 1020],
  ),
  accepts(
    'an addition of unknown outcome that nobody ever sees',
    [0, 'add', undefined, 0, 10],
    [1, 'read', 0, 5000, 5010],
  ),
  refuses(
    'a read that lacks an addition of unknown outcome which somebody had seen long before',
    /over 1980 ms/,
    [0, 'add', undefined, 0, 10],
    [1, 'read', 1, 15, 20],
    [2, 'read', 0, 2000, 2010],
  ),
  refuses(
    'a read of more than was being added',
    /gave 2 after 1 additions/,
    [0, 'add', undefined, 0, 10],
    [1, 'read', 2, 15, 20],
    [2, 'add', 3, 30, 40],
    [2, 'add', 4, 40, 50],
  ),
  refuses('two additions that come to the same', /both made it 1/, [0, 'add', 1, 0, 10], [1, 'add', 1, 0, 11]),
];

const sessions: Case[] = [
  accepts('processes that see different pasts', [0, 'add', 1, 0, 10], [1, 'read', 0, 20, 30], [1, 'read', 1, 40, 50]),
  refuses(
    'a read that goes back',
    /saw k at 2 and then, by read 2, at 1/,
    [0, 'read', 2, 0, 10],
    [0, 'read', 1, 20, 30],
  ),
  refuses(
    'a read that misses an own addition',
    /saw k at 1 and then, by read 2, at 0/,
    [0, 'add', 1, 0, 10],
    [0, 'read', 0, 20, 30],
  ),
  refuses(
    'an addition that is not on top of what was seen',
    /by add 2, at 2/,
    [0, 'read', 2, 0, 10],
    [0, 'add', 2, 20, 30],
  ),
];

const flushes: Case[] = [
  accepts(
    'a flush after which the mark is gone, and one beside the mark',
    [0, 'mark', 1, 0, 10],
    [1, 'flush', 0, 20, 30],
    [2, 'flush', 1, 5, 40],
  ),
  accepts(
    'a mark of unknown outcome that comes behind the flush',
    [0, 'mark', undefined, 0, 10],
    [1, 'flush', 1, 20, 30],
  ),
  refuses(
    'a mark that outlives a flush for whoever flushed',
    /saw k after its own flush/,
    [0, 'mark', 1, 0, 10],
    [1, 'flush', 1, 20, 30],
  ),
];

for (const [checker, cases] of [
  [boundedStaleness(1000), staleness],
  [monotonicSessions, sessions],
  [flushedSessions, flushes],
] as const) {
  describe(`the checker ${checker.name}`, () => {
    for (const { name, problem, operations } of cases) {
      test(problem === undefined ? `accepts ${name}` : `refuses ${name}`, () => {
        const { valid, problems } = checker.check(historyOf(operations));
        assert.equal(valid, problem === undefined, problems.join('\n'));
        if (problem !== undefined) assert.match(problems.join('\n'), problem);
      });
    }
  });
}
