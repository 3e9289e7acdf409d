import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { globMatches } from '../../../../src/adapter/redis/protocol/glob.ts';
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  EncodedReply,
  ErrorReply,
  MapReply,
  NIL_ARRAY,
  NO_REPLY,
  OK,
  type Reply,
  SetReply,
  VerbatimReply,
} from '../../../../src/adapter/redis/protocol/reply.ts';
import { splitArrayReply } from '../../../../src/adapter/redis/protocol/reply-reader.ts';
import { encodeReply, ReplyWriter } from '../../../../src/adapter/redis/protocol/reply-writer.ts';
import {
  type ParserLimits,
  ProtocolError,
  RespParser,
  readAgain,
} from '../../../../src/adapter/redis/protocol/resp-parser.ts';
import { request } from '../harness.ts';

const LIMITS: ParserLimits = {
  lineBytes: 64 * 1024,
  bulkBytes: 512 * 1024 * 1024,
  argumentCount: 1024 * 1024,
  commandBytes: 1024 * 1024 * 1024,
};

/** All commands of a byte stream that arrives in the given chunks. */
function parse(chunks: readonly Buffer[], limits: ParserLimits = LIMITS): Buffer[][] {
  const parser = new RespParser(limits);
  const commands: Buffer[][] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let args = parser.next(); args !== undefined; args = parser.next()) {
      const lies = parser.chunkOf(args);
      if (lies !== undefined) assert.deepEqual(readAgain(lies, parser.lastAt), args);
      assert.equal(parser.chunkOf([...args]), undefined, 'of other arguments nothing is said');
      commands.push(args);
    }
  }
  return commands;
}

const texts = (commands: readonly Buffer[][]) => commands.map((args) => args.map((arg) => arg.toString('latin1')));

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let from = 0;
  for (const size of sizes) {
    if (from >= bytes.length) break;
    chunks.push(Buffer.from(bytes.subarray(from, from + size)));
    from += size;
  }
  if (from < bytes.length) chunks.push(Buffer.from(bytes.subarray(from)));
  return chunks;
}

