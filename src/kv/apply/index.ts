/**
 * The replicated state machine of a group. All of it must be deterministic: every replica applies the same entries to the same
 * state, so nothing here asks a clock or draws a random number.
 */

export type { BatchResult } from './batch.ts';
export { describeGroup, snapshotFacts } from './group-snapshot.ts';
export { decodeStatus, isStatusName, type Lock, nameOf, statusName, txnIdOf } from './lock-rows.ts';
export { LockTable } from './lock-table.ts';
export { isCapturing, ownerOf, rangeFloor, refusalOf } from './ownership.ts';
export { type EntryResult, GroupStateMachine } from './state-machine.ts';
export { factsOf, isOlder, type TxnAnswer } from './txn-state.ts';
