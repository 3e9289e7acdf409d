/** Builds histories for checker tests from short scripts. */
import type { Op, OpType } from '../../jepsen/history.ts';

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
