import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { listAppendChecker, registerTransactionChecker } from '../../jepsen/checkers/transactions.ts';
import type { Op } from '../../jepsen/history.ts';
import { concurrentTransactions, history, serialTransactions } from './histories.ts';

interface Case {
  readonly name: string;
  /** Undefined: the history is valid. */
  readonly anomaly: RegExp | undefined;
  readonly ops: Op[];
}

const a = (key: string, element: number) => ['append', key, element] as const;
const r = (key: string, observed: unknown) => ['r', key, observed] as const;
const w = (key: string, value: number) => ['w', key, value] as const;

const listAppend: Case[] = [
  {
    name: 'serial appends and reads',
    anomaly: undefined,
    ops: serialTransactions([a('x', 1)], [r('x', [1]), a('x', 2)], [r('x', [1, 2])]),
  },
  {
    name: 'concurrent transactions with a serial order',
    anomaly: undefined,
    ops: concurrentTransactions([a('x', 1), r('y', [])], [r('x', [1]), a('y', 1)]),
  },
  {
    name: 'a read of a failed append (G1a)',
    anomaly: /G1a/,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'fail', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', [1])]],
    ),
  },
  {
    name: 'a read in the middle of a transaction (G1b)',
    anomaly: /G1b/,
    ops: concurrentTransactions([a('x', 1), a('x', 2)], [r('x', [1])]),
  },
  {
    name: 'write cycles (G0)',
    anomaly: /G0/,
    ops: concurrentTransactions([a('x', 1), a('y', 1)], [a('x', 2), a('y', 2)], [r('x', [1, 2]), r('y', [2, 1])]),
  },
  {
    name: 'circular information flow (G1c)',
    anomaly: /G1c/,
    ops: concurrentTransactions([a('x', 1), r('y', [1])], [a('y', 1), r('x', [1])]),
  },
  {
    name: 'read skew (G-single)',
    anomaly: /G-single/,
    ops: concurrentTransactions([a('x', 1), a('y', 1)], [r('x', []), r('y', [1])]),
  },
  {
    name: 'write skew (G2)',
    anomaly: /G2-item/,
    ops: concurrentTransactions([r('x', []), a('y', 1)], [r('y', []), a('x', 1)], [r('x', [1]), r('y', [1])]),
  },
  {
    name: 'a stale read in real time',
    anomaly: /realtime/,
    ops: serialTransactions([a('x', 1)], [r('x', [])], [r('x', [1])]),
  },
  {
    name: 'an acknowledged append that no read ever shows',
    anomaly: /realtime/,
    ops: serialTransactions([a('x', 1)], [a('x', 2)], [r('x', [1])]),
  },
  {
    name: 'an unknown append that never shows',
    anomaly: undefined,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'info', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', [])]],
    ),
  },
  { name: 'an element that shows twice', anomaly: /duplicate/, ops: serialTransactions([a('x', 1)], [r('x', [1, 1])]) },
  {
    name: 'reads that disagree on the order',
    anomaly: /incompatible/,
    ops: concurrentTransactions([a('x', 1)], [a('x', 2)], [r('x', [1, 2])], [r('x', [2, 1])]),
  },
  {
    name: 'a transaction that misses its own append',
    anomaly: /internal/,
    ops: serialTransactions([a('x', 1), r('x', [])]),
  },
  {
    name: 'a long fork',
    anomaly: /G2-item/,
    ops: concurrentTransactions([a('x', 1)], [a('y', 1)], [r('x', [1]), r('y', [])], [r('x', []), r('y', [1])]),
  },
  { name: 'an element that nobody appended', anomaly: /garbage/, ops: serialTransactions([r('x', [7])]) },
  {
    name: 'an unknown append that took effect before it was asked for',
    anomaly: /G0-realtime/,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'ok', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [a('x', 2)]],
      [1, 'info', 'txn', [a('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', [2, 1])]],
    ),
  },
  {
    name: 'an append whose end is missing, which took effect before it was asked for',
    anomaly: /G0-realtime/,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'ok', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [a('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', [2, 1])]],
    ),
  },
  {
    name: 'an unknown append that takes effect long after its process gave it up',
    anomaly: undefined,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'info', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [a('x', 2)]],
      [1, 'ok', 'txn', [a('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', [2])]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', [2, 1])]],
    ),
  },
  {
    name: 'a transaction of unknown outcome that happened by half (read skew)',
    anomaly: /G-single/,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1), a('y', 1)]],
      [0, 'info', 'txn', [a('x', 1), a('y', 1)]],
      [1, 'invoke', 'txn', [r('x', null), r('y', null)]],
      [1, 'ok', 'txn', [r('x', [1]), r('y', [])]],
    ),
  },
  {
    name: 'reads that show less and less of an unknown append',
    anomaly: /realtime/,
    ops: history(
      [0, 'invoke', 'txn', [a('x', 1)]],
      [0, 'info', 'txn', [a('x', 1)]],
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', [1])]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', [])]],
    ),
  },
];

