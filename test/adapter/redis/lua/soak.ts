/**
 * `npm run soak:lua`: scripts that do as much as they can at once, and random ones that loop, recurse, catch, allocate and search, on a machine with the
 * limits of a node; each must end, with a reply or with an error that is declared, and within the time in which a node must answer others. And machines that
 * are replaced again and again, whose memory must not grow.
 */
import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { DEFAULT_LUA_LIMITS, LuaMachine, type ScriptHost } from '../../../../src/adapter/redis/lua/index.ts';
import { ErrorReply, RedisError } from '../../../../src/adapter/redis/protocol/index.ts';
import { KvorumError, type Random, SeededRandom, SystemClock } from '../../../../src/platform/index.ts';

interface SoakFlags {
  readonly scripts: string;
  readonly machines: string;
  readonly seed: string;
}

const flags = new Command('npm run soak:lua --')
  .description('Runs random scripts within the limits of a node, and replaces machines again and again.')
  .option('--scripts <count>', 'random scripts', '500')
  .option('--machines <count>', 'machines, one after the other', '10000')
  .option('--seed <number>', 'of the scripts', '1')
  .parse()
  .opts<SoakFlags>();

const clock = new SystemClock();
const MIB = 1024 * 1024;
/** For so long a node may be deaf, ms; of processor time, which does not depend on what else the machine does. */
const MOST_MS = 300;
/** What all machines together may leave behind. */
const MAX_GROWTH_MIB = 128;

const host: ScriptHost = {
  call: (args) => {
    if (args[0]!.toString() === 'fail') throw new RedisError('ERR it fails');
    return args.map((arg) => arg);
  },
  mayCall: () => true,
  log: () => undefined,
};

/** Random statements; the deeper, the simpler. */
class ScriptWriter {
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  private one(...choices: readonly (() => string)[]): string {
    return choices[this.random.int(choices.length)]!();
  }

  number(): string {
    return String(
      this.one(
        () => String(this.random.int(10)),
        () => String(10 ** this.random.int(9)),
        () => '-1',
        () => '1/0',
      ),
    );
  }

  value(depth: number): string {
    if (depth <= 0)
      return this.one(
        () => this.number(),
        () => "'x'",
        () => 'nil',
        () => 't',
      );
    const next = (): string => this.value(depth - 1);
    return this.one(
      () => this.number(),
      () => `('ab'):rep(${this.number()})`,
      () => `tostring(${next()})`,
      () => `{${next()},${next()}}`,
      () => `(function() return ${next()} end)()`,
      () =>
        `select(2, pcall(string.find, ('a'):rep(${this.random.int(60)}), ('a-'):rep(${this.random.int(4)}) .. 'b'))`,
      () => `select(2, pcall(string.format, '%${this.random.int(100)}d', ${next()}))`,
      () => `select(2, pcall(cjson.encode, ${next()}))`,
      () => `select(2, pcall(cmsgpack.pack, ${next()}))`,
      () => `redis.pcall('echo', '${this.random.int(10)}')`,
      () => `redis.sha1hex(tostring(${next()}))`,
    );
  }

  block(depth: number): string {
    if (depth <= 0) return `t = ${this.value(1)}\n`;
    const next = (): string => this.block(depth - 1);
    return this.one(
      () => next() + next(),
      () =>
        `while ${this.one(
          () => 'true',
          () => 'type(t) == "table"',
        )} do ${next()} if n > ${this.random.int(1000)} then break end n = n + 1 end\n`,
      () => `while true do ${next()} end\n`,
      () => `for i = 1, ${this.number()} do ${next()} end\n`,
      () => `pcall(function() ${next()} end)\n`,
      () => `xpcall(function() ${next()} end, function() ${next()} end)\n`,
      () => `coroutine.resume(coroutine.create(function() ${next()} end))\n`,
      () => `local function f() ${next()} return f() end pcall(f)\n`,
      () => `local q = {} for i = 1, ${this.number()} do q[i] = ${this.value(depth - 1)} end\n`,
      () =>
        `redis.call('${this.one(
          () => 'fail',
          () => 'echo',
        )}', 'x')\n`,
      () => `setmetatable({}, {__index = function() ${next()} end}).x = t\n`,
      () => `t = load(function() ${next()} return nil end)\n`,
    );
  }
}

