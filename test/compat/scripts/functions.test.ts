/** Libraries of functions must be taken, refused, listed and called as a real redis-server does it, and their payloads must be good for both. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skipWithout } from '../../support/programs.ts';
import { type CommandLine, callAll } from '../resp-connection.ts';
import { comparedTargets, connected } from '../targets.ts';

/** Codes of libraries without their first line. Each is loaded under a name of its own. */
const CODES = [
  'redis.register_function{function_name="x", callback=1}',
  'redis.register_function{function_name="x1", callback=function() end, description=function() end}',
  'redis.register_function{function_name="x2", callback=function() end, description=5}',
  'redis.register_function{function_name="x3", callback=function() end, flags="no-writes"}',
  'redis.register_function{function_name="x4", callback=function() end, flags={"no-write"}}',
  'redis.register_function{function_name="x5", callback=function() end, flags={1}}',
  'redis.register_function{function_name="x5a", callback=function() end, flags={"no-writes","no-writes","allow-oom","allow-stale","no-cluster","allow-cross-slot-keys"}}',
  'redis.register_function{function_name="x5b", callback=function() end, flags={a="no-writes"}}',
  'redis.register_function{function_name="x5c", callback=function() end, flags={}}',
  'redis.register_function{function_name="x5d", callback=function() end, flags={"allow-oom",nil,"no-writes"}}',
  'redis.register_function{FUNCTION_NAME="x5e", Callback=function() end, Description="d"}',
  'redis.register_function()',
  'redis.register_function("x6")',
  'redis.register_function("x7", 1)',
  'redis.register_function(1, function() end)',
  'redis.register_function(1.5, function() end)',
  'redis.register_function({}, function() end)',
  'redis.register_function({})',
  'redis.register_function{function_name="x8a"}',
  'redis.register_function{callback=function() end}',
  'redis.register_function{function_name={}, callback=function() end}',
  'redis.register_function("x8", function() end, 3)',
  'redis.register_function("a b", function() end)',
  'redis.register_function("", function() end)',
  'redis.register_function(nil, function() end)',
  'redis.register_function{[1]=2, function_name="x", callback=function() end}',
  'redis.register_function{[1.5]="a"}',
  'redis.register_function{[{}]="a"}',
  'redis.register_function("x9", function() end) redis.register_function("x9", function() end)',
  'redis.register_function("x10", function() return 1 end) redis.register_function("X10", function() return 2 end)',
  'return redis.call("ping")',
  'return redis.pcall("ping")',
  'redis.log(redis.LOG_DEBUG, "x")',
  'redis.log()',
  'redis.log(9, "x")',
  'x = 1',
  'print(KEYS)',
  'return redis.setresp(3)',
  'return redis.sha1hex("a")',
  'error("bum")',
  'return x x',
  'pairs(redis)',
  'redis.foo=1',
  'redis=1',
  'math.foo=1',
  '_G.x=1',
  'return _VERSION.x',
  'setmetatable(_G, nil)',
  'pcall(redis.register_function)',
  'local function x() return x() + 1 end x()',
  'local t = {} t = t .. "x"',
  'local x',
  'while true do end',
  'redis.register_function("f1", function(k,a) redis.register_function("q", function() end) end)',
  'local r = redis.register_function redis.register_function("f2", function(k,a) r("q", function() end) end)',
  'redis.register_function("f3", function(k,a) g=1 end)',
  'redis.register_function("f4", function(k,a) return KEYS[1] end)',
  'redis.register_function("f5", function(k,a) return {#k,#a,k[1],a[1]} end)',
  '\n\nredis.register_function("f6", function(k,a) error("boom") end)',
  'redis.register_function("f7", function(k,a) return redis.call("get") end)',
  'redis.register_function("f8", function(k,a) error({err="MY err"}) end)',
  'redis.register_function("f9", function(k,a) return redis.error_reply("MY err") end)',
  'redis.register_function{function_name="f10", callback=function(k,a) return redis.call("set",k[1],"b") end, flags={"no-writes"}}',
  'redis.register_function{function_name="f11", callback=function(k,a) return redis.call("get",k[1]) end, flags={"no-writes"}}',
  'redis.register_function("f12", function(k,a) local t={} for n,v in pairs(redis) do t[#t+1]=n..type(v) end table.sort(t) return t end)',
  'redis.register_function("f13", function(k,a) local t={} for n,v in pairs(_G) do t[#t+1]=n..type(v) end table.sort(t) return t end)',
  'redis.register_function("f14", function(k,a) return redis.call("function","list") end)',
  'redis.register_function("f15", function(k,a) return redis.call("fcall","f5", 0) end)',
  'local r = redis redis.register_function("f16", function(k,a) return type(r.call) end)',
  'local r = redis redis.register_function("f17", function(k,a) return {tostring(r==redis), r.REDIS_VERSION, type(r.log)} end)',
  'redis.register_function("f18", function() return {double=3.5} end)',
  'redis.register_function("f19", function() redis.setresp(3) return {double=3.5} end)',
  'redis.register_function("f20", function(k,a) redis.call("set",k[1],a[1]) error("after") end)',
  'redis.register_function("f21", function(k,a) return redis.call("incrby",k[1],a[1]) end)',
  'local function twice(n) return n * 2 end redis.register_function("f22", function(k,a) return twice(a[1]) end)',
  'redis.register_function("f23", function(k,a) return cjson.encode({string.rep("x",3), bit.band(7,3)}) end)',
  'redis.register_function("f24", function(k,a) return redis.pcall("nosuch") end)',
  'redis.register_function("f25", function(k,a) return pcall(error, "x") end)',
  'redis.register_function("f26", function(k,a) return loadstring("return 1+1")() end)',
  'redis.register_function("f27", function(k,a) return redis.replicate_commands() end)',
] as const;

