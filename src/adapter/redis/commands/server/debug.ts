/** DEBUG, for tests of clients and for tools: what of it means something here. `debug-values.ts` has what looks at single values. */
import { type ClientSession, type CommandSpec, defineCommands, type ScanContext } from '../../command/index.ts';
import { DATABASE_COUNT, decodeStorageKey, KEYSPACES } from '../../keys/index.ts';
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  EncodedReply,
  ErrorReply,
  integerArgument,
  MapReply,
  memoryBytes,
  OK,
  RedisError,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
  wordOf,
} from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { ContentDigest, DIGEST_BYTES } from './debug-digest.ts';
import { debugValueCommands } from './debug-values.ts';

/** How long DEBUG SLEEP may take, seconds. */
const MAX_SLEEP_SECONDS = 3_600;
/** Keys that are looked at, or written, at a time. */
const PAGE_KEYS = 100;
const MAX_PACKED_BYTES = 4n * 1024n ** 3n;

function sleep(session: ClientSession, args: readonly Buffer[]): Promise<Reply> {
  const seconds = Number.parseFloat(args[2]!.toString('latin1'));
  const sleepMs = Math.min(Math.max(Number.isNaN(seconds) ? 0 : seconds, 0), MAX_SLEEP_SECONDS) * 1000;
  return new Promise((resolve) => {
    session.server.scheduler.after(sleepMs, () => resolve(OK));
  });
}

const RELOAD_OPTIONS: ReadonlySet<string> = new Set(['merge', 'noflush', 'nosave']);

async function reload({ session }: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  if (!args.slice(2).every((option) => RELOAD_OPTIONS.has(wordOf(option))))
    throw new RedisError('ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.');
  await session.server.debug.rereadStores();
  return OK;
}

/** Every key of a database with what `visit` makes of it. */
async function forEachKey(ctx: ScanContext, db: number, visit: (userKey: Buffer) => Promise<void>): Promise<boolean> {
  const { start: from, end } = KEYSPACES[db]!.wholeDb();
  let isEmpty = true;
  for (let start: Buffer | undefined = from; start !== undefined; ) {
    const page = await ctx.page({ start, end, limit: PAGE_KEYS, pattern: undefined, typeName: undefined });
    if (page.storageKeys.length > 0) isEmpty = false;
    await Promise.all(page.storageKeys.map((key) => visit(decodeStorageKey(key)!.userKey)));
    start = page.next;
  }
  return isEmpty;
}

async function digest(ctx: ScanContext): Promise<Reply> {
  const total = new ContentDigest();
  for (let db = 0; db < DATABASE_COUNT; db++) {
    const keys = new ContentDigest();
    const isEmpty = await forEachKey(ctx, db, async (userKey) => {
      const reply = await ctx.evaluate(db, [DEBUG, DIGEST_KEY, userKey]);
      keys.add(Buffer.from(reply.toString('latin1').slice(-2 * DIGEST_BYTES - 2, -2), 'hex'));
    });
    if (isEmpty) continue;
    total.appendNumber(db);
    for (let at = 0; at < DIGEST_BYTES; at++) total.bytes[at]! ^= keys.bytes[at]!;
  }
  return new SimpleString(total.bytes.toString('hex'));
}

const DEBUG = Buffer.from('DEBUG');
const DIGEST_KEY = Buffer.from('DIGEST-KEY');
const SETNX = Buffer.from('SETNX');

async function populate(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const refusal = 'ERR value is out of range, must be positive';
  const positive = (argument: Buffer): number => {
    const value = integerArgument(argument, refusal);
    if (value < 0n) throw new RedisError(refusal);
    return Number(value);
  };
  const count = positive(args[2]!);
  const prefix = args[3] ?? Buffer.from('key');
  const size = args[4] === undefined ? 0 : positive(args[4]);
  const write = async (index: number): Promise<void> => {
    const text = Buffer.from(`value:${index}`);
    const value = size === 0 ? text : Buffer.alloc(size);
    if (size > 0) text.copy(value);
    const key = Buffer.concat([prefix, Buffer.from(`:${index}`)]);
    await ctx.evaluate(ctx.session.db, [SETNX, key, value]);
  };
  for (let from = 0; from < count; from += PAGE_KEYS) {
    const indexes = Array.from({ length: Math.min(PAGE_KEYS, count - from) }, (_, offset) => from + offset);
    await Promise.all(indexes.map(write));
  }
  return OK;
}

