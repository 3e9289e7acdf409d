/**
 * Random command sequences over a few keys: mostly well formed, with values, offsets and options from the corners, and now
 * and then an argument too many, one missing or one that belongs elsewhere.
 */
import fc from 'fast-check';
import type { CommandLine } from './resp-connection.ts';

/** One step of a sequence. */
export type Step =
  /** A command on one of the two connections. */
  | { readonly on: 0 | 1; readonly command: CommandLine }
  /** A whole SCAN iteration with options, the keys found being compared as sets. */
  | { readonly on: 0 | 1; readonly scan: CommandLine };

type Words = fc.Arbitrary<string[]>;

const key = fc.constantFrom('a', 'b', 'c', '{a}x', 'key:\xff\x00');
const text = fc.constantFrom(
  ...['', 'x', 'foobar', 'hello world', 'fo\x00bar', '\xff\x80\x01', '\xf0\xff', 'ohmytext', 'mynewtext'],
  ...['a'.repeat(44), 'b'.repeat(45), `${'\x00'.repeat(9)}\x10`, '\xff\xff\xff'],
);
const integer = fc.oneof(
  fc.constantFrom('0', '1', '-1', '10', '-7', '9999', '10000', '123456789012345', '999999999999999'),
  fc.constantFrom('9223372036854775807', '-9223372036854775808', '9223372036854775806', '-9223372036854775807'),
  fc.integer({ min: -100, max: 100 }).map(String),
);
const badInteger = fc.constantFrom(
  ...['', ' 1', '1 ', '+1', '01', '-0', '1.0', 'abc', '9223372036854775808', '-9223372036854775809', '1e3', '0x1'],
);
const float = fc.oneof(
  fc.constantFrom('0.1', '0.2', '3.0e3', '-1.5', '5.0', '1e18', '1e-17', '5e-18', '.5', '5.', '0x1.8p3', '-0', '-0.0'),
  fc.constantFrom(
    '1e4932',
    '-1e4932',
    '1e-4950',
    '3.33333333333333333333',
    '123456789.123456789',
    '1e300',
    '17179869185',
  ),
  fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e20, max: 1e20 }).map(String),
  integer,
);
const badFloat = fc.constantFrom(
  ...['', 'abc', ' 1', '1 ', 'nan', 'inf', '-inf', '+Infinity', '1e5000', '1e-5000', '0x', '.', '1e', '1.2.3', 'infin'],
);
const value = fc.oneof(text, integer, float, badInteger);
const position = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -12, max: 12 }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('9223372036854775807', '-9223372036854775808', '100', '-100') },
  { weight: 1, arbitrary: badInteger },
);
// An offset that Redis takes must be small: both servers make the string that long. 2^29 bytes and 2^32 bits are too many.
const offsetBelow = (limit: string) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 80 }).map(String) },
    { weight: 1, arbitrary: fc.constantFrom('-1', limit, '9223372036854775807') },
    { weight: 1, arbitrary: badInteger },
  );
const byteOffset = offsetBelow('536870912');
const offset = offsetBelow('4294967296');
const integerOrNot = fc.oneof({ weight: 6, arbitrary: integer }, { weight: 1, arbitrary: badInteger });
const floatOrNot = fc.oneof({ weight: 6, arbitrary: float }, { weight: 1, arbitrary: badFloat });

// Times are far from now, so that no key expires between one server's turn and the other's, and they are spread so wide
// that comparing two of them comes out the same on both servers.
const far = (min: number, max: number) => fc.noBias(fc.integer({ min, max })).map(String);
const timeFrom = (usual: fc.Arbitrary<string>, ...corners: string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 6, arbitrary: usual },
    { weight: 2, arbitrary: fc.constantFrom('0', '-1', '-9223372036854775808', ...corners) },
    { weight: 1, arbitrary: badInteger },
  );
