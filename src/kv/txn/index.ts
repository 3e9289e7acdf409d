/**
 * Transactions over groups, from the side of who runs them: plan, lock, commit in one phase or two (Percolator's order with a
 * primary), find out what became of those whose coordinator is gone.
 */

export { createTxnClient, serveTxns } from './coordinator-client.ts';
export type { CoveredMoment } from './coordinator-types.ts';
export { decodePage, decodeRows, encodePage, encodeRows } from './coordinator-wire.ts';
export { TXN_OUTCOMES, TXN_WAYS, TxnCounters } from './counters.ts';
export { LockResolver } from './resolver.ts';
export { TransactionRunner } from './transaction-runner.ts';
export { BufferedView } from './transaction-view.ts';
