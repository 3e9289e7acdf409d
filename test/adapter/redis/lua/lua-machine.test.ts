/** Limits of scripts, and that nothing of one is left for the next. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  DEFAULT_LUA_LIMITS,
  LuaMachine,
  type ScriptHost,
  ScriptTooLongError,
} from '../../../../src/adapter/redis/lua/index.ts';
import { ErrorReply, RedisError, type Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import { type Clock, SeededRandom } from '../../../../src/platform/index.ts';

const LIMITS = { ...DEFAULT_LUA_LIMITS, maxInstructions: 2_000_000, maxBytes: 64 * 1024 * 1024, maxScripts: 3 };

const QUIET: ScriptHost = {
  call: (args) => args[args.length - 1]!,
  mayCall: () => true,
  log: () => undefined,
};

/** Time that does not pass, so that no test depends on the speed of the machine. */
const STILL: Clock = { nowMs: () => 0, monotonicMs: () => 0 };

const machine = (): LuaMachine => new LuaMachine(LIMITS, new SeededRandom(1), STILL);

function run(on: LuaMachine, text: string | Buffer, { host = QUIET, args = [] as Buffer[] } = {}): Reply {
  const bytes = Buffer.from(text as string, 'latin1');
  const sha = createHash('sha1').update(bytes).digest('hex');
  const reply = on.evaluate({ sha, text: bytes }, [], args, host);
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : reply;
}

const errorOf = (reply: Reply): string => (reply instanceof ErrorReply ? reply.text : `no error: ${String(reply)}`);

describe('scripts that do not end', () => {
  for (const [name, text] of [
    ['loop', 'while true do end'],
    ['catch what ends them', 'while true do pcall(function() while true do end end) end'],
    ['catch it with a handler', 'while true do xpcall(function() while true do end end, function() end) end'],
    [
      'catch it in coroutines',
      'while true do coroutine.resume(coroutine.create(function() while true do end end)) end',
    ],
    ['call again and again', "while true do redis.pcall('nosuch') end"],
    ['make long strings', "while true do pcall(string.rep, 'x', 1e7) end"],
    ['read what never ends', "load(function() return 'x=1 ' end)"],
    ['search what nearly matches', "return string.find(('a'):rep(60), ('a-'):rep(15) .. 'b')"],
    ['search as in Lua 5.0', "for word in string.gfind(('a'):rep(60), ('a-'):rep(15) .. 'b') do end"],
    ['make one coroutine after the other', 'while true do coroutine.wrap(function() end)() end'],
    ['fail and catch', 'while true do pcall(error) end'],
    ['compile', "while true do loadstring('return 1') end"],
    ['go on in a handler', 'xpcall(function() while true do end end, function() while true do end end)'],
  ] as const) {
    test(`that ${name} are ended, and the next machine runs`, () => {
      const lua = machine();
      assert.throws(() => run(lua, text), ScriptTooLongError);
      const next = lua.isBroken ? machine() : lua;
      assert.equal(run(next, 'return 1'), 1);
    });
  }

  for (const catching of ['pcall(endless)', 'xpcall(endless, function() end)']) {
    test(`are ended where ${catching} returns, without losing the machine`, () => {
      const lua = machine();
      const text = `local function endless() while true do end end ${catching} while true do end`;
      assert.throws(() => run(lua, text), ScriptTooLongError);
      assert.equal(lua.isBroken, false);
    });
  }

  test('are ended after some time, whatever they count', () => {
    let nowMs = 0;
    const lua = new LuaMachine({ ...LIMITS, maxInstructions: Number.POSITIVE_INFINITY }, new SeededRandom(1), {
      ...STILL,
      processorMs: () => nowMs++,
    });
    assert.throws(() => run(lua, 'while true do end'), /longer than 150 ms/);
    assert.throws(() => run(lua, "while true do redis.call('x') end"), /longer than 150 ms/);
    assert.throws(() => run(lua, 'while true do collectgarbage() end'), /longer than 150 ms/);
    assert.equal(run(lua, 'return 1'), 1);
  });

  test('that loop only are ended without losing the machine', () => {
    const lua = machine();
    assert.throws(() => run(lua, 'while true do end'), ScriptTooLongError);
    assert.equal(lua.isBroken, false);
    assert.equal(run(lua, "return 'on'"), 'on');
  });
});