const OVERFLOWING = ['9223372036854775807', '9223372036854776'];
const seconds = timeFrom(far(100, 1_000_000), ...OVERFLOWING, '9223372036854775');
const milliseconds = timeFrom(far(100_000, 1_000_000_000), '9223372036854775807');
const unixSeconds = timeFrom(far(4_000_000_000, 9_000_000_000), '1', '1000000000', ...OVERFLOWING);
const unixMs = timeFrom(
  far(4_000_000_000, 9_000_000_000).map((spelled) => `${spelled}123`),
  '1',
  '1000000000000',
);
/** Far in the future, and taken: kvorum keeps an earlier time, so these are not compared with others by GT and LT. */
const farOff = fc.constantFrom('9223372036854775', '9223372036853775807');
const orFarOff = (time: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 8, arbitrary: time }, { weight: 1, arbitrary: farOff });

const words = (...parts: fc.Arbitrary<string>[]): Words => fc.tuple(...parts);
const command = (name: string, ...parts: fc.Arbitrary<string>[]): Words => words(fc.constant(name), ...parts);
/** A command followed by up to `max` pieces. */
const withOptions = (head: Words, option: Words, max: number): Words =>
  fc.tuple(head, fc.array(option, { maxLength: max })).map(([first, rest]) => [...first, ...rest.flat()]);
const one = (...names: string[]): Words => words(fc.constantFrom(...names));

const expiryOption = fc.oneof(
  words(fc.constantFrom('EX', 'ex'), seconds),
  words(fc.constant('PX'), orFarOff(milliseconds)),
  words(fc.constant('EXAT'), unixSeconds),
  words(fc.constant('PXAT'), orFarOff(unixMs)),
);
const setOption = fc.oneof(expiryOption, one('NX', 'XX', 'GET', 'KEEPTTL', 'nx', 'Get', 'PERSIST', 'EX', 'junk'));
const getExOption = fc.oneof(expiryOption, one('PERSIST', 'KEEPTTL', 'PX', 'junk'));
const expireOption = one('NX', 'XX', 'GT', 'LT', 'gt', 'junk');
const fieldType = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('u8', 'i8', 'u1', 'i1', 'u63', 'i64', 'i5', 'u13', 'i63') },
  { weight: 1, arbitrary: fc.constantFrom('u64', 'i65', 'u0', 'I8', 'x8', 'i', '', 'u08', 'i-1') },
);
const fieldOffset = fc.oneof(offset, fc.constantFrom('#0', '#1', '#2', '#-1', '#', '#x', '##1'));
const fieldGet = words(fc.constantFrom('GET', 'get'), fieldType, fieldOffset);
const fieldOperation = fc.oneof(
  fieldGet,
  // Redis saturates the lowest integers to the highest value of a narrow field, kvorum to the lowest.
  words(
    fc.constant('SET'),
    fieldType,
    fieldOffset,
    integerOrNot.filter((spelled) => !spelled.startsWith('-9223372036854775')),
  ),
  words(fc.constant('INCRBY'), fieldType, fieldOffset, integerOrNot),
  words(fc.constant('OVERFLOW'), fc.constantFrom('WRAP', 'SAT', 'FAIL', 'sat', 'FAIL', 'junk')),
);

