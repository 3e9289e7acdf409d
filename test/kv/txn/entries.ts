/** Entries of transactions for one group, as a test says them in a line. */

import type {
  FinishRequest,
  KeyIntent,
  PrepareRequest,
  RangeIntent,
  TxnIdentity,
  Verdict,
} from '../../../src/kv/contract/txn.ts';
import {
  encodeAbort,
  encodeCommit,
  encodeForget,
  encodePrepare,
  encodePush,
  encodeResolve,
} from '../../../src/kv/entry/txn-entries.ts';
import { type HlcTimestamp, hlcTimestamp } from '../../../src/platform/index.ts';
import { bytes } from '../../support/lone-group.ts';

export const ts = (value: bigint | number): HlcTimestamp => hlcTimestamp(BigInt(value));
const NO_BYTES = Buffer.alloc(0);

export const txn = (name: string, startTs = 1n, primary = 'a'): TxnIdentity => ({
  txnId: Buffer.alloc(16, name),
  primary: bytes(primary),
  startTs: ts(startTs),
});

export const put = (key: string, value: string, expected?: bigint): KeyIntent => ({
  key: bytes(key),
  kind: 'put',
  value: bytes(value),
  expireTs: ts(0),
  expected: expected === undefined ? undefined : ts(expected),
});
/** A put of a snapshot. */
export const putSince = (key: string, value: string, notAbove: bigint): KeyIntent => ({
  ...put(key, value),
  notAboveTs: ts(notAbove),
});
export const del = (key: string): KeyIntent => ({ ...put(key, ''), kind: 'delete', value: NO_BYTES });
export const read = (key: string, expected?: bigint): KeyIntent => ({
  ...put(key, '', expected),
  kind: 'read',
  value: NO_BYTES,
});
export const range = (start: string, end: string): RangeIntent => ({ start: bytes(start), end: bytes(end) });

export const request = (who: TxnIdentity, keys: readonly KeyIntent[], lockTtlMs = 60_000): PrepareRequest => ({
  ...who,
  participants: [],
  authorityEpoch: 0,
  lockTtlMs,
  keys,
});

export const finish = (
  who: TxnIdentity,
  writes: readonly string[],
  rest: Partial<FinishRequest> = {},
): FinishRequest => ({
  ...who,
  isPrimary: writes.includes(who.primary.toString()),
  participants: [],
  writes: writes.map(bytes),
  reads: [],
  ranges: [],
  ...rest,
});

const OPEN_ENDED = { ranges: [], oldestStartTs: ts(0), deadlineTs: ts(1n << 62n), isAnchored: false };

/** Entries by their own timestamps. */
export const entry = {
  prepare: (
    at: bigint,
    who: TxnIdentity,
    keys: readonly KeyIntent[],
    ranges: readonly RangeIntent[] = [],
    epoch = 0,
  ): Buffer =>
    encodePrepare({ ...OPEN_ENDED, ...request(who, keys), authorityEpoch: epoch, ts: ts(at), ranges }, false),
  /** With one status between its keys. */
  anchored: (at: bigint, who: TxnIdentity, keys: readonly KeyIntent[]): Buffer =>
    encodePrepare({ ...OPEN_ENDED, ...request(who, keys), ts: ts(at), isAnchored: true }, false),
  tooOld: (at: bigint, who: TxnIdentity, keys: readonly KeyIntent[]): Buffer =>
    encodePrepare({ ...OPEN_ENDED, ...request(who, keys), ts: ts(at), oldestStartTs: who.startTs }, false),
  onePhase: (at: bigint, who: TxnIdentity, keys: readonly KeyIntent[]): Buffer =>
    encodePrepare({ ...OPEN_ENDED, ...request(who, keys), ts: ts(at) }, true),
  commit: (at: bigint, commitTs: bigint, ended: FinishRequest): Buffer =>
    encodeCommit({ ...ended, ts: ts(at), commitTs: ts(commitTs), isAnchored: false }),
  commitAnchored: (at: bigint, commitTs: bigint, ended: FinishRequest): Buffer =>
    encodeCommit({ ...ended, ts: ts(at), commitTs: ts(commitTs), isAnchored: true }),
  abort: (at: bigint, ended: FinishRequest): Buffer => encodeAbort({ ...ended, ts: ts(at) }),
  push: (at: bigint, who: TxnIdentity, deadlineTs: bigint): Buffer =>
    encodePush({ ...who, ts: ts(at), deadlineTs: ts(deadlineTs) }),
  resolve: (at: bigint, verdicts: readonly Verdict[]): Buffer => encodeResolve({ ts: ts(at), verdicts }),
  forget: (at: bigint, olderThan: bigint, who: TxnIdentity, keys: readonly string[]): Buffer =>
    encodeForget({
      ts: ts(at),
      olderThanTs: ts(olderThan),
      statuses: keys.map((key) => ({ key: bytes(key), txnId: who.txnId })),
    }),
};