describe('scripts that take too much', () => {
  test('memory fail, and their machine is given up', () => {
    const lua = new LuaMachine({ ...LIMITS, maxInstructions: 60_000_000 }, new SeededRandom(1), STILL);
    const reply = run(lua, 'local t = {} for i = 1, 1e6 do t[i] = string.rep(i, 500) end');
    assert.equal(errorOf(reply), 'ERR not enough memory');
    assert.equal(lua.isBroken, true);
  });

  test('memory in one string fail', () => {
    const lua = machine();
    assert.match(errorOf(run(lua, "return #string.rep('x', 1e9)")), /not enough memory/);
  });

  test('arguments that do not fit fail', () => {
    const lua = machine();
    assert.equal(errorOf(run(lua, 'return 1', { args: [Buffer.alloc(100 * 1024 * 1024)] })), 'ERR not enough memory');
  });

  test('stack fail with an error of theirs', () => {
    const lua = machine();
    assert.match(errorOf(run(lua, 'local function f() return f() + 1 end return f()')), /stack overflow/);
    assert.equal(run(lua, 'return 2'), 2);
  });
});

describe('what one instruction does counts', () => {
  const million = "local s = ('0'):rep(5e5) ";
  const table = 'local t = {} for i = 1, 2e4 do t[i] = i end ';
  for (const [name, text] of [
    ['a comparison of strings', `${million} local b = s .. '1' for i = 1, 200 do local x = s < b end`],
    ['sorting strings', `${million} local t = {} for i = 1, 60 do t[i] = s end table.sort(t)`],
    ['a string that is taken for a number', `${million} for i = 1, 10 do local x = s + 0 end`],
    ['a copy of a string', `${million} for i = 1, 200 do local x = s .. i end`],
    ['a piece of a string', `${million} for i = 1, 200 do local x = s:sub(1, -1) end`],
    ['a string turned round', `${million} for i = 1, 200 do s:reverse() end`],
    ['a digest', `${million} for i = 1, 30 do redis.sha1hex(s) end`],
    ['sorting', `${table} for i = 1, 10 do table.sort(t) end`],
    ['an insertion', `${table} for i = 1, 200 do table.insert(t, 1, 0) end`],
    ['a removal', `${table} for i = 1, 200 do table.remove(t, 1) end`],
    ['joining', `${table} for i = 1, 60 do table.concat(t) end`],
    ['visiting', `${table} for i = 1, 40 do table.foreach(t, type) end`],
    ['looking for the highest', `${table} for i = 1, 40 do table.maxn(t) end`],
    ['collecting garbage', 'for i = 1, 1100 do collectgarbage() end'],
    ['writing JSON', `${table} for i = 1, 60 do cjson.encode(t) end`],
    ['writing JSON of a string', `${million} for i = 1, 30 do cjson.encode(s) end`],
    ['reading JSON', `${million} for i = 1, 30 do pcall(cjson.decode, '"' .. s .. '"') end`],
    ['writing MessagePack', `${table} for i = 1, 60 do cmsgpack.pack(t) end`],
  ] as const) {
    test(`: ${name}`, () => {
      const lua = new LuaMachine({ ...LIMITS, maxInstructions: 5_000_000 }, new SeededRandom(1), STILL);
      assert.throws(() => run(lua, text), ScriptTooLongError);
    });
  }

  test(', and no more than that', () => {
    const lua = new LuaMachine({ ...LIMITS, maxInstructions: 10_000_000 }, new SeededRandom(1), STILL);
    const text = `${million} ${table}
      for i = 1, 10000 do local c = s:sub(i, i) table.insert(t, c) local n = ('12') + 1 if c < 'x' then n = n + 1 end end
      table.sort(KEYS) return #table.concat(t)`;
    assert.equal(typeof run(lua, text), 'number');
  });
});