const stringCommands: Words[] = [
  withOptions(command('SET', key, value), setOption, 3),
  command('SET', key, value),
  command('GET', key),
  withOptions(command('GETEX', key), getExOption, 2),
  command('GETDEL', key),
  command('GETSET', key, value),
  command('SETNX', key, value),
  command('SETEX', key, seconds, value),
  command('PSETEX', key, orFarOff(milliseconds), value),
  withOptions(command('MGET', key), words(key), 4),
  withOptions(command('MSET', key, value), words(key, value), 3),
  withOptions(command('MSETNX', key, value), words(key, value), 3),
  command('APPEND', key, value),
  command('STRLEN', key),
  command('GETRANGE', key, position, position),
  command('SUBSTR', key, position, position),
  command('SETRANGE', key, byteOffset, value),
  withOptions(
    command('LCS', key, key),
    fc.oneof(one('LEN', 'IDX', 'WITHMATCHLEN', 'IDX', 'junk'), words(fc.constant('MINMATCHLEN'), integerOrNot)),
    3,
  ),
];
const numberCommands: Words[] = [
  command('SET', key, integerOrNot),
  command('SET', key, floatOrNot),
  command('INCR', key),
  command('DECR', key),
  command('INCRBY', key, integerOrNot),
  command('DECRBY', key, integerOrNot),
  command('INCRBYFLOAT', key, floatOrNot),
  command('INCRBYFLOAT', key, floatOrNot),
];
const bitCommands: Words[] = [
  command('SETBIT', key, offset, fc.constantFrom('0', '1', '1', '0', '1', '2', '-1', 'x')),
  command('GETBIT', key, offset),
  withOptions(command('BITCOUNT', key), words(position, position), 1),
  command('BITCOUNT', key, position, position, fc.constantFrom('BIT', 'BYTE', 'bit', 'junk')),
  command('BITPOS', key, fc.constantFrom('0', '1', '0', '1', '2', 'x', '-1')),
  command('BITPOS', key, fc.constantFrom('0', '1'), position),
  command('BITPOS', key, fc.constantFrom('0', '1'), position, position),
  command('BITPOS', key, fc.constantFrom('0', '1'), position, position, fc.constantFrom('BIT', 'byte', 'junk')),
  withOptions(command('BITOP', fc.constantFrom('AND', 'or', 'XOR', 'NOT', 'not', 'junk'), key, key), words(key), 3),
  withOptions(command('BITFIELD', key), fieldOperation, 4),
  withOptions(command('BITFIELD', key), fieldOperation, 4),
  withOptions(command('BITFIELD_RO', key), fc.oneof({ weight: 4, arbitrary: fieldGet }, fieldOperation), 3),
];
const keyCommands: Words[] = [
  withOptions(command('DEL', key), words(key), 2),
  withOptions(command('UNLINK', key), words(key), 2),
  withOptions(command('EXISTS', key), words(key), 4),
  withOptions(command('TOUCH', key), words(key), 3),
  command('TYPE', key),
  command('RENAME', key, key),
  command('RENAMENX', key, key),
  withOptions(
    command('COPY', key, key),
    fc.oneof(
      one('REPLACE', 'replace', 'DB', 'junk'),
      words(fc.constant('DB'), fc.constantFrom('0', '1', '16', '-1', 'x')),
    ),
    2,
  ),
  command('MOVE', key, fc.constantFrom('0', '1', '1', '15', '16', '-1', 'x', '2147483648', '9223372036854775808')),
  withOptions(command('EXPIRE', key, seconds), expireOption, 2),
  withOptions(command('PEXPIRE', key, milliseconds), expireOption, 2),
  withOptions(command('EXPIREAT', key, unixSeconds), expireOption, 2),
  withOptions(command('PEXPIREAT', key, unixMs), expireOption, 2),
  command('TTL', key),
  command('PTTL', key),
  command('EXPIRETIME', key),
  command('PEXPIRETIME', key),
  command('PERSIST', key),
  command('OBJECT', fc.constantFrom('ENCODING', 'encoding', 'REFCOUNT', 'IDLETIME', 'FREQ', 'junk'), key),
  command('OBJECT', fc.constant('HELP')),
  withOptions(command('MEMORY', fc.constant('USAGE'), key), words(fc.constantFrom('SAMPLES', 'junk'), integerOrNot), 1),
];
const serverCommands: Words[] = [
  command('KEYS', fc.constantFrom('*', 'a', '?', '[a-b]*', '{a}*', 'no*', '[^a]', 'key:*', '\\a')),
  command('DBSIZE'),
  command('RANDOMKEY'),
  command('SELECT', fc.constantFrom('0', '1', '1', '0', '15', '16', '-1', 'x', '9223372036854775808')),
  fc.oneof(
    one('FLUSHDB', 'FLUSHALL'),
    words(fc.constantFrom('FLUSHDB', 'FLUSHALL'), fc.constantFrom('ASYNC', 'SYNC', 'junk')),
  ),
  fc.oneof(one('PING'), command('PING', text), command('ECHO', text)),
  command('COMMAND', fc.constantFrom('GETKEYS', 'junk'), fc.constantFrom('GET', 'MSET', 'PING', 'NONE'), key, text),
  command('CLIENT', fc.constantFrom('GETNAME', 'ID', 'junk', 'NOSUCH')),
  command('CLIENT', fc.constant('SETNAME'), fc.constantFrom('name', '', 'with blank', 'me')),
  withOptions(
    command('HELLO'),
    fc.oneof(
      one('2', '3', '3', '4', 'x', '-1'),
      words(fc.constant('SETNAME'), fc.constantFrom('me', 'a b')),
      words(fc.constant('AUTH'), fc.constant('default'), text),
    ),
    2,
  ),
  fc.oneof(command('AUTH', text), command('AUTH', fc.constantFrom('default', 'nobody'), text)),
  one('RESET', 'NOSUCHCOMMAND', 'GE', 'get|x'),
];
const transactionCommands: Words[] = [
  one('MULTI'),
  one('EXEC', 'EXEC', 'DISCARD'),
  one('UNWATCH'),
  withOptions(command('WATCH', key), words(key), 1),
];

