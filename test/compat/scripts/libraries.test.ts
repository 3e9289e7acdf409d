/**
 * `cjson`, `cmsgpack`, `struct` and `bit` must give the bytes that they give in a real redis-server, for random values. `KVORUM_DIFFERENTIAL_RUNS` sets
 * how many, `KVORUM_DIFFERENTIAL_SEED` replays.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { skipWithout } from '../../support/programs.ts';
import type { CommandLine, RespConnection } from '../resp-connection.ts';
import { SEED, seeded } from '../seed.ts';
import { comparedTargets, connected } from '../targets.ts';

const RUNS = Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 200);
/** Expressions that go with one script. */
const BATCH = 20;

/** A string of Lua that stands for any bytes. */
const text = fc
  .array(fc.oneof(fc.integer({ min: 32, max: 126 }), fc.integer({ min: 0, max: 255 })), { maxLength: 40 })
  .map((bytes) => `"${bytes.map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`);
const number = fc
  .oneof(
    fc.integer({ min: -300, max: 300 }),
    fc.integer(),
    fc.constantFrom(
      0,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      2 ** 31,
      2 ** 32,
      2 ** 53,
      -(2 ** 31),
      -129,
      -32_769,
      1e15,
      1e17,
    ),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  )
  .map((value) => (Object.is(value, -0) ? '(-0.0)' : `(${value})`));

/** A value as an expression; keys of tables are in an order that both have: there is one key at most beside the positions. */
const { value } = fc.letrec<{ value: string; list: string; map: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, number, text, fc.constantFrom('true', 'false'), tie('list'), tie('map')),
  list: fc.array(tie('value'), { maxLength: 5 }).map((items) => `{${items.join(',')}}`),
  map: fc.tuple(fc.oneof(text, number), tie('value')).map(([key, item]) => `{[${key}]=${item}}`),
}));

const bits = fc.oneof(number, fc.constantFrom('0xffffffff', '2^40', '-1', '0.5', '1.5'));
const FORMATS = [
  'b',
  'B',
  'h',
  'H',
  'l',
  'L',
  'i',
  'I',
  'i1',
  'i2',
  'i3',
  'I5',
  'i8',
  'f',
  'd',
  's',
  'c0',
  'c3',
  'x',
  '!4',
  '<',
  '>',
  '=',
];
const format = fc
  .array(fc.constantFrom(...FORMATS), { minLength: 1, maxLength: 5 })
  .map((parts) => `"${parts.join('')}"`);

const expression = fc.oneof(
  value.map((one) => `cjson.encode(${one})`),
  value.map((one) => `cjson.encode(cjson.decode(cjson.encode(${one})))`),
  fc
    .json({ maxDepth: 3 })
    .map((json) => `cjson.encode({cjson.decode(${JSON.stringify(json).replaceAll('\\u', '\\\\u')})})`),
  text.map((one) => `cjson.decode(${one})`),
  fc.array(value, { minLength: 1, maxLength: 3 }).map((values) => `cmsgpack.pack(${values.join(',')})`),
  value.map((one) => `cmsgpack.pack(cmsgpack.unpack(cmsgpack.pack(${one})))`),
  text.map((one) => `cmsgpack.pack({cmsgpack.unpack(${one})})`),
  fc
    .tuple(format, fc.array(fc.oneof(number, text), { maxLength: 5 }))
    .map(([how, what]) => `struct.pack(${[how, ...what].join(',')})`),
  fc.tuple(format, text).map(([how, bytes]) => `cmsgpack.pack({struct.unpack(${how},${bytes})})`),
  format.map((how) => `struct.size(${how})`),
  fc
    .tuple(fc.constantFrom('band', 'bor', 'bxor', 'lshift', 'rshift', 'arshift', 'rol', 'ror'), bits, bits)
    .map(([name, one, other]) => `bit.${name}(${one},${other})`),
  fc.tuple(fc.constantFrom('tobit', 'bnot', 'bswap', 'tohex'), bits).map(([name, one]) => `bit.${name}(${one})`),
  fc.tuple(bits, fc.integer({ min: -9, max: 9 })).map(([one, digits]) => `bit.tohex(${one},${digits})`),
);

/** Each expression by itself: what it gives, or what it says. */
const scriptOf = (expressions: readonly string[]): string =>
  `local t = {}
   local function put(ok, one) t[#t + 1] = tostring(ok) .. ' ' .. type(one) .. ' ' .. (type(one) == 'table' and cmsgpack.pack(one) or tostring(one)) end
   ${expressions.map((one) => `put(pcall(function() return ${one} end))`).join('\n')}
   return t`;

describe('libraries of scripts beside redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();
  let both: RespConnection[] = [];
  before(async () => {
    both = await connected(targets);
  });
  after(() => {
    for (const connection of both) connection.close();
  });

  test('take a length that comes from a number as C does', async () => {
    const lengths = ['-1', '-0.5', '2', '2^32', '2^63', '2^64', '2^65 + 1e15', '-2^64', '1 / 0', '0 / 0'];
    const script = scriptOf(
      lengths.map((length) => `cmsgpack.pack({struct.unpack('dc0b', struct.pack('d', ${length}) .. 'abcdef')})`),
    );
    const [expected, actual] = await Promise.all(
      both.map(async (connection) =>
        (await connection.call([['EVAL', script, '0']]))[0]!.items!.map(({ text }) => text),
      ),
    );
    assert.deepEqual(actual, expected);
  });

  test(seeded('give the same bytes for random values'), async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(expression, { minLength: 1, maxLength: BATCH }), async (expressions) => {
        const call: CommandLine = ['EVAL', scriptOf(expressions), '0'];
        const [expected, actual] = await Promise.all(
          both.map(async (connection) => {
            const [reply] = await connection.call([call]);
            return reply!.items?.map((item) => item.text) ?? reply!.raw;
          }),
        );
        const differing = expressions.filter((_, index) => expected![index] !== actual![index]);
        assert.deepEqual(actual, expected, `these differ:\n${differing.join('\n')}`);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