describe('values', () => {
  test('are compared as strings of C, piece by piece', () => {
    const lua = machine();
    const texts = [
      '',
      '\0',
      'a',
      'a\0',
      'a\0b',
      'a\0c',
      'ab',
      '\xff',
      'é',
      'x'.repeat(70_000),
      `${'x'.repeat(70_000)}y`,
    ];
    for (const first of texts)
      for (const second of texts) {
        const args = [Buffer.from(first, 'latin1'), Buffer.from(second, 'latin1')];
        const reply = run(lua, 'return {ARGV[1] < ARGV[2] and 1 or 0, ARGV[1] <= ARGV[2] and 1 or 0}', { args });
        const order = Buffer.compare(args[0]!, args[1]!);
        assert.deepEqual(reply, [order < 0 ? 1 : 0, order <= 0 ? 1 : 0]);
      }
  });

  test('are numbers, where strings spell them', () => {
    const lua = machine();
    const zeros = '0'.repeat(100);
    assert.equal(run(lua, `return ('${zeros}7') + 0`), 7);
    assert.equal(run(lua, "return tonumber('0x10') + tonumber(' 12 ')"), 28);
    assert.equal(run(lua, `return tostring(tonumber('${zeros}x'))`), 'nil');
  });

  test('are bytes, whatever bytes they are', () => {
    const lua = new LuaMachine({ ...LIMITS, maxInstructions: 60_000_000 }, new SeededRandom(1), STILL);
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    assert.equal(run(lua, 'return ARGV[1]', { args: [all] }), all.toString('latin1'));
    assert.equal(
      run(lua, "return redis.call('echo', ARGV[1] .. ARGV[1])", { args: [all] }),
      all.toString('latin1').repeat(2),
    );
    const large = Buffer.alloc(8 * 1024 * 1024, 0xff);
    assert.equal(run(lua, 'return #ARGV[1]', { args: [large] }), large.length);
    assert.equal((run(lua, 'return ARGV[1]', { args: [large] }) as string).length, large.length);
  });

  test('of a table that contains itself end somewhere', () => {
    const lua = machine();
    const reply = run(lua, 'local t = {} t[1] = t return t');
    assert.ok(JSON.stringify(reply).includes('reached lua stack limit'));
  });

  test('of errors that are no text do not end the node', () => {
    const lua = machine();
    assert.match(errorOf(run(lua, 'error({})')), /^ERR unknown error/);
    assert.match(errorOf(run(lua, 'error({err = {}})')), /^ERR unknown error/);
    assert.match(errorOf(run(lua, 'error(function() end)')), /^ERR function/);
  });
});