/** Takes an argument away, adds one, or puts one in another's place. */
const damaged = (line: Words): Words =>
  fc
    .tuple(line, fc.nat(), fc.constantFrom('drop', 'add', 'replace'), fc.oneof(value, key, badFloat))
    .map(([intact, at, how, spare]) => {
      const index = intact.length === 1 ? 1 : 1 + (at % (intact.length - 1));
      if (how === 'drop') return [...intact.slice(0, index), ...intact.slice(index + 1)];
      if (how === 'add') return [...intact, spare];
      return intact.length === 1 ? intact : [...intact.slice(0, index), spare, ...intact.slice(index + 1)];
    });

const anyCommand: Words = fc.oneof(
  { weight: 8, arbitrary: fc.oneof(...stringCommands) },
  { weight: 4, arbitrary: fc.oneof(...numberCommands) },
  { weight: 6, arbitrary: fc.oneof(...bitCommands) },
  { weight: 8, arbitrary: fc.oneof(...keyCommands) },
  { weight: 2, arbitrary: fc.oneof(...serverCommands) },
  { weight: 2, arbitrary: fc.oneof(...transactionCommands) },
);

const connection = fc.oneof({ weight: 5, arbitrary: fc.constant<0>(0) }, { weight: 1, arbitrary: fc.constant<1>(1) });
const scanOption = fc.oneof(
  words(fc.constant('MATCH'), fc.constantFrom('*', 'a*', '?', '{*')),
  words(fc.constant('COUNT'), fc.constantFrom('1', '2', '100')),
  words(fc.constant('TYPE'), fc.constantFrom('string', 'STRING', 'hash')),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      on: connection,
      command: fc.oneof({ weight: 12, arbitrary: anyCommand }, { weight: 1, arbitrary: damaged(anyCommand) }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ on: connection, scan: fc.array(scanOption, { maxLength: 2 }).map((parts) => parts.flat()) }),
  },
);

/** Commands over all groups at once, and the change of protocol: kvorum refuses them in a transaction. */
const WHOLE_CLUSTER = new Set(['SCAN', 'KEYS', 'DBSIZE', 'RANDOMKEY', 'FLUSHDB', 'FLUSHALL']);
const isRefusedInMulti = (name: string, rest: readonly string[]): boolean =>
  WHOLE_CLUSTER.has(name) || (name === 'HELLO' && rest.length > 0);

function withoutRefusedInMulti(steps: readonly Step[]): Step[] {
  const open = [false, false];
  return steps.filter((step) => {
    const [name = '', ...rest] = 'scan' in step ? ['SCAN'] : step.command;
    if (rest.length === 0) {
      if (name === 'MULTI') open[step.on] = true;
      if (name === 'EXEC' || name === 'DISCARD' || name === 'RESET') open[step.on] = false;
    }
    return !open[step.on] || !isRefusedInMulti(name, rest);
  });
}

/** Redis counts what has expired until somebody comes by, so all keys are visited before they are counted. */
const withVisitBeforeCount = (steps: readonly Step[]): Step[] =>
  steps.flatMap((step) =>
    'command' in step && step.command[0] === 'DBSIZE' ? [{ on: step.on, scan: [] }, step] : [step],
  );

/** Sequences of steps. */
export const sequences = (maxSteps: number): fc.Arbitrary<Step[]> =>
  fc
    .array(step, { minLength: 1, maxLength: maxSteps, size: 'max' })
    .map(withoutRefusedInMulti)
    .map(withVisitBeforeCount);
