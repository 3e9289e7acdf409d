/** A redis-server with a value of each kind, in each form that it has in a file, and the file. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callAll } from '../../compat/resp-connection.ts';
import { startReference, type Target } from '../../compat/targets.ts';

const numbers = (count: number, of: (at: number) => string): string[] =>
  Array.from({ length: count }, (_, at) => of(at));

/** Options of a server whose collections are never small. */
export const LARGE_FORMS: readonly string[] = [
  ...['--hash-max-listpack-entries', '0', '--zset-max-listpack-entries', '0', '--set-max-intset-entries', '0'],
  ...['--list-max-listpack-size', '3', '--rdbcompression', 'no', '--stream-node-max-entries', '3'],
];

/** Commands that make a value of each kind; names begin with the prefix. */
function values(prefix: string): string[][] {
  return [
    ['SET', `${prefix}text`, 'a text'],
    ['SET', `${prefix}number`, '12345'],
    ['SET', `${prefix}bytes`, '\x00\xff\r\n'],
    ['SET', `${prefix}long`, 'abc'.repeat(2_000)],
    ['SET', `${prefix}expires`, 'later', 'PX', '100000000'],
    ['HSET', `${prefix}hash`, ...numbers(20, (at) => `${at % 2 === 0 ? 'f' : ''}${at}`)],
    ['HSET', `${prefix}hash:large`, ...numbers(400, (at) => `element ${at}`)],
    ['RPUSH', `${prefix}list`, ...numbers(20, (at) => `${at * 1_000}`)],
    ['RPUSH', `${prefix}list:large`, ...numbers(700, (at) => `element ${at} of many`)],
    ['RPUSH', `${prefix}list:plain`, 'x'.repeat(10_000), 'y'],
    ['SADD', `${prefix}set:numbers`, ...numbers(20, (at) => `${at * 100_000}`)],
    ['SADD', `${prefix}set`, ...numbers(20, (at) => `m${at}`)],
    ['SADD', `${prefix}set:large`, ...numbers(600, (at) => `member ${at}`)],
    ['ZADD', `${prefix}zset`, '1', 'a', '-2.5', 'b', 'inf', 'c', '1e30', 'd', '0.1', 'e'],
    ['ZADD', `${prefix}zset:large`, ...numbers(400, (at) => (at % 2 === 0 ? `${at / 3}` : `member ${at}`))],
    ['PEXPIRE', `${prefix}zset:large`, '100000000'],
    ...numbers(150, (at) => `${at + 1}-1`).map((id) => ['XADD', `${prefix}stream`, id, 'field', `of ${id}`]),
    ['XDEL', `${prefix}stream`, '7-1'],
    ['XGROUP', 'CREATE', `${prefix}stream`, 'group', '0'],
    ['XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', '5', 'STREAMS', `${prefix}stream`, '>'],
    ['XREADGROUP', 'GROUP', 'group', 'bob', 'COUNT', '3', 'STREAMS', `${prefix}stream`, '>'],
    ['XACK', `${prefix}stream`, 'group', '2-1'],
  ];
}

/** Commands that make values which come in parts: more than 64 KiB, whatever is done to make them smaller. */
function largeValues(prefix: string): string[][] {
  const text = (at: number): string => createHash('sha256').update(String(at)).digest('hex');
  return [
    ['HSET', `${prefix}hash:parts`, ...numbers(1_200, text)],
    ['RPUSH', `${prefix}list:parts`, ...numbers(2_400, text)],
    ['SADD', `${prefix}set:parts`, ...numbers(1_200, text)],
    ['ZADD', `${prefix}zset:parts`, ...numbers(2_400, (at) => (at % 2 === 0 ? `${at / 3}` : text(at)))],
    ['PEXPIRE', `${prefix}list:parts`, '100000000'],
    // Nodes of 64 KiB, which have more values than Lua takes at once.
    ['CONFIG', 'SET', 'list-max-listpack-size', '-5'],
    ['RPUSH', `${prefix}list:numbers`, ...numbers(40_000, (at) => String(at % 100))],
    ...largeStream(`${prefix}stream:parts`, text),
  ];
}

/** Two groups, of one of which much is pending, entries among it that are gone. */
function largeStream(key: string, text: (at: number) => string): string[][] {
  const ids = numbers(2_500, (at) => `${1_000 + (at >> 2)}-${at % 4}`);
  return [
    ...ids.map((id, at) => ['XADD', key, id, at % 9 === 0 ? 'other' : 'field', text(at)]),
    ['XGROUP', 'CREATE', key, 'group', '0'],
    ['XGROUP', 'CREATE', key, 'idle', '1100-2'],
    ['XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', '1400', 'STREAMS', key, '>'],
    ['XREADGROUP', 'GROUP', 'group', 'bob', 'COUNT', '300', 'STREAMS', key, '>'],
    ['XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', '300', 'STREAMS', key, '>'],
    ['XREADGROUP', 'GROUP', 'group', 'bob', 'COUNT', '7', 'STREAMS', key, '0'],
    ['XGROUP', 'CREATECONSUMER', key, 'group', 'carol'],
    ['XACK', key, 'group', ...ids.slice(100, 110)],
    ['XDEL', key, ...ids.slice(40, 45), ids[1_500]!, ids.at(-1)!],
  ];
}

const LIBRARY = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";

/** Fills a server, with one database more. @param hasParts with values that come in parts too @returns how many keys it has */
async function fill(target: Target, hasParts: boolean): Promise<number> {
  const replies = await callAll(target, [
    ['FLUSHALL'],
    ...values('{a}'),
    ['SELECT', '3'],
    ...values('b:'),
    ...(hasParts ? largeValues('b:') : []),
    ['SELECT', '0'],
    ['FUNCTION', 'LOAD', 'REPLACE', LIBRARY],
  ]);
  const refused = replies.find(({ kind }) => kind === '-');
  if (refused !== undefined) throw new Error(refused.raw);
  const [first, , second] = await callAll(target, [['DBSIZE'], ['SELECT', '3'], ['DBSIZE']]);
  return Number(first!.text) + Number(second!.text);
}

/** A server whose collections have these forms, and how its file is read. @param parts whether it has values that come in parts too */
export async function startFilled(
  folder: string,
  parts: 'with parts' | 'without parts',
  ...options: string[]
): Promise<{
  readonly server: Target;
  readonly keys: number;
  readonly save: () => Promise<Buffer>;
  readonly file: string;
}> {
  const server = await startReference('--dir', folder, ...options);
  const keys = await fill(server, parts === 'with parts');
  const file = join(folder, 'dump.rdb');
  const save = async (): Promise<Buffer> => {
    await callAll(server, [['SAVE']]);
    return readFile(file);
  };
  return { server, keys, save, file };
}