describe('a machine', () => {
  test('keeps nothing of a script for the next', () => {
    const lua = machine();
    const names = 'local n = {} for k in pairs(_G) do n[#n + 1] = k end table.sort(n) return table.concat(n, ",")';
    const before = run(lua, names);
    for (const text of [
      'x = 1',
      'rawset(_G, "x", 1)',
      'string.x = 1',
      'getmetatable("").x = 1',
      'getmetatable(_G).__index = function() end',
      'redis.x = 1',
      'setmetatable(_G, nil)',
      'table.insert = nil',
      'coroutine.wrap(function() x = 1 end)()',
      'loadstring("x = 1")()',
      'debug.x = 1',
    ]) {
      assert.match(errorOf(run(lua, text)), /readonly|nonexistent/, text);
    }
    run(lua, 'KEYS.x = 1 ARGV[1] = 2 cjson.new().encode_number_precision(1)');
    assert.equal(run(lua, 'return tostring(KEYS.x) .. #ARGV'), 'nil0');
    assert.equal(run(lua, names), before);
  });

  test('forgets settings of JSON', () => {
    const lua = machine();
    run(lua, 'cjson.encode_number_precision(3) cjson.encode_sparse_array(true) cjson.decode_invalid_numbers(false)');
    assert.equal(run(lua, 'return cjson.encode(1/3)'), '0.33333333333333');
    assert.match(errorOf(run(lua, 'return cjson.encode({[1] = 1, [20] = 2})')), /sparse/);
  });

  test('has no way out', () => {
    const lua = machine();
    for (const name of [
      'os',
      'io',
      'debug',
      'package',
      'require',
      'dofile',
      'loadfile',
      'setfenv',
      'getfenv',
      'newproxy',
      'print',
      'module',
    ]) {
      assert.match(errorOf(run(lua, `return ${name}`)), /nonexistent global variable/, name);
    }
    assert.equal(run(lua, 'return type(loadstring(string.dump(function() return 1 end)))'), 'nil');
  });

  test('draws other numbers for each script, and the same for a seed', () => {
    const lua = machine();
    const drawn = new Set(Array.from({ length: 20 }, () => run(lua, 'return tostring(math.random())')));
    assert.equal(drawn.size, 20);
    const seeded = 'math.randomseed(42) return tostring(math.random())';
    assert.equal(run(lua, seeded), run(lua, seeded));
  });

  test('runs more scripts than it keeps', () => {
    const lua = machine();
    for (let round = 0; round < 3; round++) {
      for (let number = 0; number < 10; number++) assert.equal(run(lua, `return ${number}`), number);
    }
  });

  test('keeps nothing of chunks that scripts compile', () => {
    const lua = machine();
    const filler = 'x'.repeat(64 * 1024);
    for (let round = 0; round < 1_500; round++) {
      const args = [Buffer.from(`return ${round} --${filler}`)];
      assert.equal(run(lua, 'return loadstring(ARGV[1])()', { args }), round);
    }
    assert.equal(lua.isBroken, false);
  });

  test('can be replaced again and again', () => {
    for (let round = 0; round < 50; round++) {
      const lua = machine();
      const text = `local endless = {}
        for at = 1, 20 do endless[at] = coroutine.create(function() while true do end end) end
        for at = 1, 20 do coroutine.resume(endless[at]) end`;
      assert.throws(() => run(lua, text), ScriptTooLongError);
      assert.equal(lua.isBroken, true);
    }
  });
});

describe('what a script calls', () => {
  const failing = (error: Error): ScriptHost => ({
    ...QUIET,
    call: () => {
      throw error;
    },
  });

  test('fails the script with its error, which the script may catch', () => {
    const lua = machine();
    const host = failing(new RedisError('WRONGTYPE no'));
    assert.match(
      errorOf(run(lua, "redis.call('x')", { host })),
      /^WRONGTYPE no script: [0-9a-f]{40}, on @user_script:1\.$/,
    );
    assert.equal(run(lua, "return redis.pcall('x').err", { host }), 'WRONGTYPE no');
    assert.equal(run(lua, "return select(2, pcall(redis.call, 'x'))", { host }), 'WRONGTYPE no');
  });

  test('ends the script for good when nobody answers for it, whatever it catches', () => {
    const lua = machine();
    const error = new Error('the group has moved');
    const host = failing(error);
    for (const text of [
      "redis.call('x')",
      "redis.pcall('x')",
      "pcall(redis.call, 'x') return 1",
      "xpcall(function() redis.call('x') end, function() end) return 1",
      "coroutine.wrap(function() pcall(redis.call, 'x') end)() return 1",
      "for i = 1, 100 do pcall(redis.call, 'x') end return 1",
    ]) {
      assert.throws(() => run(lua, text, { host }), error, text);
      assert.equal(lua.isBroken, false, text);
    }
    assert.equal(run(lua, 'return 1'), 1);
  });
});
