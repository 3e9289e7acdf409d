/** Bytes that logs and stores already hold: a change of them is a change of the format, and is seen here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import {
  decodeLock,
  decodeStatus,
  encodeStatus,
  Lock,
  lockName,
  nameOf,
  statusName,
  type TxnStatusRow,
} from '../../../src/kv/apply/lock-rows.ts';
import { CorruptEntryError } from '../../../src/kv/contract/errors.ts';
import type { KeyIntent } from '../../../src/kv/contract/txn.ts';
import { EntryReader } from '../../../src/kv/entry/entry.ts';
import { decodeAppliedMeta, encodeAppliedMeta } from '../../../src/kv/entry/group-meta.ts';
import {
  decodeAuthority,
  encodeAuthority,
  encodeFence,
  encodeLease,
  readFence,
  readLease,
} from '../../../src/kv/entry/time-entries.ts';
import {
  encodeTogether,
  readAbort,
  readCommit,
  readForget,
  readPrepare,
  readPush,
  readResolve,
  readTogether,
} from '../../../src/kv/entry/txn-entries.ts';
import { encodeQuestion, encodeRead } from '../../../src/kv/txn/coordinator-wire.ts';
import { groupId } from '../../../src/platform/index.ts';
import { bytes } from '../../support/lone-group.ts';
import { del, entry, finish, put, putSince, range, read, request, ts, txn } from './entries.ts';

const t = txn('t', 7n, 'key');
const prepare = entry.prepare(100n, t, [put('key', 'value', 0n), del('gone'), read('seen', 42n)], [range('a', 'b')], 3);

/** Reads the body behind the opcode. */
const body =
  <T>(of: (reader: EntryReader) => T) =>
  (payload: Buffer): T =>
    of(new EntryReader(payload));

const ENTRIES: { readonly [name: string]: readonly [Buffer, (payload: Buffer) => unknown] } = {
  onePhaseOfSnapshot: [
    entry.onePhase(100n, t, [putSince('key', 'value', 50n), { ...del('gone'), notAboveTs: ts(50) }]),
    body(readPrepare),
  ],
  onePhase: [entry.onePhase(100n, t, [put('key', 'value')]), body(readPrepare)],
  prepare: [prepare, body(readPrepare)],
  commit: [
    entry.commit(100n, 90n, finish(t, ['key'], { reads: [bytes('seen')], ranges: [range('a', 'b')] })),
    body(readCommit),
  ],
  prepareAnchored: [
    entry.anchored(100n, t, [put('key', 'value', 0n), putSince('other', 'value', 50n), read('seen', 42n)]),
    body(readPrepare),
  ],
  commitAnchored: [entry.commitAnchored(100n, 90n, finish(t, ['key', 'other'])), body(readCommit)],
  abort: [entry.abort(100n, finish(t, ['key'], { participants: [groupId(2), groupId(3)] })), body(readAbort)],
  push: [entry.push(100n, t, 1n << 40n), body(readPush)],
  forget: [entry.forget(100n, 50n, t, ['key', 'gone']), body(readForget)],
  resolve: [
    entry.resolve(100n, [
      { txnId: t.txnId, key: bytes('key'), end: undefined, status: { kind: 'committed', commitTs: ts(90) } },
      { txnId: t.txnId, key: bytes('a'), end: bytes('b'), status: { kind: 'rolledBack' } },
    ]),
    body(readResolve),
  ],
  together: [encodeTogether([entry.push(100n, t, 9n), entry.push(100n, t, 10n)]), body(readTogether)],
  hlcLease: [encodeLease(1_700_000_003_000), body(readLease)],
  tsFence: [encodeFence({ kind: 'fence', epoch: 4, mode: 'tso', oracle: groupId(9) }), body(readFence)],
  tsOpen: [encodeFence({ kind: 'open', epoch: 4, floor: ts(12_345) }), body(readFence)],
};

const HOLDER = {
  ...t,
  minCommitTs: ts(100),
  deadlineTs: ts(200),
  participants: [groupId(2), groupId(3)],
  rowName: lockName(t.txnId),
};
const LOCK = new Lock(
  HOLDER,
  { key: bytes('key'), kind: 'put', value: bytes('value'), expireTs: ts(300) },
  nameOf(bytes('key')),
);
const RANGE_LOCK = new Lock(
  { ...HOLDER, participants: [] },
  { key: bytes('a'), kind: 'range', value: bytes(''), expireTs: ts(300) },
  nameOf(bytes('a')),
  bytes('b'),
);
const rowOf = (lock: Lock) => ({ key: lock.key, name: lock.rowName, value: lock.encode() });
const FATE: TxnStatusRow = {
  status: { kind: 'committed', commitTs: ts(90) },
  startTs: ts(7),
  isPrimary: true,
  participants: [groupId(2)],
};

