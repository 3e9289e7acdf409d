/** DEBUG, as far as it is there: what redis-server answers, and what it leaves alone. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { type CommandLine, callAll, type RawReply, RespConnection } from './resp-connection.ts';
import { LARGE_FROM_THE_FIRST, startKvorum, startReference, type Target } from './targets.ts';

const linesOf = (text: string): CommandLine[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(' '));

const DATA = linesOf(`
  SET s value
  SET n 12
  SETRANGE long 5000 end
  HSET h a 1 b 2 c ${'x'.repeat(100)}
  RPUSH l a b ${'y'.repeat(300)} a
  SADD ints 1 2 3
  SADD set a b c d e f g h i j k
  EXPIRE set 1000
  ZADD z 1 a 2.5 b -0.1 c 1e300 d 17179869185.25 e inf f
  SELECT 3
  SET elsewhere 1
  SELECT 0
`);

const QUESTIONS = linesOf(`
  DEBUG DIGEST
  DEBUG DIGEST-VALUE s n long h l ints set z none
  DEBUG DIGEST-VALUE
  DEBUG LISTPACK set
  DEBUG LISTPACK none
  DEBUG QUICKLIST s
  DEBUG QUICKLIST none
  DEBUG HTSTATS-KEY ints
  DEBUG HTSTATS-KEY none
  DEBUG HTSTATS 99
  DEBUG OBJECT none
  DEBUG RELOAD
  DEBUG RELOAD other
  DEBUG DIGEST
  DEBUG ERROR word
  DEBUG CHANGE-REPL-ID
  DEBUG SET-ACTIVE-EXPIRE 0
  DEBUG SET-ACTIVE-EXPIRE 1
  DEBUG QUICKLIST-PACKED-THRESHOLD 100b
  DEBUG QUICKLIST-PACKED-THRESHOLD 4gb
  DEBUG QUICKLIST-PACKED-THRESHOLD word
  DEBUG LOG word
  DEBUG SLEEP 0
  DEBUG SLEEP word
  DEBUG POPULATE word
  DEBUG POPULATE 3
  DEBUG POPULATE 250 many 10
  DEBUG POPULATE 2 many 100
  MGET key:0 key:2 many:249 many:0
  DBSIZE
  DEBUG DIGEST
  DEBUG PROTOCOL none
`);

const KINDS = 'string integer double bignum null array set map attrib push verbatim true false'.split(' ');

/** Arity is checked by the table of commands here, and by each of them in Redis. */
const shown = ({ raw }: RawReply): string =>
  raw
    .replace(/wrong number of arguments for 'debug.*/, 'arity')
    .replace(/unknown subcommand or wrong number.*/, 'arity');

describe('DEBUG, compared with redis-server', { skip: skipWithout('redis-server') }, () => {
  let reference: Target;
  let targets: readonly Target[];

  before(async () => {
    const config = { debugCommands: true };
    reference = await startReference('--enable-debug-command', 'yes');
    targets = [await startKvorum(undefined, config), await startKvorum(LARGE_FROM_THE_FIRST, config)];
  });
  after(async () => {
    await Promise.all([reference, ...(targets ?? [])].map((target) => target?.stop()));
  });

  for (const resp of ['2', '3']) {
    test(`answers the same over RESP${resp}, however values are laid out`, async () => {
      const expected = await answersOf(reference, resp);
      for (const target of targets) assert.deepEqual(await answersOf(target, resp), expected);
    });
  }

  test('tells tools what they look for in OBJECT', async () => {
    const fields = /refcount:\d+ encoding:listpack serializedlength:\d+ lru:\d+ lru_seconds_idle:0/;
    for (const target of [reference, ...targets]) {
      const [, , reply] = await callAll(target, linesOf('FLUSHALL\nHSET h f v\nDEBUG OBJECT h'));
      assert.match(reply!.text!, fields);
    }
  });

  test('is refused in the same words when it is off', async () => {
    const calls = linesOf('DEBUG\nDEBUG SLEEP 0\nDEBUG HELP\nDEBUG NONE');
    const [theirs, ours] = [await startReference(), await startKvorum()];
    try {
      const [expected, actual] = await Promise.all([theirs, ours].map((target) => callAll(target, calls)));
      assert.deepEqual(
        actual!.map(({ raw }) => raw),
        expected!.map(({ raw }) => raw),
      );
    } finally {
      await Promise.all([theirs.stop(), ours.stop()]);
    }
  });

  test('shows how each value is laid out, and that everything fits together', async () => {
    const keys = ['s', 'long', 'h', 'l', 'ints', 'set', 'z'];
    const [, large] = targets;
    const connection = await RespConnection.open(large!.host, large!.port);
    await connection.call([['FLUSHALL'], ...DATA]);
    const replies = await connection.call(keys.map((key) => ['DEBUG', 'STRUCTURE', key]));
    for (const [index, { text }] of replies.entries()) assert.match(text!, /Everything fits together/, keys[index]);
    assert.match(replies[2]!.text!, /^type hash\nform large\nelements 3\nincarnation [0-9a-f]{16}\nrows\n/);
    const [none] = await connection.call([['DEBUG', 'STRUCTURE', 'none']]);
    connection.close();
    assert.equal(none!.raw, '-ERR no such key\r\n');
  });
});

async function answersOf(target: Target, resp: string): Promise<readonly string[]> {
  const kinds = resp === '2' ? KINDS : KINDS.filter((kind) => kind !== 'attrib' && kind !== 'push');
  const samples = kinds.map((kind) => ['DEBUG', 'PROTOCOL', kind]);
  const calls = [['HELLO', resp], ['FLUSHALL'], ...DATA, ...QUESTIONS, ...samples];
  const replies = await callAll(target, calls);
  return replies.slice(2).map((reply, index) => `${calls[index + 2]!.join(' ').slice(0, 60)} -> ${shown(reply)}`);
}
