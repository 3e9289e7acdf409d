import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeReply, errorMessage, isErrorReply, ReplySplitter, ServerError } from '../../../cmd/redis/index.ts';

const scalar = fc.oneof(
  fc.constantFrom(
    '+OK\r\n',
    ':42\r\n',
    '$-1\r\n',
    '*-1\r\n',
    '*0\r\n',
    '-ERR no\r\n',
    '$0\r\n\r\n',
    '_\r\n',
    ',1.5\r\n',
    '#t\r\n',
  ),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((text) => `$${text.length}\r\n${text}\r\n`),
  fc.constantFrom('=8\r\ntxt:\r\n\r\n\r\n', '!5\r\nERR x\r\n', '|1\r\n+ttl\r\n:3\r\n:1\r\n'),
);
const { reply } = fc.letrec<{ reply: string; aggregate: string }>((tie) => ({
  reply: fc.oneof({ maxDepth: 3 }, scalar, tie('aggregate')),
  aggregate: fc.oneof(
    fc
      .tuple(fc.constantFrom('*', '~', '>'), fc.array(tie('reply'), { maxLength: 4 }))
      .map(([mark, items]) => `${mark}${items.length}\r\n${items.join('')}`),
    fc
      .array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 })
      .map((pairs) => `%${pairs.length}\r\n${pairs.flat().join('')}`),
  ),
}));

describe('replies in a stream', () => {
  test('are found whole and in order, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(reply), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (replies, cuts) => {
        const found: string[] = [];
        const splitter = new ReplySplitter((bytes) => found.push(bytes.toString('latin1')));
        const bytes = Buffer.from(replies.join(''), 'latin1');
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const end = at + cuts[turn % cuts.length]!;
          splitter.feed(bytes.subarray(at, end));
          at = end;
        }
        assert.deepEqual(found, replies);
      }),
    );
  });

  test('say whether they are errors', () => {
    const errorsIn = (text: string): string[] => {
      const found: string[] = [];
      const splitter = new ReplySplitter((bytes) => isErrorReply(bytes) && found.push(errorMessage(bytes)));
      splitter.feed(Buffer.from(text));
      return found;
    };
    assert.deepEqual(errorsIn('+OK\r\n-ERR a\r\n*1\r\n-ERR b\r\n!7\r\nERR \r\nc\r\n'), ['ERR a', 'ERR \r\nc']);
  });

  test('are values', () => {
    const decoded = decodeReply(Buffer.from('*5\r\n+OK\r\n:-3\r\n$2\r\n\r\n\r\n$-1\r\n*2\r\n-ERR no\r\n*-1\r\n'));
    assert.deepEqual(decoded, [Buffer.from('OK'), -3, Buffer.from('\r\n'), null, [new ServerError('ERR no'), null]]);
  });
});

test('a long reply in many pieces is copied a few times, not once a piece', () => {
  const element = Buffer.from(`$100\r\n${'x'.repeat(100)}\r\n`);
  const long = Buffer.concat([Buffer.from('*20000\r\n'), ...new Array<Buffer>(20_000).fill(element)]);
  const stream = Buffer.concat([long, Buffer.from('+OK\r\n'), long]);
  let copied = 0;
  const { copy } = Buffer.prototype;
  const { concat } = Buffer;
  const replies: Buffer[] = [];
  const splitter = new ReplySplitter((reply) => replies.push(Buffer.from(reply)));
  Buffer.prototype.copy = function (this: Buffer, ...args: Parameters<typeof copy>): number {
    const bytes = copy.apply(this, args);
    copied += bytes;
    return bytes;
  };
  Buffer.concat = (...args: Parameters<typeof concat>) => {
    const whole = concat(...args);
    copied += whole.length;
    return whole;
  };
  try {
    for (let at = 0; at < stream.length; at += 1_000) splitter.feed(stream.subarray(at, at + 1_000));
  } finally {
    Buffer.prototype.copy = copy;
    Buffer.concat = concat;
  }
  assert.deepEqual(
    replies.map(({ length }) => length),
    [long.length, 5, long.length],
  );
  assert.ok(replies[2]!.equals(long));
  assert.ok(copied < 4 * stream.length, `${copied} bytes copied of ${stream.length}`);
});