async function hashTableStats(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const db = integerArgument(args[2]!);
  if (db < 0n || db >= BigInt(DATABASE_COUNT)) throw new RedisError('ERR Out of range database');
  const keys = await ctx.count(Number(db));
  return new VerbatimReply(`[Dictionary HT]\n number of elements: ${keys}\n`);
}

function packedThreshold(args: readonly Buffer[]): Reply {
  const bytes = memoryBytes(args[2]!);
  if (bytes === undefined || bytes >= MAX_PACKED_BYTES)
    throw new RedisError('ERR argument must be a memory value bigger than 1 and smaller than 4gb');
  return OK;
}

const ATTRIBUTE = Buffer.from('|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n');
const PUSH = Buffer.from('>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n');

/** Something in front of a reply, which RESP3 only has. */
const inFrontOf = (text: string, before: Buffer, resp: 2 | 3): Reply =>
  resp === 2 ? text : new EncodedReply(Buffer.concat([before, Buffer.from(`$${text.length}\r\n${text}\r\n`)]));

function pushSample(resp: 2 | 3): Reply {
  if (resp === 2) throw new RedisError('ERR RESP2 is not supported by this command');
  return inFrontOf('Some real reply following the push reply', PUSH, resp);
}

/** A reply of each kind, for those who write clients. */
const SAMPLES: Readonly<Record<string, (resp: 2 | 3) => Reply>> = {
  string: () => 'Hello World',
  integer: () => 12345,
  double: () => new DoubleReply(3141 / 1000),
  bignum: () => new BigNumberReply(1234567999999999999999999999999999999n),
  null: () => null,
  array: () => [0, 1, 2],
  set: () => new SetReply([0, 1, 2]),
  map: () => new MapReply([0, 1, 2].map((index) => [index, new BooleanReply(index === 1)])),
  attrib: (resp) => inFrontOf('Some real reply following the attribute', ATTRIBUTE, resp),
  push: pushSample,
  verbatim: () => new VerbatimReply('This is a verbatim\nstring'),
  true: () => new BooleanReply(true),
  false: () => new BooleanReply(false),
};

function protocolSample(session: ClientSession, args: readonly Buffer[]): Reply {
  const sample = SAMPLES[wordOf(args[2]!)];
  if (sample !== undefined) return sample(session.resp);
  const names = Object.keys(SAMPLES).join('|');
  throw new RedisError(`ERR Wrong protocol type name. Please use one of the following: ${names}`);
}

const HELP = [
  'CHANGE-REPL-ID',
  '    Gives the node another replication id, which only INFO shows.',
  'DIGEST',
  '    A digest of all keys of all databases; the same data has the same one in Redis.',
  'DIGEST-KEY <key>',
  '    The part that <key> has in it.',
  'DIGEST-VALUE <key> [<key> ...]',
  '    Digests of values.',
  'ERROR <string>',
  '    Answers an error with this text.',
  'HTSTATS <dbid>',
  '    How many keys a database has.',
  'HTSTATS-KEY <key>',
  '    As STRUCTURE, of a value whose encoding is hashtable or skiplist.',
  'LISTPACK <key>',
  '    As STRUCTURE, of a value whose encoding is listpack.',
  'LOG <message>',
  '    Writes <message> to the log of the node.',
  'OBJECT <key>',
  '    What is known of the value of <key> beyond its contents.',
  'POPULATE <count> [<prefix>] [<size>]',
  '    Makes <count> strings named key:<num>, or with <prefix> for key,',
  '    where there is nothing yet. Values are filled up to <size>.',
  'PROTOCOL <type>',
  '    A reply of this kind: string, integer, double, bignum, null, array, set,',
  '    map, attrib, push, verbatim, true, false.',
  'QUICKLIST <key> [<0|1>]',
  '    As STRUCTURE, of a list.',
  'QUICKLIST-PACKED-THRESHOLD <size>',
  '    Accepted; lists are not laid out by it.',
  'RELOAD [option ...]',
  '    Writes what this node has in memory to disk, and reads it from there again.',
  'SET-ACTIVE-EXPIRE <0|1>',
  '    Whether this node deletes keys that have expired where it leads them.',
  'SLEEP <seconds>',
  '    Answers after <seconds>, which may have a fraction; holds only this connection.',
  'STRUCTURE <key>',
  '    Looks at all rows of a value, and tells how many there are of each kind.',
];