/** Scripts that find what costs most within an instruction, by what they do. */
const GREEDY: Readonly<Record<string, string>> = {
  'fill memory with tables': 'local t = {} for i = 1, 1e9 do t[i] = {} end',
  'fill memory with strings': "local t = {} for i = 1, 1e9 do t[i] = 'x' .. i end",
  'fill memory with numbers': 'local t = {} for i = 1, 1e9 do t[i] = i end',
  'fill memory with keys': 'local t = {} for i = 1, 1e9 do t[i * 1.5] = i end',
  'fill memory and catch': 'while true do pcall(function() local t = {} for i = 1, 1e7 do t[i] = {{}} end end) end',
  'make garbage': 'while true do local t = {1, 2, 3, {4}} end',
  'make closures': 'local t = {} for i = 1, 1e9 do t[i] = function() return t end end',
  'collect garbage': 'local t = {} for i = 1, 4e5 do t[i] = {} end while true do collectgarbage() end',
  'append to a long string': "local s = ('x'):rep(3e7) while true do local x = s .. 'y' end",
  'double a string': "local s = 'x' for i = 1, 30 do s = s .. s end",
  'compare long strings':
    "local a = ('x'):rep(4e7) local b = a .. 'y' local n = 0 while true do if a < b then n = n + 1 end end",
  'compare in a coroutine':
    "local a = ('x'):rep(4e7) local b = a .. 'y' coroutine.wrap(function() while true do if a < b then end end end)()",
  'sort long strings':
    "local a = ('x'):rep(4e7) local t = {} for i = 1, 1000 do t[i] = a end while true do table.sort(t) end",
  'sort numbers': 'local t = {} for i = 1, 1e6 do t[i] = -i end while true do table.sort(t) end',
  'read a long number': "local s = ('0'):rep(6e7) while true do local x = s + 0 end",
  'read a number of 1 MB': "local s = ('0'):rep(1e6) while true do local x = tonumber(s) end",
  'cut a string to itself': "local s = ('x'):rep(6e7) while true do local x = s:sub(1, -1) end",
  'reverse a string': "local s = ('xy'):rep(3e7) while true do s = s:reverse() end",
  'lower a string': "local s = ('XY'):rep(3e7) while true do local x = s:lower() end",
  'insert in front': 'local t = {} for i = 1, 5e5 do t[i] = i end while true do table.insert(t, 1, 0) end',
  'remove in front': 'local t = {} for i = 1, 5e5 do t[i] = i end while true do table.remove(t, 1) end',
  'join nothing': "local t = {} for i = 1, 1e6 do t[i] = '' end while true do table.concat(t) end",
  'walk over nothing':
    'local t = {} for i = 1, 5e5 do t["k" .. i] = 1 end for k in pairs(t) do t[k] = nil end while true do next(t) end',
  'visit with a function of C': 'local t = {} for i = 1, 1e6 do t[i] = 1 end while true do table.foreach(t, type) end',
  'look for the highest': 'local t = {} for i = 1, 5e5 do t[i * 1.5] = 1 end while true do table.maxn(t) end',
  'digest a long string': "local s = ('x'):rep(6e7) while true do redis.sha1hex(s) end",
  'write JSON': 'local t = {} for i = 1, 3e5 do t[i] = i end while true do cjson.encode(t) end',
  'write JSON of a long string': "local s = ('\"'):rep(3e7) while true do cjson.encode(s) end",
  'read JSON': "local s = '[' .. ('1,'):rep(1e7) .. '1]' while true do cjson.decode(s) end",
  'read JSON of a long string': "local s = '\"' .. ('x'):rep(6e7) .. '\"' while true do cjson.decode(s) end",
  'read MessagePack': "local s = '\\221\\0\\152\\150\\128' .. ('\\1'):rep(1e7) while true do cmsgpack.unpack(s) end",
  'write MessagePack': 'local t = {} for i = 1, 3e5 do t[i] = i end while true do cmsgpack.pack(t) end',
  'read a structure': "local s = ('x'):rep(6e7) while true do struct.unpack('c0', s) end",
  'send a long string': "local s = ('x'):rep(3e7) while true do redis.call('echo', s) end",
  'answer with a large table': 'local t = {} for i = 1, 1e6 do t[i] = i end return t',
  'answer with many tables': 'local t = {} for i = 1, 3e5 do t[i] = {i} end return t',
  'compile much': "local s = ('x=1 '):rep(1e6) while true do loadstring(s) end",
  'compile a long text': "local s = '--' .. ('x'):rep(6e7) while true do loadstring(s) end",
  'make strings that collide':
    "local t, a = {}, ('a'):rep(63) for i = 1, 1e9 do local n = tostring(i) t[i] = 'p' .. n .. ('q'):rep(8 - #n) .. a end",
  'go down deep': 'local function f(n) local ok = pcall(f, n + 1) return n end while true do f(1) end',
  'call through a metatable':
    'local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end',
};