const LOADS = CODES.map((code, index): CommandLine => ['FUNCTION', 'LOAD', `#!lua name=lib${index}\n${code}`]);

const CALLS = Array.from({ length: 27 }, (_, index) => `f${index + 1}`).flatMap((name): CommandLine[] => [
  ['FCALL', name, '1', 'key', '7'],
  ['FCALL_RO', name, '1', 'key', '7'],
]);

/** First lines of libraries. */
const HEADS = [
  ...[
    '',
    'lua',
    '#!',
    '#!\nx',
    '#!lua',
    '#!lua name=c',
    '#!lua \nx',
    '#!lua name=\nx',
    '#!lua name=a-b\nx',
    '#!lua name=c name=d\nx',
  ],
  ...[
    '#!lua foo=c name=d\nx',
    '#!lua name = c\nx',
    '#!js name=c\nx',
    '#! name=c\nx',
    '#!lua name="c\nx',
    '#!lua name=c name\nx',
  ],
];
const ONE = 'redis.register_function("FIRST", function(k,a) return 1 end)';
const NAMED = [
  '#!lua   name=h1  ',
  '#!LUA name=h2',
  '#!lua NAME=h3',
  '#!lua "name=h4" ',
  "#!lua name='h5'",
  '#!lua\tname=h6\r',
  '#!lua name=H1',
];

const COMMANDS: readonly CommandLine[] = [
  ...HEADS.map((head): CommandLine => ['FUNCTION', 'LOAD', head]),
  ...NAMED.map(
    (head, index): CommandLine => [
      'FUNCTION',
      'LOAD',
      `${head}\nredis.register_function("h${index}", function() return ${index} end)`,
    ],
  ),
  ['FUNCTION', 'DELETE', 'h2'],
  ['FUNCTION', 'FLUSH', 'SYNC'],
  ['FUNCTION', 'LIST'],
  ['FUNCTION', 'STATS'],
  ['FUNCTION', 'LOAD', `#!lua name=a\n${ONE}`],
  ['FUNCTION', 'LOAD', `#!lua name=a\n${ONE}`],
  ['FUNCTION', 'LOAD', `#!lua name=b\n${ONE}`],
  ['FUNCTION', 'LOAD', `#!lua name=b\n${ONE.toLowerCase()}`],
  ['FUNCTION', 'LOAD', 'REPLACE', `#!lua name=b\n${ONE}`],
  ['FUNCTION', 'LIST', 'WITHCODE'],
  ['FCALL', 'first', '0'],
  ['FUNCTION', 'LOAD', 'replace', '#!lua name=a\nredis.register_function("first", function(k,a) return 2 end)'],
  ['FCALL', 'FIRST', '0'],
  ['FUNCTION', 'LOAD', 'replace', '#!lua name=a\nredis.register_function("first", function(k,a) retur 2 end)'],
  ['FUNCTION', 'LOAD', 'replace', '#!lua name=a\nlocal x'],
  ['FCALL', 'FIRST', '0'],
  ['FUNCTION', 'LOAD', 'replace'],
  ['FUNCTION', 'LOAD', 'foo', 'bar'],
  ['FUNCTION', 'LOAD', 'replace', 'replace', 'x'],
  ['FUNCTION', 'LOAD', 'a', 'b', 'c'],
  ['FUNCTION', 'LOAD'],
  ['FUNCTION', 'DELETE'],
  ['FUNCTION', 'DELETE', 'nope'],
  ['FUNCTION', 'DELETE', 'A'],
  ['FUNCTION', 'DELETE', 'a', 'b'],
  ['FUNCTION', 'FLUSH', 'foo'],
  ['FUNCTION', 'FLUSH', 'async', 'sync'],
  ['FUNCTION', 'LIST', 'foo'],
  ['FUNCTION', 'LIST', 'libraryname'],
  ['FUNCTION', 'LIST', 'libraryname', 'x', 'LIBRARYNAME', 'y'],
  ['FUNCTION', 'LIST', 'withcode', 'withcode'],
  ['FUNCTION', 'LIST', 'libraryname', 'A*'],
  ['FUNCTION', 'LIST', 'libraryname', 'a*', 'withcode'],
  ['FUNCTION', 'LIST', 'withcode', 'libraryname', 'z*'],
  ['FUNCTION', 'STATS'],
  ['FUNCTION', 'STATS', 'x'],
  ['FUNCTION', 'KILL'],
  ['FUNCTION', 'KILL', 'x'],
  ['FUNCTION', 'DUMP'],
  ['FUNCTION', 'DUMP', 'x'],
  ['FUNCTION', 'RESTORE'],
  ['FUNCTION', 'RESTORE', 'abc'],
  ['FUNCTION', 'RESTORE', 'abc', 'foo'],
  ['FUNCTION', 'RESTORE', 'abc', 'flush', 'append'],
  ['FUNCTION', 'nope'],
  ['FUNCTION'],
  ['FCALL'],
  ['FCALL', 'first'],
  ['FCALL', 'nope', 'x'],
  ['FCALL', 'first', 'x'],
  ['FCALL', 'first', '-1'],
  ['FCALL', 'first', '2', 'a'],
  ['FCALL_RO', 'first', '0'],
  ['FCALL_RO', 'nope', '0'],
  ['COMMAND', 'GETKEYS', 'FCALL', 'x', '2', 'a', 'b', 'c'],
  ['EVAL', 'return redis.call("fcall", "first", 0)', '0'],
  ['EVAL', 'return redis.call("function", "stats")', '0'],
  ['MULTI'],
  ['FUNCTION', 'STATS'],
  ['FCALL', 'first', '0'],
  [
    'FUNCTION',
    'LOAD',
    '#!lua name=z\nredis.register_function("z", function(k,a) return redis.call("set", k[1], a[1]) end)',
  ],
  ['FCALL', 'z', '1', 'k', 'v'],
  ['FUNCTION', 'DELETE', 'z'],
  ['FCALL', 'z', '1', 'k', 'v'],
  ['FUNCTION', 'KILL'],
  ['EXEC'],
  ['GET', 'k'],
  ['FUNCTION', 'FLUSH'],
  ['FCALL', 'first', '0'],
  ['FUNCTION', 'DUMP'],
];