const sub = declareWith({
  group: 'server',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  complexity: 'O(1)',
});

export const debugCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'debug',
    arity: -2,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    isProtected: true,
    group: 'server',
    since: '1.0.0',
    summary: 'For tests of clients.',
    differences:
      'Has what means something here. Needs `redis.enableDebugCommand`. What crashes, stops or leaks is not there.',
    complexity: 'That of the subcommand',
    subcommands: [
      ...debugValueCommands,
      sub({
        name: 'change-repl-id',
        arity: 2,
        since: '1.0.0',
        summary: 'Gives the node another replication id.',
        run: ({ server }) => {
          server.changeReplicationId();
          return OK;
        },
      }),
      sub({
        name: 'digest',
        arity: 2,
        since: '1.0.0',
        summary: 'A digest of everything.',
        complexity: 'O(N) in the size of all values',
        differences: 'Looks at one key after the other: exact while nobody writes.',
        handler: { kind: 'scan', run: digest },
      }),
      sub({
        name: 'error',
        arity: 3,
        since: '1.0.0',
        summary: 'Answers an error.',
        run: (_session, args) => new ErrorReply(args[2]!.toString('utf8').replaceAll(/[\r\n]/g, ' ')),
      }),
      helpCommand({ container: 'debug', group: 'server', since: '1.0.0', lines: HELP }),
      sub({
        name: 'htstats',
        arity: -3,
        since: '1.0.0',
        summary: 'How many keys a database has.',
        differences: 'Tells the number of keys only.',
        handler: { kind: 'scan', run: hashTableStats },
      }),
      sub({
        name: 'log',
        arity: 3,
        since: '1.0.0',
        summary: 'Writes a message to the log.',
        run: ({ server }, args) => {
          server.logForDebug(args[2]!.toString('utf8'));
          return OK;
        },
      }),
      sub({
        name: 'populate',
        arity: -3,
        since: '1.0.0',
        summary: 'Makes many strings.',
        complexity: 'O(N) in the number of strings',
        differences: 'The keys are replicated as all others are.',
        handler: { kind: 'scan', run: populate },
      }),
      sub({
        name: 'protocol',
        arity: 3,
        since: '1.0.0',
        summary: 'A reply of a kind.',
        run: protocolSample,
      }),
      sub({
        name: 'quicklist-packed-threshold',
        arity: 3,
        since: '1.0.0',
        summary: 'Accepted; lists are not laid out by it.',
        differences: 'Decides nothing: lists are not laid out by it.',
        run: (_session, args) => packedThreshold(args),
      }),
      sub({
        name: 'reload',
        arity: -2,
        since: '1.0.0',
        summary: 'Reads from disk what is in memory.',
        complexity: 'O(N) in what is not on disk yet',
        differences: 'Flushes the stores of this node, and forgets what they have cached. Nothing is lost on the way.',
        handler: { kind: 'scan', run: reload },
      }),
      sub({
        name: 'set-active-expire',
        arity: 3,
        since: '1.0.0',
        summary: 'Whether expired keys are deleted.',
        differences: 'Of what this node leads. An expired key is gone for readers in any case.',
        run: ({ server }, args) => {
          server.debug.setPurging(!/^\s*[+-]?0*(\D|$)/.test(args[2]!.toString('latin1')));
          return OK;
        },
      }),
      sub({
        name: 'sleep',
        arity: 3,
        since: '1.0.0',
        summary: 'Answers after a while.',
        differences: 'Holds only this connection.',
        run: sleep,
      }),
    ],
  },
]);
