/**
 * `npm run soak:lua`: random scripts that loop, recurse, catch, allocate and search, on a machine with the limits of a node; each must end, with a reply or
 * with an error that is declared, and the longest is told. And machines that are replaced again and again, whose memory must not grow.
 */
import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { DEFAULT_LUA_LIMITS, LuaMachine, type ScriptHost } from '../../../../src/adapter/redis/lua/index.ts';
import { RedisError } from '../../../../src/adapter/redis/protocol/index.ts';
import { KvorumError, type Random, SeededRandom } from '../../../../src/platform/index.ts';

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

const MIB = 1024 * 1024;
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

function fuzz(count: number, seed: number): void {
  const random = new SeededRandom(seed);
  let machine = new LuaMachine(DEFAULT_LUA_LIMITS, random);
  let longest = { ms: 0, text: '' };
  const outcomes = { replies: 0, refused: 0, machines: 1 };
  for (let number = 0; number < count; number++) {
    const text = `local t, n = nil, 0\n${new ScriptWriter(random).block(5)}return t`;
    if (machine.isBroken) {
      machine = new LuaMachine(DEFAULT_LUA_LIMITS, random);
      outcomes.machines++;
    }
    const startedMs = performance.now();
    try {
      machine.evaluate({ sha: createHash('sha1').update(text).digest('hex'), text: Buffer.from(text) }, [], [], host);
      outcomes.replies++;
    } catch (error) {
      // Anything else is a defect: nothing that a script does may go past the errors that are declared.
      if (!(error instanceof KvorumError))
        throw new Error(`script ${number} of seed ${seed}:\n${text}`, { cause: error });
      outcomes.refused++;
    }
    const ms = performance.now() - startedMs;
    if (ms > longest.ms) longest = { ms, text };
  }
  console.log(
    `${count} scripts: ${outcomes.replies} replies, ${outcomes.refused} refused, ${outcomes.machines} machines; the longest took ${longest.ms.toFixed(0)} ms:\n${longest.text}`,
  );
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
    new LuaMachine(DEFAULT_LUA_LIMITS, random).evaluate({ sha: 'x', text }, [], [], host);
    // The first hundred make room.
    if (number === 100) first = heldMib();
    if (number % 1_000 === 999) console.log(`${number + 1} machines: ${heldMib().toFixed(0)} MiB`);
  }
  const grown = heldMib() - first;
  console.log(`${count} machines; ${grown.toFixed(0)} MiB more than after the first hundred`);
  if (grown > MAX_GROWTH_MIB) {
    console.error(`FAILED: memory has grown by more than ${MAX_GROWTH_MIB} MiB`);
    process.exitCode = 1;
  }
}

fuzz(Number(flags.scripts), Number(flags.seed));
replace(Number(flags.machines));