/** Libraries that payloads are made of, each set by itself: in which order Redis writes several is chance. */
const DUMPED = [
  [],
  [`#!lua name=one\n${ONE}`],
  [`#!lua name=long\n${`-- the same again and again\n`.repeat(100)}${ONE}`],
  ['#!lua name=bytes\nredis.register_function("b", function() return "\xff\x00\x01" end)'],
  [
    '#!lua name=flags\nredis.register_function{function_name="f", callback=function() return 1 end, flags={"no-writes","allow-oom"}, description="d"}',
  ],
] as const;

describe('functions beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  for (const resp of [2, 3] as const) {
    test(`answer the same over RESP${resp}`, async () => {
      const calls: CommandLine[] = [...LOADS, ...CALLS, ['FUNCTION', 'FLUSH'], ...COMMANDS];
      const [expected, actual] = await Promise.all(
        [targets.reference, targets.tested].map(async (target) => {
          const before: CommandLine[] = [['FLUSHALL'], ['FUNCTION', 'FLUSH'], ['HELLO', String(resp)]];
          const replies = await callAll(target, [...before, ...calls]);
          return replies.slice(before.length);
        }),
      );
      const differing = calls.flatMap((command, index) =>
        expected![index]!.raw === actual![index]!.raw
          ? []
          : [{ command, redis: expected![index]!.raw, kvorum: actual![index]!.raw }],
      );
      assert.deepEqual(differing, []);
    });
  }

  test('leave payloads that either can restore', async () => {
    const [redis, kvorum] = await connected(targets);
    for (const codes of DUMPED) {
      const payloads: string[] = [];
      for (const connection of [redis, kvorum]) {
        const loads = codes.map((code): CommandLine => ['FUNCTION', 'LOAD', code]);
        const replies = await connection.call([['FUNCTION', 'FLUSH'], ...loads, ['FUNCTION', 'DUMP']]);
        payloads.push(replies.at(-1)!.text!);
      }
      const restores = payloads.flatMap((payload): CommandLine[] => [
        ['FUNCTION', 'RESTORE', payload],
        ['FUNCTION', 'RESTORE', payload, 'REPLACE'],
        ['FUNCTION', 'FLUSH'],
        ['FUNCTION', 'RESTORE', payload, 'append'],
        ['FUNCTION', 'LIST', 'WITHCODE'],
        ['FUNCTION', 'RESTORE', payload, 'flush'],
        ['FUNCTION', 'LOAD', 'REPLACE', '#!lua name=other\nredis.register_function("first", function() return 3 end)'],
        ['FUNCTION', 'DELETE', 'one'],
        ['FUNCTION', 'RESTORE', payload, 'replace'],
        ['FUNCTION', 'RESTORE', `${payload.slice(0, -1)}x`],
        ['FUNCTION', 'RESTORE', payload.slice(1)],
        ['FUNCTION', 'STATS'],
      ]);
      // How a long text is compressed is up to whoever does it.
      if (!codes.some((code) => code.length > 200)) assert.equal(payloads[1], payloads[0], 'they are the same bytes');
      const [expected, actual] = await Promise.all([redis, kvorum].map((connection) => connection.call(restores)));
      assert.deepEqual(
        actual!.map(({ raw }) => raw),
        expected!.map(({ raw }) => raw),
      );
    }
    redis.close();
    kvorum.close();
  });
});
