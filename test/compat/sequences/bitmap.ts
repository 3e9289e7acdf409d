/** Commands on bits and on fields of bits. */
import fc from 'fast-check';
import type { SequenceGroup } from './group.ts';
import { command, integerOrNot, key, offset, position, type Words, withOptions, words } from './words.ts';

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

/** Bits of strings that lie in chunks. */
const farBit = fc.oneof(
  fc.constantFrom('32767', '32768', '32769', '40000', '524287', '524288', '600000'),
  fc.integer({ min: 0, max: 610_000 }).map(String),
);
const farPosition = fc.oneof(
  fc.integer({ min: 0, max: 80_000 }).map(String),
  fc.integer({ min: -80_000, max: -1 }).map(String),
);
const farField = fc.tuple(fc.constantFrom('u8', 'i5', 'u13', 'i64', 'u63'), farBit);

const bitmapCommands: Words[] = [
  command('SETBIT', key, farBit, fc.constantFrom('0', '1', '1')),
  command('SETBIT', key, farBit, fc.constantFrom('0', '1', '1')),
  command('GETBIT', key, farBit),
  command('SET', key, fc.constantFrom('\xff'.repeat(5_000), '\x0f\x00'.repeat(40_000))),
  command('BITCOUNT', key, farPosition, farPosition, fc.constantFrom('BIT', 'BYTE')),
  command('BITPOS', key, fc.constantFrom('0', '1'), farPosition),
  command('BITPOS', key, fc.constantFrom('0', '1'), farPosition, farPosition, fc.constantFrom('BIT', 'BYTE')),
  withOptions(
    command('BITFIELD', key),
    fc.oneof(
      farField.map((field) => ['GET', ...field]),
      farField.map((field) => ['SET', ...field, '77']),
      farField.map((field) => ['INCRBY', ...field, '-3']),
      words(fc.constant('OVERFLOW'), fc.constantFrom('WRAP', 'SAT', 'FAIL')),
    ),
    4,
  ),
  command('GET', key),
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

export const bitmapGroup: SequenceGroup = { name: 'bitmap', commands: bitmapCommands };
