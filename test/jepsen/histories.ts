/** Builds histories for checker tests from short scripts. */
import type { Op, OpType } from '../../jepsen/history.ts';
import type { RunOptions } from '../../jepsen/types.ts';

type Step = readonly [process: number, type: OpType, f: string, value?: unknown];

/** Numbers the events; each takes one millisecond. */
export function history(...steps: readonly Step[]): Op[] {
  return steps.map(([process, type, f, value = null], index) => ({
    index,
    time: index * 1e6,
    process,
    type,
    f,
    value,
  }));
}

/** Transactions that run one after another, each on its own process unless given. */
export function serialTransactions(...transactions: readonly (readonly unknown[])[]): Op[] {
  return history(
    ...transactions.flatMap((ops, process): Step[] => [
      [process, 'invoke', 'txn', blank(ops)],
      [process, 'ok', 'txn', ops],
    ]),
  );
}

/** Transactions that all overlap, so that only their data orders them. */
export function concurrentTransactions(...transactions: readonly (readonly unknown[])[]): Op[] {
  return history(
    ...transactions.map((ops, process): Step => [process, 'invoke', 'txn', blank(ops)]),
    ...transactions.map((ops, process): Step => [process, 'ok', 'txn', ops]),
  );
}

function blank(ops: readonly unknown[]): unknown[] {
  return ops.map((op) => {
    const [f, key, value] = op as [string, unknown, unknown];
    return f === 'r' ? [f, key, null] : [f, key, value];
  });
}

/** A short run with everything in it: outcomes of every kind, two faults at once, a fault that is never healed. */
export function tormentedHistory(): Op[] {
  const events: (Omit<Op, 'index' | 'time'> & { readonly atMs: number })[] = [
    { atMs: 10, process: 0, type: 'invoke', f: 'write', value: ['register-1', 1] },
    { atMs: 12, process: 0, type: 'ok', f: 'write', value: ['register-1', 1] },
    { atMs: 1000, process: 'nemesis', type: 'invoke', f: 'network-slow', value: null },
    { atMs: 1001, process: 'nemesis', type: 'info', f: 'network-slow', value: { delayMs: 20 } },
    { atMs: 1500, process: 'nemesis', type: 'invoke', f: 'kill-leader', value: null },
    { atMs: 1510, process: 'nemesis', type: 'info', f: 'kill-leader', value: { killed: [2] } },
    { atMs: 1600, process: 1, type: 'invoke', f: 'read', value: ['register-1', null] },
    { atMs: 1620, process: 0, type: 'invoke', f: 'write', value: ['register-1', 2] },
    { atMs: 1700, process: 1, type: 'fail', f: 'read', value: ['register-1', null], error: 'a "bad" <node>' },
    { atMs: 2000, process: 'nemesis', type: 'invoke', f: 'heal-network-slow', value: null },
    { atMs: 2001, process: 'nemesis', type: 'info', f: 'heal-network-slow', value: null },
    { atMs: 2100, process: 'nemesis', type: 'invoke', f: 'heal-kill-leader', value: null },
    { atMs: 2200, process: 'nemesis', type: 'info', f: 'heal-kill-leader', value: null },
    { atMs: 2300, process: 0, type: 'info', f: 'write', value: ['register-1', 2], error: 'UNKNOWN' },
    { atMs: 3000, process: 'nemesis', type: 'invoke', f: 'pause-leader', value: null },
    { atMs: 3001, process: 'nemesis', type: 'info', f: 'pause-leader', value: { paused: 1 } },
    { atMs: 4000, process: 1, type: 'invoke', f: 'read', value: ['register-1', null] },
  ];
  return events.map(({ atMs, ...op }, index) => ({ index, time: atMs * 1e6, ...op }));
}

/** What a run was asked to do. */
export const runOptions = (archive: string): RunOptions => ({
  workload: 'register',
  nemeses: ['network-slow', 'kill-leader'],
  seconds: 4,
  seed: 1,
  nodes: 3,
  concurrency: 2,
  rate: 100,
  faultSeconds: undefined,
  overlap: 2,
  mutant: undefined,
  groups: 0,
  isolation: 'proxies',
  archive,
});
