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

const bitmapCommands: Words[] = [
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