describe('the request parser', () => {
  test('gives the same commands however the stream is cut', () => {
    const argument = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(
        fc.array(fc.array(argument, { minLength: 1, maxLength: 5 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 200 }),
        (commands, sizes) => {
          const stream = Buffer.concat(commands.map((args) => request(...args)));
          assert.deepEqual(parse(cut(stream, sizes)), commands);
        },
      ),
    );
  });

  test('says what a command lies in that has come in one piece, and of no other', () => {
    const set = request('SET', 'key', 'value');
    const parser = new RespParser(LIMITS);
    parser.push(Buffer.concat([set, set]));
    for (let at = 0; at < 2; at++) assert.notEqual(parser.chunkOf(parser.next()!), undefined);
    for (let length = 1; length < set.length; length++) {
      parser.push(set.subarray(0, length));
      assert.equal(parser.next(), undefined);
      parser.push(Buffer.concat([set.subarray(length), set]));
      const torn = parser.next()!;
      const isWhole = parser.chunkOf(torn) !== undefined;
      // Before the length of the list is there nothing of the command has been read.
      assert.equal(isWhole, length < 4, `torn behind ${length} bytes`);
      assert.notEqual(parser.chunkOf(parser.next()!), undefined);
    }
    parser.push(Buffer.from('SET key value\r\n'));
    assert.equal(parser.chunkOf(parser.next()!), undefined, 'an inline command');
  });

  test('gathers a value that comes in many chunks, whatever its size', () => {
    for (const size of [0, 1, 65_535, 300_000, 3_000_000]) {
      const value = Buffer.alloc(size, 'x');
      value.write('end', Math.max(0, size - 3));
      const chunks = cut(
        Buffer.concat([request('SET', 'k', value), request('PING')]),
        new Array<number>(Math.ceil(size / 10_007) + 1).fill(10_007),
      );
      const [set, ping] = parse(chunks);
      assert.equal(Buffer.compare(set![2]!, value), 0);
      assert.equal(ping![0]!.toString(), 'PING');
    }
  });

  test('reads inline commands with quotes and escapes', () => {
    const stream = 'PING\r\n\r\n  set "a b" \'c\\\'d\' "\\x41\\n\\q" e"f"\nget k\r\n';
    assert.deepEqual(texts(parse([Buffer.from(stream)])), [
      ['PING'],
      ['set', 'a b', "c'd", 'A\nq', 'ef'],
      ['get', 'k'],
    ]);
  });

  test('skips empty and negative arrays', () => {
    assert.deepEqual(texts(parse([Buffer.from('*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n')])), [['PING']]);
  });

  const refused: readonly (readonly [string, string])[] = [
    ['*x\r\n', 'invalid multibulk length'],
    ['*\r\n', 'invalid multibulk length'],
    ['*01\r\n', 'invalid multibulk length'],
    ['*1048577\r\n', 'invalid multibulk length'],
    ['*99999999999999999999\r\n', 'invalid multibulk length'],
    ['*1\r\nPING\r\n', "expected '$', got 'P'"],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$x\r\n', 'invalid bulk length'],
    ['*1\r\n$536870913\r\n', 'invalid bulk length'],
    [`*${'1'.repeat(70_000)}`, 'too big mbulk count string'],
    [`*1\r\n$${'1'.repeat(70_000)}`, 'too big bulk count string'],
    ['a'.repeat(70_000), 'too big inline request'],
    ['set "a\r\n', 'unbalanced quotes in request'],
    ['set "a"b\r\n', 'unbalanced quotes in request'],
  ];
  for (const [bytes, message] of refused) {
    test(`refuses ${JSON.stringify(bytes.slice(0, 24))} with "${message}"`, () => {
      assert.throws(() => parse([Buffer.from(bytes)]), new ProtocolError(message));
    });
  }

  test('refuses a command whose arguments together are too large', () => {
    const bytes = request('SET', 'k', Buffer.alloc(600), Buffer.alloc(600));
    assert.throws(() => parse([bytes], { ...LIMITS, commandBytes: 1000 }), ProtocolError);
  });

  test('does not reserve memory for a large argument before it arrives', () => {
    const parser = new RespParser(LIMITS);
    const before = process.memoryUsage().arrayBuffers;
    parser.push(Buffer.from('*1\r\n$536870912\r\nabc'));
    assert.equal(parser.next(), undefined);
    assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024);
  });

  test('never fails in another way than by a protocol error', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
            fc
              .constantFrom('*', '$', '\r\n', '3', '-1', '*2\r\n$3\r\n', '"', "'", '\\x4')
              .map((text) => Buffer.from(text)),
          ),
          { maxLength: 30 },
        ),
        (chunks) => {
          try {
            parse(chunks);
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the reply writer', () => {
  const rows: readonly (readonly [string, Reply, string, string])[] = [
    ['a status', OK, '+OK\r\n', '+OK\r\n'],
    ['an error on one line', new ErrorReply('ERR a\r\nb'), '-ERR a  b\r\n', '-ERR a  b\r\n'],
    ['an integer', -1234567, ':-1234567\r\n', ':-1234567\r\n'],
    ['a 64-bit integer', 9223372036854775807n, ':9223372036854775807\r\n', ':9223372036854775807\r\n'],
    ['bytes', Buffer.from([0xff, 0]), '$2\r\n\xff\0\r\n', '$2\r\n\xff\0\r\n'],
    ['text', 'äb', '$3\r\n\xc3\xa4b\r\n', '$3\r\n\xc3\xa4b\r\n'],
    ['nil', null, '$-1\r\n', '_\r\n'],
    ['a nil array', NIL_ARRAY, '*-1\r\n', '_\r\n'],
    ['nested arrays', [1, ['x', null]], '*2\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n', '*2\r\n:1\r\n*2\r\n$1\r\nx\r\n_\r\n'],
    ['a map', new MapReply([['a', 1]]), '*2\r\n$1\r\na\r\n:1\r\n', '%1\r\n$1\r\na\r\n:1\r\n'],
    ['a set', new SetReply(['a']), '*1\r\n$1\r\na\r\n', '~1\r\n$1\r\na\r\n'],
    ['a double', new DoubleReply(1.5), '$3\r\n1.5\r\n', ',1.5\r\n'],
    ['infinity', new DoubleReply(Number.NEGATIVE_INFINITY), '$4\r\n-inf\r\n', ',-inf\r\n'],
    ['a boolean', new BooleanReply(true), ':1\r\n', '#t\r\n'],
    ['a verbatim string', new VerbatimReply('hi'), '$2\r\nhi\r\n', '=6\r\ntxt:hi\r\n'],
    ['a big number', new BigNumberReply(12n), '$2\r\n12\r\n', '(12\r\n'],
    ['encoded bytes', new EncodedReply(Buffer.from('+x\r\n')), '+x\r\n', '+x\r\n'],
    ['silence', NO_REPLY, '', ''],
  ];
  for (const [what, reply, resp2, resp3] of rows) {
    test(`writes ${what} for both protocol versions`, () => {
      assert.equal(encode(reply, 2), resp2);
      assert.equal(encode(reply, 3), resp3);
    });
  }

  test('writes replies of any size one after the other', () => {
    const writer = new ReplyWriter();
    const expected: string[] = [];
    for (let index = 0; index < 3000; index++) {
      const text = 'x'.repeat((index * 37) % 200) + (index % 500 === 0 ? 'y'.repeat(40_000) : '');
      writer.write(Buffer.from(text), 2);
      writer.write(text, 2);
      expected.push(`$${text.length}\r\n${text}\r\n`.repeat(2));
    }
    assert.equal(Buffer.concat(writer.take()).toString('latin1'), expected.join(''));
    assert.deepEqual(writer.take(), []);
  });

  test('leaves bytes alone that were taken', () => {
    const writer = new ReplyWriter();
    writer.write('first', 2);
    const [first] = writer.take();
    writer.write('second', 2);
    assert.equal(first!.toString(), '$5\r\nfirst\r\n');
  });

  test('writes arrays that can be taken apart again', () => {
    const elements: Reply[] = [1, 'two', null, ['x', ['y']], new MapReply([['k', []]]), new VerbatimReply('v')];
    for (const resp of [2, 3] as const) {
      const split = splitArrayReply(new EncodedReply(encodeReply(elements, resp)))!;
      assert.deepEqual(
        split.map((element) => (element as EncodedReply).bytes.toString()),
        elements.map((element) => encodeReply(element, resp).toString()),
      );
    }
    assert.equal(splitArrayReply(new EncodedReply(Buffer.from('*-1\r\n'))), undefined);
    assert.equal(splitArrayReply(new EncodedReply(Buffer.from('_\r\n'))), undefined);
  });
});

