import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decodeAnswer,
  decodeFrame,
  decodeHeader,
  decodeShardAnswer,
  decodeShardMessage,
  encodeAnswer,
  encodeFrame,
  encodeHeader,
  encodeMessage,
  encodeShardAnswer,
  encodeShardMessage,
  MalformedMessageFrameError,
} from '../../../../src/adapter/redis/messages/codec.ts';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const PLAIN = { noNullPrototype: true };
const published = fc.record({ isShard: fc.boolean(), channel: bytes, message: bytes }, PLAIN);
const interest = fc.record(
  {
    scope: fc.constantFrom('channel' as const, 'pattern' as const, 'shard' as const),
    key: bytes.map((name) => name.toString('latin1')),
    clients: fc.nat(),
  },
  PLAIN,
);

describe('the bytes of messages between nodes', () => {
  test('stay as they are', () => {
    const frame = encodeFrame({
      number: 0x1_0000_0002,
      isComplete: true,
      interests: [
        { scope: 'channel', key: 'news', clients: 3 },
        { scope: 'pattern', key: 'a*\xff', clients: 0 },
        { scope: 'shard', key: '', clients: 1 },
      ],
      messages: [
        encodeMessage({ isShard: false, channel: Buffer.from('news'), message: Buffer.from('hello') }),
        encodeMessage({ isShard: true, channel: Buffer.from('s'), message: Buffer.alloc(0) }),
      ],
    });
    assert.deepEqual(
      {
        header: hex(encodeHeader({ life: 0x0102_0304_0506, ordinal: 7 })),
        frame: hex(frame),
        answer: hex(encodeAnswer(9)),
        shardMessage: hex(encodeShardMessage(Buffer.from('s'), Buffer.from('m'))),
        shardAnswer: hex(encodeShardAnswer(258)),
      },
      {
        header: '01000001020304050600000007',
        frame:
          '4d010000000100000002' +
          '01000000046e65777300000003' +
          '0200000003612aff00000000' +
          '030000000000000001' +
          '04000000046e6577730000000568656c6c6f' +
          '05000000017300000000',
        answer: '410000000000000009',
        shardMessage: '010000000173000000016d',
        shardAnswer: '00000102',
      },
    );
  });

  test('say again what was written', () => {
    const parts = fc.record(
      {
        number: fc.maxSafeNat(),
        isComplete: fc.boolean(),
        interests: fc.array(interest, { maxLength: 5 }),
        messages: fc.array(published, { maxLength: 5 }),
      },
      PLAIN,
    );
    fc.assert(
      fc.property(parts, (frame) => {
        const encoded = encodeFrame({ ...frame, messages: frame.messages.map(encodeMessage) });
        assert.deepEqual(decodeFrame(encoded), frame);
      }),
    );
    assert.deepEqual(decodeHeader(encodeHeader({ life: 5, ordinal: 1 })), { life: 5, ordinal: 1 });
    assert.equal(decodeAnswer(encodeAnswer(2 ** 52)), 2 ** 52);
    assert.equal(decodeShardAnswer(encodeShardAnswer(0)), 0);
    const [channel, message] = [Buffer.from('c'), Buffer.from('m')];
    assert.deepEqual(decodeShardMessage(encodeShardMessage(channel, message)), { channel, message });
  });

  test('that nobody wrote are refused, whatever they are', () => {
    const decoders = [decodeFrame, decodeHeader, decodeAnswer, decodeShardMessage, decodeShardAnswer];
    const looksRight = fc.tuple(fc.constantFrom(0x4d, 0x41, 1), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(looksRight, ([first, rest]) => {
        for (const decode of decoders) {
          try {
            decode(Buffer.from([first, ...rest]));
          } catch (error) {
            assert.ok(error instanceof MalformedMessageFrameError, String(error));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