/** @returns what the longest took, ms */
function greedy(): number {
  const random = new SeededRandom(1);
  let longestMs = 0;
  let machine = new LuaMachine(DEFAULT_LUA_LIMITS, random, clock);
  for (const [name, text] of Object.entries(GREEDY)) {
    const startedMs = clock.processorMs();
    if (machine.isBroken) machine = new LuaMachine(DEFAULT_LUA_LIMITS, random, clock);
    const sha = createHash('sha1').update(text).digest('hex');
    let outcome = 'replies';
    try {
      const reply = machine.evaluate({ sha, text: Buffer.from(text) }, [], [], host);
      if (reply instanceof ErrorReply) outcome = reply.text;
    } catch (error) {
      if (!(error instanceof KvorumError)) throw new Error(`a script to ${name}`, { cause: error });
      outcome = error.message;
    }
    const ms = clock.processorMs() - startedMs;
    longestMs = Math.max(longestMs, ms);
    console.log(`${ms.toFixed(0).padStart(6)} ms  ${name}: ${outcome.slice(0, 90)}`);
  }
  return longestMs;
}

/** @returns what the longest took, ms */
function fuzz(count: number, seed: number): number {
  const random = new SeededRandom(seed);
  let machine = new LuaMachine(DEFAULT_LUA_LIMITS, random, clock);
  let longest = { ms: 0, text: '' };
  const outcomes = { replies: 0, refused: 0, machines: 1 };
  for (let number = 0; number < count; number++) {
    const text = `local t, n = nil, 0\n${new ScriptWriter(random).block(5)}return t`;
    if (machine.isBroken) {
      machine = new LuaMachine(DEFAULT_LUA_LIMITS, random, clock);
      outcomes.machines++;
    }
    const startedMs = clock.processorMs();
    try {
      machine.evaluate({ sha: createHash('sha1').update(text).digest('hex'), text: Buffer.from(text) }, [], [], host);
      outcomes.replies++;
    } catch (error) {
      // Anything else is a defect: nothing that a script does may go past the errors that are declared.
      if (!(error instanceof KvorumError))
        throw new Error(`script ${number} of seed ${seed}:\n${text}`, { cause: error });
      outcomes.refused++;
    }
    const ms = clock.processorMs() - startedMs;
    if (ms > longest.ms) longest = { ms, text };
  }
  console.log(
    `${count} scripts: ${outcomes.replies} replies, ${outcomes.refused} refused, ${outcomes.machines} machines; the longest took ${longest.ms.toFixed(0)} ms:\n${longest.text}`,
  );
  return longest.ms;
}

function replace(count: number): void {
  const random = new SeededRandom(1);
  const text = Buffer.from('local t = {} for i = 1, 1000 do t[i] = i end return #t');
  const heldMib = (): number => {
    globalThis.gc?.();
    return process.memoryUsage().rss / MIB;
  };
  let first = 0;
  for (let number = 0; number < count; number++) {
    new LuaMachine(DEFAULT_LUA_LIMITS, random, clock).evaluate({ sha: 'x', text }, [], [], host);
    // The first hundred make room.
    if (number === 100) first = heldMib();
    if (number % 1_000 === 999) console.log(`${number + 1} machines: ${heldMib().toFixed(0)} MiB`);
  }
  const grown = heldMib() - first;
  console.log(`${count} machines; ${grown.toFixed(0)} MiB more than after the first hundred`);
  if (count > 100 && grown > MAX_GROWTH_MIB) {
    console.error(`FAILED: memory has grown by more than ${MAX_GROWTH_MIB} MiB`);
    process.exitCode = 1;
  }
}

const longestMs = Math.max(greedy(), fuzz(Number(flags.scripts), Number(flags.seed)));
if (longestMs > MOST_MS) {
  console.error(`FAILED: a script held the thread for ${longestMs.toFixed(0)} ms, more than ${MOST_MS}`);
  process.exitCode = 1;
}
replace(Number(flags.machines));
