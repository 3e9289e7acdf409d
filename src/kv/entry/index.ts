/**
 * Every byte that a group's log entries have, and the named values and reserved keys of its state. What is written here is read by
 * other nodes and later versions: golden files pin it.
 */

export {
  ABSENT,
  BatchEncoder,
  CODEC,
  EntryReader,
  encodePurge,
  encodeSetGc,
  encodeTxnFloor,
  expectBytes,
  MutationKind,
  mutationBytes,
  Opcode,
  rangeBytes,
  readMark,
  readPurge,
} from './entry.ts';
export {
  decodeAppliedMeta,
  decodeConf,
  decodeImports,
  encodeAppliedMeta,
  encodeConf,
  encodeImports,
  MetaName,
} from './group-meta.ts';
export {
  type CapturedEffect,
  captureBounds,
  captureKey,
  capturePlace,
  decodeCaptured,
  encodeCaptured,
  isLocalKey,
  LOCAL_END,
  LOCAL_START,
  touchesLocal,
} from './local-keys.ts';
export { encodeImport, encodeSpan, readImport, readSpan, type SpanEntry } from './span-entries.ts';
export { decodeAuthority, encodeAuthority, encodeFence, encodeLease, readFence, readLease } from './time-entries.ts';
export {
  type AbortEntry,
  anchorOf,
  type CommitEntry,
  encodeAbort,
  encodeCommit,
  encodeForget,
  encodePrepare,
  encodePush,
  encodeResolve,
  encodeTogether,
  type ForgetEntry,
  type PrepareEntry,
  type PushEntry,
  type ResolveEntry,
  readAbort,
  readCommit,
  readForget,
  readPrepare,
  readPush,
  readResolve,
  readTogether,
} from './txn-entries.ts';