const encode = (reply: Reply, resp: 2 | 3): string =>
  reply === NO_REPLY
    ? Buffer.concat(written(reply, resp)).toString('latin1')
    : encodeReply(reply, resp).toString('latin1');

function written(reply: Reply, resp: 2 | 3): Buffer[] {
  const writer = new ReplyWriter();
  writer.write(reply, resp);
  return writer.take();
}

describe('glob patterns', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['*', '', false],
    ['', '', true],
    ['', 'a', false],
    ['*', 'a', true],
    ['**', 'a', true],
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h*llo', 'heeeello', true],
    ['h[ae]llo', 'hallo', true],
    ['h[ae]llo', 'hillo', false],
    ['h[^e]llo', 'hello', false],
    ['h[^e]llo', 'hallo', true],
    ['h[a-b]llo', 'hbllo', true],
    ['h[b-a]llo', 'hallo', true],
    ['h\\*llo', 'h*llo', true],
    ['h\\*llo', 'hello', false],
    ['[\\]]', ']', true],
    ['[a', 'a', true],
    ['a\\', 'a\\', true],
    ['*a*b*c', 'xxaxxbxxc', true],
    ['*a*b*c', 'xxaxxcxxb', false],
    ['a', 'A', false],
  ];
  for (const [pattern, text, expected] of rows) {
    test(`${pattern} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () => {
      assert.equal(globMatches(Buffer.from(pattern), Buffer.from(text)), expected);
    });
  }

  test('take no more than polynomial time', () => {
    const started = Date.now();
    assert.equal(globMatches(Buffer.from(`${'a*'.repeat(50)}b`), Buffer.from('a'.repeat(20_000))), false);
    assert.ok(Date.now() - started < 1_000);
  });

  test('can ignore case', () => {
    assert.equal(globMatches(Buffer.from('MaX*'), Buffer.from('maxclients'), true), true);
  });
});