const golden: { readonly [name: string]: string } = JSON.parse(
  readFileSync(new URL('./bytes.golden.json', import.meta.url), 'utf8'),
);
const hex = (buffers: { readonly [name: string]: Buffer }): { [name: string]: string } =>
  Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, buffer.toString('hex')]));

describe('bytes of transactions and of time', () => {
  test('are those of the golden file', () => {
    const actual = hex({
      ...Object.fromEntries(Object.entries(ENTRIES).map(([name, [payload]]) => [`entry.${name}`, payload])),
      'row.lock.name': LOCK.rowName,
      'row.lock': LOCK.encode(),
      'row.rangeLock.name': RANGE_LOCK.rowName,
      'row.rangeLock': RANGE_LOCK.encode(),
      'row.fate.name': statusName(t.txnId),
      'row.fate.committed': encodeStatus(FATE),
      'row.fate.rolledBack': encodeStatus({
        ...FATE,
        status: { kind: 'rolledBack' },
        isPrimary: false,
        participants: [],
      }),
      'meta.applied': encodeAppliedMeta({ term: 3, maxTs: ts(99), ceilingMs: 1_700_000_003_000 }),
      'meta.authority': encodeAuthority({ mode: 'tso', epoch: 4, oracle: groupId(9), isOpen: true }),
      'question.prepare': encodeQuestion(groupId(2), { kind: 'prepare', request: request(t, [put('key', 'value')]) }),
      'question.prepareOfSnapshot': encodeQuestion(groupId(2), {
        kind: 'prepare',
        request: request(t, [putSince('key', 'value', 50n)]),
      }),
      'answer.read': encodeRead({
        rows: [{ value: bytes('value'), expireTs: ts(300), commitTs: ts(90) }, undefined],
        seenTs: ts(100),
      }),
      'question.readWithAbsences': encodeQuestion(groupId(2), {
        kind: 'read',
        request: { keys: [bytes('key')], withAbsences: true },
      }),
      'answer.readWithAbsences': encodeRead({
        rows: [undefined],
        absences: { keys: [{ deletedTs: ts(80), writtenTs: ts(81) }], collectedTs: ts(50) },
        seenTs: ts(100),
      }),
      'question.status': encodeQuestion(groupId(2), { kind: 'status', txn: t }),
    });
    assert.deepEqual(actual, golden);
  });

  test('are read back as what was written', () => {
    for (const [name, [payload, decode]] of Object.entries(ENTRIES)) assert.doesNotThrow(() => decode(payload), name);
    assert.deepEqual(decodeLock(rowOf(LOCK)), LOCK);
    assert.deepEqual(decodeLock(rowOf(RANGE_LOCK)), RANGE_LOCK);
    assert.deepEqual(decodeStatus(encodeStatus(FATE)), FATE);
    const applied = { term: 3, maxTs: ts(99), ceilingMs: 5 };
    assert.deepEqual(decodeAppliedMeta(encodeAppliedMeta(applied)), applied);
    const authority = { mode: 'bridge', epoch: 1, oracle: groupId(1), isOpen: false } as const;
    assert.deepEqual(decodeAuthority(encodeAuthority(authority)), authority);
  });

  test('have another codec where a condition is one that older builds would misread', () => {
    const codecOf = (keys: readonly KeyIntent[]): number => entry.prepare(100n, t, keys)[1]!;
    assert.equal(codecOf([put('key', 'value', 7n)]), 1);
    assert.equal(codecOf([put('key', 'value', 7n), putSince('other', 'value', 50n)]), 2);
    const push = entry.push(100n, t, 9n);
    assert.throws(
      () => new EntryReader(Buffer.concat([push.subarray(0, 1), Buffer.of(2), push.subarray(2)])),
      /codec 2/,
    );
    const unknown = entry.prepare(100n, t, [put('key', 'value', 7n)]);
    const at = unknown.indexOf(bytes('key'), unknown.indexOf(bytes('key')) + 1) + 'key'.length + 1;
    assert.equal(unknown[at], 1);
    unknown[at] = 3;
    assert.throws(() => readPrepare(new EntryReader(unknown)), /unknown condition/);
  });

  test('are refused when they are cut off anywhere or have something left over', () => {
    for (const [name, [payload, decode]] of Object.entries(ENTRIES)) {
      for (let length = 0; length < payload.length; length++) {
        assert.throws(() => decode(payload.subarray(0, length)), CorruptEntryError, `${name} of ${length} bytes`);
      }
      assert.throws(() => decode(Buffer.concat([payload, Buffer.of(0)])), CorruptEntryError, name);
    }
    for (const row of [LOCK.encode(), encodeStatus(FATE)]) {
      const decode = (value: Buffer) => (row[0] === 0x81 ? decodeStatus(value) : decodeLock({ ...rowOf(LOCK), value }));
      for (let length = 0; length < row.length; length++) {
        assert.throws(() => decode(row.subarray(0, length)), CorruptEntryError);
      }
    }
  });
});
