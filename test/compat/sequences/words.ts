/**
 * The words that all groups' commands are made of: keys, values, numbers, times, options, and how to put them together. Mostly they are
 * well formed, and from the corners.
 */
import fc from 'fast-check';

/** A command, or a piece of one, one word an argument; latin1. */
export type Words = fc.Arbitrary<string[]>;

export const key = fc.constantFrom('a', 'b', 'c', '{a}x', 'key:\xff\x00');
export const text = fc.constantFrom(
  ...['', 'x', 'foobar', 'hello world', 'fo\x00bar', '\xff\x80\x01', '\xf0\xff', 'ohmytext', 'mynewtext'],
  ...['a'.repeat(44), 'b'.repeat(45), `${'\x00'.repeat(9)}\x10`, '\xff\xff\xff'],
);
export const integer = fc.oneof(
  fc.constantFrom('0', '1', '-1', '10', '-7', '9999', '10000', '123456789012345', '999999999999999'),
  fc.constantFrom('9223372036854775807', '-9223372036854775808', '9223372036854775806', '-9223372036854775807'),
  fc.integer({ min: -100, max: 100 }).map(String),
);
export const badInteger = fc.constantFrom(
  ...['', ' 1', '1 ', '+1', '01', '-0', '1.0', 'abc', '9223372036854775808', '-9223372036854775809', '1e3', '0x1'],
);
export const float = fc.oneof(
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
export const badFloat = fc.constantFrom(
  ...['', 'abc', ' 1', '1 ', 'nan', 'inf', '-inf', '+Infinity', '1e5000', '1e-5000', '0x', '.', '1e', '1.2.3', 'infin'],
);
export const value = fc.oneof(text, integer, float, badInteger);
export const position = fc.oneof(
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
export const byteOffset = offsetBelow('536870912');
export const offset = offsetBelow('4294967296');
export const integerOrNot = fc.oneof({ weight: 6, arbitrary: integer }, { weight: 1, arbitrary: badInteger });
export const floatOrNot = fc.oneof({ weight: 6, arbitrary: float }, { weight: 1, arbitrary: badFloat });

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
export const seconds = timeFrom(far(100, 1_000_000), ...OVERFLOWING, '9223372036854775');
export const milliseconds = timeFrom(far(100_000, 1_000_000_000), '9223372036854775807');
export const unixSeconds = timeFrom(far(4_000_000_000, 9_000_000_000), '1', '1000000000', ...OVERFLOWING);
export const unixMs = timeFrom(
  far(4_000_000_000, 9_000_000_000).map((spelled) => `${spelled}123`),
  '1',
  '1000000000000',
);
/** Far in the future, and taken: kvorum keeps an earlier time, so these are not compared with others by GT and LT. */
const farOff = fc.constantFrom('9223372036854775', '9223372036853775807');
export const orFarOff = (time: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 8, arbitrary: time }, { weight: 1, arbitrary: farOff });

export const words = (...parts: fc.Arbitrary<string>[]): Words => fc.tuple(...parts);
export const command = (name: string, ...parts: fc.Arbitrary<string>[]): Words => words(fc.constant(name), ...parts);
/** A command followed by up to `max` pieces. */
export const withOptions = (head: Words, option: Words, max: number): Words =>
  fc.tuple(head, fc.array(option, { maxLength: max })).map(([first, rest]) => [...first, ...rest.flat()]);
export const one = (...names: string[]): Words => words(fc.constantFrom(...names));
/** A command with so many pieces that a collection grows beyond what is kept compact: `bulk(command('HSET', key), (n) => [`n${n}`, 'x'], 127, 130)`. */
export const bulk = (head: Words, piece: (index: number) => string[], ...counts: number[]): Words =>
  fc
    .tuple(head, fc.constantFrom(...counts))
    .map(([first, count]) => [...first, ...Array.from({ length: count }, (_, index) => piece(index)).flat()]);

/** Elements, members and fields: few, so that they meet again, with lengths around 64 bytes, and some of those that bulks add. */
export const member = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', '1', '2', '3', '-1', '', 'A', '\xff\x00') },
  { weight: 2, arbitrary: fc.constantFrom('n0', 'n1', 'n64', 'n127', 'n128', 'n500') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('e'.repeat(63), 'e'.repeat(64), 'e'.repeat(65), 'l'.repeat(200), 'p'.repeat(600)),
  },
  { weight: 1, arbitrary: fc.oneof(integer, text) },
);
/** Numbers of elements. */
export const count = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -4, max: 9 }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('100', '127', '128', '1000', '-1000') },
  { weight: 1, arbitrary: badInteger },
);

/** How SET and GETEX say when a key expires. */
export const expiryOption = fc.oneof(
  words(fc.constantFrom('EX', 'ex'), seconds),
  words(fc.constant('PX'), orFarOff(milliseconds)),
  words(fc.constant('EXAT'), unixSeconds),
  words(fc.constant('PXAT'), orFarOff(unixMs)),
);
