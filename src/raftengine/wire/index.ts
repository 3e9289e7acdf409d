/**
 * Messages of the algorithm as bytes, and what leaves a node in one turn.
 */

export { decodeMessages, decodeSnapshotHeader, encodeSnapshotHeader } from './message-codec.ts';
export { Outbox } from './outbox.ts';
export { decodeAddresses, encodeAddresses, type PeerAddressBook } from './peer-addresses.ts';
