/** What the node of a client and the leader of a group say about commands that wait, byte by byte. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RedisError } from '../../../../src/adapter/redis/protocol/index.ts';
import {
  decodeWaitAnswer,
  decodeWaitMessage,
  encodeWaitAnswer,
  encodeWaitMessage,
  type WaitAnswer,
  type WaiterId,
  type WaitMessage,
} from '../../../../src/adapter/redis/waiting/waiting-messages.ts';
import { NotOwnerError, RangeBusyError } from '../../../../src/kv/contract/errors.ts';
import { groupId, KvorumError, nodeId } from '../../../../src/platform/index.ts';
import { NotLeaderError } from '../../../../src/raftengine/errors.ts';

const ID: WaiterId = { node: nodeId(3), life: Buffer.from('0102030405060708', 'hex'), serial: 258 };

/** Other nodes read these bytes: they never change within a format. */
const MESSAGES: readonly (readonly [WaitMessage, string])[] = [
  [
    {
      kind: 'begin',
      id: ID,
      terms: { mode: 'wait', hasWaited: false, waitedMs: 0, only: undefined },
      batch: Buffer.from('abc'),
    },
    '010100030102030405060708000001020000000000000000000003616263',
  ],
  [
    {
      kind: 'begin',
      id: ID,
      terms: { mode: 'notice', hasWaited: true, waitedMs: 1500, only: [Buffer.from('k'), Buffer.from('')] },
      batch: Buffer.from('abc'),
    },
    '01010003010203040506070800000102' + '0101000005dc' + '01000000020000000' + '16b00000000' + '00000003616263',
  ],
  [{ kind: 'ask', id: ID }, '01020003010203040506070800000102'],
  [{ kind: 'end', id: ID }, '01030003010203040506070800000102'],
];

const ANSWERS: readonly (readonly [WaitAnswer, string])[] = [
  [{ kind: 'reply', bytes: Buffer.from('+OK\r\n') }, '00000000052b4f4b0d0a'],
  [{ kind: 'waiting', args: undefined }, '0100'],
  [{ kind: 'waiting', args: [Buffer.from('xread')] }, '01010000000100000005787265616 4'.replace(' ', '')],
  [{ kind: 'nothing' }, '02'],
  [{ kind: 'ended' }, '03'],
  [{ kind: 'notKnown' }, '05'],
];

const PLAIN = { noNullPrototype: true } as const;
const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
const anyId = fc.record(
  {
    node: fc.integer({ min: 1, max: 0xffff }).map(nodeId),
    life: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((array) => Buffer.from(array)),
    serial: fc.nat({ max: 0xffff_ffff }),
  },
  PLAIN,
);
const anyMessage: fc.Arbitrary<WaitMessage> = fc.oneof(
  fc.record(
    {
      kind: fc.constant<'begin'>('begin'),
      id: anyId,
      terms: fc.record(
        {
          mode: fc.constantFrom<'wait' | 'notice' | 'try'>('wait', 'notice', 'try'),
          hasWaited: fc.boolean(),
          waitedMs: fc.nat({ max: 0xffff_ffff }),
          only: fc.option(fc.array(bytes, { maxLength: 4 }), { nil: undefined }),
        },
        PLAIN,
      ),
      batch: bytes,
    },
    PLAIN,
  ),
  fc.record({ kind: fc.constantFrom<'ask' | 'end'>('ask', 'end'), id: anyId }, PLAIN),
);
const anyAnswer: fc.Arbitrary<WaitAnswer> = fc.oneof(
  fc.record({ kind: fc.constant<'reply'>('reply'), bytes }, PLAIN),
  fc.record(
    {
      kind: fc.constant<'waiting'>('waiting'),
      args: fc.option(fc.array(bytes, { maxLength: 4 }), { nil: undefined }),
    },
    PLAIN,
  ),
  fc.constantFrom<WaitAnswer>({ kind: 'nothing' }, { kind: 'ended' }, { kind: 'notKnown' }),
);

describe('messages about commands that wait', () => {
  for (const [message, hex] of MESSAGES) {
    test(`${message.kind} has its bytes`, () => {
      assert.equal(encodeWaitMessage(message).toString('hex'), hex);
      assert.deepEqual(decodeWaitMessage(Buffer.from(hex, 'hex')), message);
    });
  }

  for (const [answer, hex] of ANSWERS) {
    test(`the answer ${answer.kind} has its bytes`, () => {
      assert.equal(encodeWaitAnswer(answer).toString('hex'), hex);
      assert.deepEqual(decodeWaitAnswer(Buffer.from(hex, 'hex')), answer);
    });
  }

  test('bring back why a group could not keep a command', () => {
    for (const error of [
      new NotLeaderError(undefined),
      new NotOwnerError(groupId(7)),
      new RangeBusyError('the range is being handed over'),
    ]) {
      const answer = decodeWaitAnswer(encodeWaitAnswer({ kind: 'returned', error }));
      assert.equal(answer.kind, 'returned');
      if (answer.kind !== 'returned') return;
      assert.deepEqual([answer.error.code, answer.error.disposition], [error.code, error.disposition]);
    }
  });

  test('come back as they were', () => {
    fc.assert(
      fc.property(anyMessage, (message) => assert.deepEqual(decodeWaitMessage(encodeWaitMessage(message)), message)),
    );
    fc.assert(fc.property(anyAnswer, (answer) => assert.deepEqual(decodeWaitAnswer(encodeWaitAnswer(answer)), answer)));
  });

  test('are refused when they are damaged, and nothing else happens', () => {
    const damaged = (whole: Buffer, decode: (bytes: Buffer) => unknown) =>
      fc.property(fc.nat(), fc.nat({ max: 255 }), fc.nat(), (cut, byte, at) => {
        const changed = Buffer.from(whole.subarray(0, cut % (whole.length + 1)));
        if (changed.length > 0) changed[at % changed.length] = byte;
        try {
          decode(changed);
        } catch (error) {
          assert.ok(error instanceof RangeError || error instanceof KvorumError, String(error));
        }
      });
    for (const [message] of MESSAGES) fc.assert(damaged(encodeWaitMessage(message), decodeWaitMessage));
    for (const [answer] of ANSWERS) fc.assert(damaged(encodeWaitAnswer(answer), decodeWaitAnswer));
  });

  test('of another format are refused by name', () => {
    const later = encodeWaitMessage({ kind: 'ask', id: ID });
    later[0] = 2;
    assert.throws(() => decodeWaitMessage(later), RedisError);
  });
});