const registers: Case[] = [
  {
    name: 'serial writes and reads',
    anomaly: undefined,
    ops: serialTransactions([w('x', 1)], [r('x', 1), w('x', 2)], [r('x', 2)]),
  },
  {
    name: 'a read of a failed write (G1a)',
    anomaly: /G1a/,
    ops: history(
      [0, 'invoke', 'txn', [w('x', 1)]],
      [0, 'fail', 'txn', [w('x', 1)]],
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', 1)]],
    ),
  },
  {
    name: 'an intermediate read (G1b)',
    anomaly: /G1b/,
    ops: concurrentTransactions([w('x', 1), w('x', 2)], [r('x', 1)]),
  },
  {
    name: 'circular information flow (G1c)',
    anomaly: /G1c/,
    ops: concurrentTransactions([w('x', 1), r('y', 1)], [w('y', 1), r('x', 1)]),
  },
  {
    name: 'a lost update',
    anomaly: /lost update/,
    ops: concurrentTransactions([w('x', 1)], [r('x', 1), w('x', 2)], [r('x', 1), w('x', 3)]),
  },
  {
    name: 'write skew (G2)',
    anomaly: /G2-item/,
    ops: concurrentTransactions([r('x', null), w('y', 1)], [r('y', null), w('x', 1)]),
  },
  {
    name: 'a read of unset after a write was acknowledged',
    anomaly: /realtime/,
    ops: serialTransactions([w('x', 1)], [r('x', null)]),
  },
  {
    name: 'a read of what a blind write had replaced when it was acknowledged',
    anomaly: /realtime/,
    ops: serialTransactions([w('x', 1)], [w('x', 2)], [r('x', 1)]),
  },
  {
    name: 'a read of what a write of unknown outcome had replaced when it was read',
    anomaly: /realtime/,
    ops: history(
      [0, 'invoke', 'txn', [w('x', 1)]],
      [0, 'ok', 'txn', [w('x', 1)]],
      [1, 'invoke', 'txn', [w('x', 2)]],
      [1, 'info', 'txn', [w('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', 2)]],
      [3, 'invoke', 'txn', [r('x', null)]],
      [3, 'ok', 'txn', [r('x', 1)]],
    ),
  },
  {
    name: 'a write of unknown outcome that never shows, or shows late',
    anomaly: undefined,
    ops: history(
      [0, 'invoke', 'txn', [w('x', 1)]],
      [0, 'info', 'txn', [w('x', 1)]],
      [1, 'invoke', 'txn', [w('x', 2)]],
      [1, 'ok', 'txn', [w('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', 2)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', 1)]],
    ),
  },
  {
    name: 'a read of unset after a write of unknown outcome was read',
    anomaly: /realtime/,
    ops: history(
      [0, 'invoke', 'txn', [w('x', 1)]],
      [0, 'info', 'txn', [w('x', 1)]],
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', 1)]],
      [2, 'invoke', 'txn', [r('x', null)]],
      [2, 'ok', 'txn', [r('x', null)]],
    ),
  },
  {
    name: 'a read of what a write of unknown outcome had not been asked for yet',
    anomaly: /realtime/,
    ops: history(
      [1, 'invoke', 'txn', [r('x', null)]],
      [1, 'ok', 'txn', [r('x', 1)]],
      [0, 'invoke', 'txn', [w('x', 1)]],
      [0, 'info', 'txn', [w('x', 1)]],
    ),
  },
  {
    name: 'a transaction that misses its own write',
    anomaly: /internal/,
    ops: serialTransactions([w('x', 1), r('x', null)]),
  },
];

for (const [checker, cases] of [
  [listAppendChecker, listAppend],
  [registerTransactionChecker, registers],
] as const) {
  describe(`the ${checker.name} checker`, () => {
    for (const { name, anomaly, ops } of cases) {
      test(anomaly === undefined ? `accepts ${name}` : `finds ${name}`, () => {
        const { valid, problems } = checker.check(ops);
        assert.equal(valid, anomaly === undefined, problems.join('\n'));
        if (anomaly !== undefined) assert.match(problems.join('\n'), anomaly);
      });
    }
  });
}

describe('the report of an anomaly', () => {
  test('names every step of the cycle', () => {
    const skew = listAppend.find(({ name }) => name.startsWith('write skew'))!;
    assert.match(listAppendChecker.check(skew.ops).problems[0]!, /T1 -rw-> T0 .*T0 -rw-> T1/);
  });
});
