/**
 * Raft as a pure state machine (Ongaro's thesis): no I/O, timer, clock, promise or random source of its own. Call `step` with a message, `tick` with
 * the passing of time, `propose` with an entry; take `Ready`; write its entries and hard state; send its messages when they may be sent; apply what is
 * committed; call `advance`.
 */

export { membersOf, nextConf } from './conf-changer.ts';
export { decodeConfChange, encodeConfChange } from './conf-codec.ts';
export { quorumValue } from './quorum.ts';
export { RaftCore } from './raft.ts';
export {
  type ConfChangeStep,
  type ConfState,
  type Entry,
  EntryKind,
  type HardState,
  type LogView,
  type Message,
  type PeerProgress,
  type RaftConfig,
  type Ready,
  Role,
  type SnapshotMeta,
} from './types.ts';
