/** Questions and answers survive the way to a group's leader and back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LeaderUnavailableError, NotOwnerError } from '../../../src/kv/contract/errors.ts';
import { type ForwardHandler, wholeAnswer } from '../../../src/kv/contract/service.ts';
import type { LockFacts, TxnGroup } from '../../../src/kv/contract/txn.ts';
import { createTxnClient, serveTxns } from '../../../src/kv/txn/coordinator-client.ts';
import {
  decodeOutcome,
  decodeQuestion,
  encodeOutcome,
  encodeQuestion,
  type TxnOutcome,
  type TxnQuestion,
} from '../../../src/kv/txn/coordinator-wire.ts';
import { groupId, hlcTimestamp, SystemClock } from '../../../src/platform/index.ts';
import { NotLeaderError } from '../../../src/raftengine/errors.ts';

const GROUP = groupId(7);
const ts = (value: number) => hlcTimestamp(BigInt(value));
const bytes = (text: string): Buffer => Buffer.from(text);
const TXN = { txnId: Buffer.alloc(16, 3), primary: bytes('p'), startTs: ts(5) };
const FINISH = {
  ...TXN,
  isPrimary: true,
  participants: [groupId(2), groupId(3)],
  writes: [bytes('p'), bytes('q')],
  reads: [bytes('r')],
  ranges: [{ start: bytes('a'), end: bytes('b') }],
};
const PREPARE = {
  ...TXN,
  participants: [groupId(2)],
  authorityEpoch: 4,
  lockTtlMs: 10_000,
  keys: [
    { key: bytes('p'), kind: 'put' as const, value: bytes('v'), expireTs: ts(8), expected: ts(0) },
    { key: bytes('q'), kind: 'delete' as const, value: bytes(''), expireTs: ts(0), expected: undefined },
    { key: bytes('r'), kind: 'read' as const, value: bytes(''), expireTs: ts(0), expected: ts(6) },
  ],
};
const RANGE = { start: bytes('a'), end: bytes('b'), readTs: ts(11) };
const LOCK: LockFacts = {
  ...TXN,
  key: bytes('k'),
  kind: 'range',
  end: bytes('z'),
  minCommitTs: ts(1),
  deadlineTs: ts(2),
};

const QUESTIONS: readonly TxnQuestion[] = [
  { kind: 'read', request: { keys: [bytes('a'), bytes('')] } },
  { kind: 'read', request: { keys: [], readTs: ts(9) } },
  { kind: 'read', request: { keys: [bytes('a')], withAbsences: true } },
  {
    kind: 'scan',
    request: { start: bytes('a'), end: bytes('b'), limit: 10, keysOnly: true, reverse: false },
    readTs: ts(9),
  },
  {
    kind: 'scan',
    request: { start: bytes('a'), end: bytes('b'), limit: 10, keysOnly: false, reverse: true },
    readTs: undefined,
  },
  { kind: 'prepare', request: PREPARE },
  { kind: 'commitOnePhase', request: PREPARE },
  { kind: 'lockRange', request: { ...TXN, authorityEpoch: 4, lockTtlMs: 10_000, ...RANGE } },
  { kind: 'commit', request: { ...FINISH, commitTs: ts(44) } },
  { kind: 'abort', request: FINISH },
  { kind: 'status', txn: TXN },
  { kind: 'push', txn: TXN, lockTtlMs: 77 },
  {
    kind: 'resolve',
    verdicts: [
      { txnId: TXN.txnId, key: bytes('k'), end: undefined, status: { kind: 'committed', commitTs: ts(3) } },
      { txnId: TXN.txnId, key: bytes('k'), end: bytes('z'), status: { kind: 'rolledBack' } },
    ],
  },
];

const OUTCOMES: readonly TxnOutcome[] = [
  { kind: 'prepared', minCommitTs: ts(3) },
  { kind: 'changed', key: bytes('') },
  { kind: 'locked', lock: LOCK },
  { kind: 'locked', lock: { ...LOCK, kind: 'put', end: undefined } },
  { kind: 'tooOld' },
  { kind: 'wrongAuthority' },
  { kind: 'committed', commitTs: ts(3) },
  { kind: 'rolledBack' },
  { kind: 'tsTooLow', minCommitTs: ts(3) },
  { kind: 'notFound', key: bytes('k') },
  { kind: 'notFound' },
  { kind: 'pending', deadlineTs: ts(3) },
  { kind: 'forgotten' },
  { kind: 'pushed', deadlineTs: ts(3) },
];

/** Every field of `part` is in `whole`; what the leader puts in for itself may be there too. */
const assertIncludes = (whole: object, part: object): void =>
  assert.deepEqual({ ...whole, ...part }, whole, 'a field was lost');

describe('the service for transactions', () => {
  for (const question of QUESTIONS) {
    test(`carries a question of kind ${question.kind}`, () => {
      const decoded = decodeQuestion(encodeQuestion(GROUP, question));
      assert.equal(decoded.group, GROUP);
      if ('request' in question && 'request' in decoded.question) {
        assertIncludes(decoded.question.request, question.request);
        assert.equal(decoded.question.kind, question.kind);
      } else if ('txn' in question && 'txn' in decoded.question) {
        assertIncludes(decoded.question.txn, question.txn);
        assertIncludes(decoded.question, { ...question, txn: decoded.question.txn });
      } else assert.deepEqual(decoded.question, question);
    });
  }

  for (const outcome of OUTCOMES) {
    test(`carries an answer of kind ${outcome.kind}`, () => {
      assert.deepEqual(decodeOutcome(encodeOutcome(outcome)), outcome);
    });
  }

  test('asks the leader here, and over the wire when it has just stopped to lead', async () => {
    let handler: ForwardHandler | undefined;
    const asked: string[] = [];
    const row = { value: bytes('v'), expireTs: ts(0), commitTs: ts(3) };
    const shown = { rows: [row, undefined], seenTs: ts(5) };
    const group = (name: string, failure?: Error) =>
      ({
        read: async () => {
          asked.push(name);
          if (failure !== undefined) throw failure;
          return shown;
        },
      }) as unknown as TxnGroup;
    const register = (_service: string, registered: ForwardHandler): void => {
      handler = registered;
    };
    serveTxns({ onForward: register }, () => group('there'));
    const client = createTxnClient({
      kv: {
        servesLocally: () => true,
        forward: (_group, _service, payload, _deadlineMs, done) =>
          handler!(payload, (error, reply) => done(error, reply && wholeAnswer(reply))),
      },
      local: () => group('here', new NotLeaderError(undefined)),
      clock: new SystemClock(),
    });
    assert.deepEqual(await client.read(GROUP, { keys: [bytes('a'), bytes('b')] }), shown);
    assert.deepEqual(asked, ['here', 'there']);
  });

  test('hands on what the leader refuses with', async () => {
    const failures = [new NotOwnerError(GROUP), new LeaderUnavailableError('nobody')];
    for (const failure of failures) {
      const client = createTxnClient({
        kv: { servesLocally: () => false, forward: (_g, _s, _p, _d, done) => done(failure, undefined) },
        local: () => undefined,
        clock: new SystemClock(),
      });
      await assert.rejects(client.status(GROUP, TXN), failure);
    }
  });
});
