/** Scripts must answer what they answer in a real redis-server: each line of `scripts.txt` is one, run with one key and two arguments. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { skipWithout } from '../../support/programs.ts';
import { type CommandLine, callAll } from '../resp-connection.ts';
import { comparedTargets } from '../targets.ts';

const SCRIPTS = readFileSync(join(import.meta.dirname, 'scripts.txt'), 'utf8')
  .split('\n')
  .filter(Boolean);

/** Commands around scripts, in an order in which each finds what those before it have left. */
const COMMANDS: readonly CommandLine[] = [
  ['EVAL', '#!lua\nreturn 1', '0'],
  ['EVAL', '#!lua flags=no-writes\nreturn redis.call("set","a",1)', '0'],
  ['EVAL', '#!python\nreturn 1', '0'],
  ['EVAL', '#!lua flags=foo\nreturn 1', '0'],
  ['EVAL', '#!lua x=1\nreturn 1', '0'],
  ['EVAL', '#!lua', '0'],
  ['EVAL', '#!', '0'],
  ['EVAL', '#!lua flags=\nreturn 1', '0'],
  ['EVAL', '#!lua flags=allow-oom,,no-writes\nreturn 1', '0'],
  ['EVAL', '#!lua "flags=no-writes"\nreturn redis.call("set","a",1)', '0'],
  ['EVAL', '#!lua "flags=no-writes\nreturn 1', '0'],
  ['EVAL', '#!lua FLAGS=no-writes\nreturn 1', '0'],
  ['EVAL', '#! lua\nreturn 1', '0'],
  ['EVAL', '#!Lua\nreturn 1', '0'],
  ['EVAL', '#!\nreturn 1', '0'],
  ['EVAL', '#!lua flags=no-writes flags=allow-oom\nreturn redis.call("set","a",1)', '0'],
  ['EVAL', '#!lua flags=no-writes\r\nreturn 1', '0'],
  ['EVAL', '#!lua  flags=no-writes,allow-stale  \nerror("x")', '0'],
  ['EVAL_RO', 'return redis.call("set","a",1)', '0'],
  ['EVAL_RO', '#!lua\nreturn 1', '0'],
  ['EVAL_RO', '#!lua flags=no-writes\nreturn 1', '0'],
  ['EVALSHA', 'nosuch', '0'],
  ['EVALSHA', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', '0'],
  ['EVAL', 'return 1', '0'],
  ['EVALSHA', 'E0E1F9FABFC9D4800C877A703B823AC0578FF8DB', '0'],
  ['EVALSHA_RO', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', '0'],
  ['SCRIPT'],
  ['SCRIPT', 'LOAD', 'x='],
  ['SCRIPT', 'LOAD', 'return 2'],
  ['SCRIPT', 'LOAD'],
  ['SCRIPT', 'LOAD', '#!python\nreturn 1'],
  ['SCRIPT', 'EXISTS'],
  ['SCRIPT', 'EXISTS', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', '7F923F79FE76194C868D7E1D0820DE36700EB649', 'abc'],
  ['EVALSHA', '7f923f79fe76194c868d7e1d0820de36700eb649', '0'],
  ['MULTI'],
  ['EVALSHA', '7f923f79fe76194c868d7e1d0820de36700eb649', '0'],
  ['EVAL', 'redis.call("set",KEYS[1],"in") return redis.call("get",KEYS[1])', '1', 'm'],
  ['GET', 'm'],
  ['EXEC'],
  ['SCRIPT', 'FLUSH', 'x'],
  ['SCRIPT', 'FLUSH', 'SYNC', 'x'],
  ['SCRIPT', 'FLUSH', 'ASYNC'],
  ['EVALSHA', '7f923f79fe76194c868d7e1d0820de36700eb649', '0'],
  ['SCRIPT', 'KILL'],
  ['SCRIPT', 'nosuch'],
  ['EVAL', 'return 1'],
  ['EVAL', 'return 1', 'x'],
  ['EVAL', 'return 1', '-1'],
  ['EVAL', 'return 1', '5', 'a'],
  ['COMMAND', 'GETKEYS', 'EVAL', 'x', '2', 'a', 'b', 'c'],
  ['COMMAND', 'GETKEYS', 'EVAL', 'x', '0'],
  ['EVAL', 'return redis.call("select","x")', '0'],
  ['EVAL', 'redis.call("select",3) return redis.call("set","q",1)', '0'],
  ['GET', 'q'],
  ['EVAL', 'return {redis.call("ping"),redis.call("echo","x"),#redis.call("time")}', '0'],
  ['EVAL', 'redis.call("set","w",1) error("x")', '0'],
  ['GET', 'w'],
  ['EVAL', 'redis.call("set","w2",1) return redis.call("incr","zzz","1")', '0'],
  ['GET', 'w2'],
  ['EVAL', 'redis.call("hset",KEYS[1],"f",1) return redis.call("hgetall",KEYS[1])', '1', 'h'],
  ['EVAL', 'redis.setresp(3) return redis.call("hgetall",KEYS[1])', '1', 'h'],
  ['EVAL', 'return redis.call("lpop",KEYS[1])', '1', 'h'],
  ['EVAL', 'return redis.pcall("lpop",KEYS[1])', '1', 'h'],
  ['EVAL', 'return redis.pcall("lpop",KEYS[1]).err', '1', 'h'],
  ['EVAL', 'redis.call("zadd","z",1.5,"m") return redis.call("zrange","z",0,-1,"withscores")', '0'],
  ['EVAL', 'redis.setresp(3) return redis.call("zscore","z","m").double*2', '0'],
  ['EVAL', 'redis.setresp(3) return redis.call("zscore","z","m")', '0'],
  ['EVAL', 'return redis.call("nosuch")', '0'],
  ['EVAL', 'return redis.call("config","nosuch")', '0'],
  ['EVAL', 'return redis.call("eval","return 1",0)', '0'],
  ['EVAL', 'return redis.call("mget","w","w2","nope")', '0'],
  ['EVAL', 'return redis.call("type","h")', '0'],
  ['EVAL', 'return redis.call("object","encoding","h")', '0'],
  ['FLUSHALL'],
  ['EVAL', 'redis.call("set","a1",1) redis.call("set","b1",1) return redis.call("keys","a*")', '0'],
  ['EVAL', 'redis.call("del","a1") return {redis.call("dbsize"),#redis.call("keys","*"),redis.call("keys","a*")}', '0'],
  ['EVAL', 'redis.call("set","n",1) redis.call("set","b1",2) return redis.call("dbsize")', '0'],
  ['EVAL', 'for i=1,30 do redis.call("set","k"..i,i) end return #redis.call("keys","k*")', '0'],
  [
    'EVAL',
    'local c,n="0",0 repeat local r=redis.call("scan",c,"match","k*","count",5) c=r[1] n=n+#r[2] until c=="0" return {c,n}',
    '0',
  ],
  ['EVAL', 'for _,k in ipairs(redis.call("keys","k1*")) do redis.call("del",k) end return redis.call("dbsize")', '0'],
  ['EVAL', 'return type(redis.call("randomkey"))', '0'],
  ['EVAL', 'redis.call("select",3) redis.call("set","other",1) return redis.call("keys","*")', '0'],
  ['EVAL', 'return redis.call("scan","x")', '0'],
  ['EVAL', 'return redis.call("scan",0,"count",0)', '0'],
  ['EVAL', 'return redis.pcall("scan",0,"nosuch","x").err', '0'],
  ['EVAL', 'return redis.call("flushdb","x")', '0'],
  ['EVAL_RO', 'return #redis.call("keys","*")', '0'],
  ['EVAL_RO', 'return redis.call("flushdb")', '0'],
  ['EVAL', 'redis.call("set","x",1) redis.call("flushdb") return {redis.call("dbsize"),redis.call("randomkey")}', '0'],
  ['EVAL', 'redis.call("set","y",1) return redis.call("randomkey")', '0'],
  ['MULTI'],
  ['SET', 'before', '1'],
  ['EVAL', 'return #redis.call("keys","*")', '0'],
  ['EXEC'],
  ['EVAL', 'return redis.call("flushall","async")', '0'],
  ['DBSIZE'],
  ['EVAL', 'redis.setresp(3) return redis.call("dbsize")', '0'],
  ['EVAL', 'return #redis.call("info","server") > 100', '0'],
  ['EVAL', 'return type(redis.call("command","count"))', '0'],
  ['EVAL', 'return type(redis.call("lastsave"))', '0'],
  ['EVAL', 'return redis.acl_check_cmd("nosuch")', '0'],
  ['EVAL', 'return redis.call("set","k",1e15) and redis.call("get","k")', '0'],
  ['EVAL', 'return redis.call("set","k",1e17) and redis.call("get","k")', '0'],
  ['EVAL', 'return redis.call("set","k",0.1) and redis.call("get","k")', '0'],
  ['EVAL', 'return redis.call("set","k",-0.0) and redis.call("get","k")', '0'],
  ['EVAL', 'return redis.call("set","k",1/0) and redis.call("get","k")', '0'],
];

describe('scripts beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  for (const resp of [2, 3] as const) {
    test(`answer the same over RESP${resp}`, async () => {
      const calls = [...SCRIPTS.map((script): CommandLine => ['EVAL', script, '1', 'k1', 'a1', 'a2']), ...COMMANDS];
      const [expected, actual] = await Promise.all(
        [targets.reference, targets.tested].map(async (target) => {
          const replies = await callAll(target, [['FLUSHALL'], ['SCRIPT', 'FLUSH'], ['HELLO', String(resp)], ...calls]);
          return replies.slice(3);
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
});
