/**
 * Sending a store to a replica that is too far behind, and taking it.
 */

export { type SentSnapshot, SnapshotTransfer } from './snapshot-transfer.ts';
