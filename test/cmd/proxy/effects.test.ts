import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { describe as describeCommand } from '../../../cmd/proxy/commands.ts';
import { effectsOf } from '../../../cmd/proxy/effects.ts';
import { KeyGate } from '../../../cmd/proxy/key-gate.ts';
import { ScriptCache } from '../../../cmd/proxy/script-cache.ts';
import { type ReplyValue, ServerError } from '../../../cmd/redis/index.ts';

const bytes = (...words: string[]): Buffer[] => words.map((word) => Buffer.from(word));
const list = (...words: string[]): readonly ReplyValue[] => bytes(...words);

/** Commands as texts, behind each what is expected. */
function told(command: string, reply: ReplyValue): string[] {
  const args = bytes(...command.split(' '));
  return effectsOf(describeCommand(args).name, args, reply, 5_000_000).map(({ command: words, expected }) => {
    const answer = expected === undefined ? '?' : JSON.stringify(expected.reply, (_, value) => textOf(value));
    return `${words.map(String).join(' ')} => ${answer}`;
  });
}

function textOf(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: string; data?: number[] };
  return type === 'Buffer' ? Buffer.from(data!).toString() : value;
}

describe('the second side is told', () => {
  const ROWS: readonly (readonly [string, ReplyValue, readonly string[]])[] = [
    ['SET a 1', Buffer.from('OK'), ['SET a 1 => "OK"']],
    ['SET a 1', new ServerError('ERR no'), []],
    ['BLPOP a b 0', list('b', 'x'), ['LREM b 1 x => 1']],
    ['BRPOP a 0', list('a', 'x'), ['LREM a -1 x => 1']],
    ['BLPOP a 0', null, []],
    ['BLMPOP 0 2 a b RIGHT COUNT 2', [Buffer.from('b'), list('y', 'x')], ['LREM b -1 y => 1', 'LREM b -1 x => 1']],
    ['BLMOVE a b LEFT RIGHT 0', Buffer.from('x'), ['LREM a 1 x => 1', 'RPUSH b x => ?']],
    ['BRPOPLPUSH a b 0', Buffer.from('x'), ['LREM a -1 x => 1', 'LPUSH b x => ?']],
    ['BZPOPMIN z 0', list('z', 'm', '1.5'), ['ZREM z m => 1']],
    ['BZMPOP 0 1 z MAX COUNT 2', [Buffer.from('z'), [list('m', '2'), list('n', '1')]], ['ZREM z m n => 2']],
    ['SPOP s', Buffer.from('m'), ['SREM s m => 1']],
    ['SPOP s 3', list('m', 'n'), ['SREM s m n => 2']],
    ['SPOP s', null, []],
    ['XADD x MAXLEN ~ 10 LIMIT 5 * f v', Buffer.from('7-1'), ['XADD x MAXLEN ~ 10 LIMIT 5 7-1 f v => "7-1"']],
    [
      'XREADGROUP COUNT 9 GROUP g c BLOCK 0 NOACK STREAMS a b > 0',
      [
        [Buffer.from('b'), [[Buffer.from('1-1'), list('f', 'v')]]],
        [Buffer.from('a'), [[Buffer.from('2-1'), list('f', 'v')]]],
      ],
      [
        'XREADGROUP GROUP g c COUNT 9 NOACK STREAMS b 0 => [["b",[["1-1",["f","v"]]]]]',
        'XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a > => [["a",[["2-1",["f","v"]]]]]',
      ],
    ],
    ['SET a 1 NX PX 300 KEEPTTL', Buffer.from('OK'), ['SET a 1 NX KEEPTTL => "OK"', 'PEXPIREAT a 5000300 => 1']],
    ['SET a 1 NX EX 3', null, ['SET a 1 NX EX 3 => null']],
    ['SET a 1 EX 3 GET', Buffer.from('0'), ['SET a 1 EX 3 GET => "0"']],
    ['SET ex px', Buffer.from('OK'), ['SET ex px => "OK"']],
    ['SETEX a 3 v', Buffer.from('OK'), ['SET a v => "OK"', 'PEXPIREAT a 5003000 => 1']],
    ['PEXPIRE a 30 NX', 1, ['PEXPIREAT a 5000030 => 1']],
    ['EXPIRE a 3', 0, ['EXPIRE a 3 => 0']],
    ['EVAL text 0', new ServerError('ERR later'), ['EVAL text 0 => {"name":"ServerError"}']],
  ];
  for (const [command, reply, expected] of ROWS)
    test(`${expected.length === 0 ? 'nothing' : expected.join(', ')}, for ${command}`, () => {
      assert.deepEqual(told(command, reply), expected);
    });
});

describe('the gate of keys', () => {
  const at = (key: string) => [{ database: 0, key: Buffer.from(key) }];

  test('lets a command on any key in when nobody else is inside, and nobody else while it is', async () => {
    const gate = new KeyGate();
    const [one, other, third] = [{}, {}, {}];
    const order: string[] = [];
    const enter = async (name: string, places: ReturnType<typeof at> | undefined, owner: object) => {
      const leave = await gate.enter(places, owner);
      order.push(name);
      return leave;
    };
    const first = await enter('a by one', at('a'), one);
    const second = enter('all by other', undefined, other);
    const third1 = enter('b by third', at('b'), third);
    const own = await enter('c by other', at('c'), other);
    first();
    const leaveAll = await second;
    assert.deepEqual(order, ['a by one', 'c by other', 'all by other']);
    own();
    leaveAll();
    (await third1)();
    assert.deepEqual(order.at(-1), 'b by third');
    assert.equal(gate.size, 0);
  });
});

describe('scripts that went by', () => {
  const sha = (text: string): string => createHash('sha1').update(text).digest('hex');

  test('are found by their checksums, the ones that were met last, up to a number of bytes', () => {
    const cache = new ScriptCache(100);
    const scripts = Array.from({ length: 20 }, (_, at) => `return ${at}`.padEnd(25, ' '));
    for (const text of scripts.slice(0, 4)) cache.learn(Buffer.from(text));
    assert.equal(cache.find(sha(scripts[1]!))?.toString(), scripts[1]);
    cache.learn(Buffer.from(scripts[0]!));
    cache.learn(Buffer.from(scripts[4]!));
    assert.equal(cache.bytes, 100);
    assert.equal(cache.find(sha(scripts[1]!)), undefined, 'the one that was not met for longest is gone');
    for (const at of [0, 2, 3, 4]) assert.equal(cache.find(sha(scripts[at]!))?.toString(), scripts[at]);
    for (const text of scripts) cache.learn(Buffer.from(text));
    cache.learn(Buffer.alloc(101));
    assert.equal(cache.bytes, 100);
    assert.equal(cache.find(sha(scripts[19]!))?.toString(), scripts[19]);
  });
});
