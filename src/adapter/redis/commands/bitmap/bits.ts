/** Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. */

import { NEVER } from '../../../../platform/index.ts';
import { openString } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import {
  errors,
  isBackwards,
  optionName,
  RedisError,
  type Reply,
  requireInteger,
  requirePosition,
} from '../../protocol/index.ts';
import { deleteKey, writeString } from '../../values/index.ts';
import { combined, isBitOperation } from './bits-combined.ts';
import { requireBitOffset } from './bits-offset.ts';
import { countBitsOf, findBitOf } from './bits-scan.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

const notABit = () => new RedisError('ERR bit is not an integer or out of range');

function setBit(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const offset = requireBitOffset(ctx, args[2]!);
  const bit = requireInteger(args[3]!, notABit);
  if (bit !== 0n && bit !== 1n) throw notABit();
  const string = openString(ctx, args[1]!);
  const byte = Math.floor(offset / 8);
  const mask = 0x80 >> (offset % 8);
  const before = string.byteAt(byte);
  const after = bit === 1n ? before | mask : before & ~mask;
  if (after !== before || byte >= string.length) {
    string.write(byte, Buffer.of(after));
    string.save();
    ctx.event('string', 'setbit', args[1]!);
  }
  return (before & mask) === 0 ? 0 : 1;
}

function getBit(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const offset = requireBitOffset(ctx, args[2]!);
  return (openString(ctx, args[1]!).byteAt(Math.floor(offset / 8)) >> (7 - (offset % 8))) & 1;
}

/** Bits from `first` to `last`, both inclusive; none when `first > last`. */
interface BitRange {
  readonly first: number;
  readonly last: number;
}

/** Turns start and end, in bytes or bits and negative from the end, into a range of bits inside a string of `length` bytes. */
function bitRange(length: number, start: number, end: number, inBits: boolean): BitRange {
  const unit = inBits ? 1 : 8;
  const total = (length * 8) / unit;
  const first = Math.max(0, start < 0 ? total + start : start);
  const last = Math.min(total - 1, Math.max(0, end < 0 ? total + end : end));
  return { first: first * unit, last: last * unit + unit - 1 };
}

/** True for BIT, false for BYTE. @throws RedisError syntax error */
function isBitUnit(argument: Buffer): boolean {
  const name = optionName(argument);
  if (name !== 'BIT' && name !== 'BYTE') throw errors.syntax();
  return name === 'BIT';
}

function bitCount(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const string = openString(ctx, args[1]!);
  if (!string.exists) return 0;
  if (args.length === 2) return countBitsOf(string, 0, string.length * 8 - 1);
  if (args.length !== 4 && args.length !== 5) throw errors.syntax();
  const start = requirePosition(args[2]!);
  const end = requirePosition(args[3]!);
  if (start < 0 && end < 0 && isBackwards(args[2]!, args[3]!)) return 0;
  const { first, last } = bitRange(string.length, start, end, args.length === 5 && isBitUnit(args[4]!));
  return countBitsOf(string, first, last);
}

function bitPosition(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const bit = requirePosition(args[2]!);
  if (bit !== 0 && bit !== 1) throw new RedisError('ERR The bit argument must be 1 or 0.');
  const string = openString(ctx, args[1]!);
  // A key that does not exist is a string of zeros without end.
  if (!string.exists) return bit === 1 ? -1 : 0;
  if (args.length > 6) throw errors.syntax();
  const start = args.length >= 4 ? requirePosition(args[3]!) : 0;
  const inBits = args.length === 6 && isBitUnit(args[5]!);
  const end = args.length >= 5 ? requirePosition(args[4]!) : -1;
  const { first, last } = bitRange(string.length, start, end, inBits);
  if (first > last) return -1;
  const position = findBitOf(string, bit, first, last);
  // Without an explicit end the string goes on with zeros behind its last byte.
  return position < 0 && bit === 0 && args.length < 5 ? string.length * 8 : position;
}

function bitOperation(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const operation = optionName(args[1]!);
  if (!isBitOperation(operation)) throw errors.syntax();
  if (operation === 'NOT' && args.length !== 4) {
    throw new RedisError('ERR BITOP NOT must be called with a single source key.');
  }
  const sources = args.slice(3).map((key) => openString(ctx, key));
  const result = combined(
    operation,
    sources.map((source) => source.whole()),
  );
  return ctx.stored('string', 'set', args[2]!, () => {
    if (result.length > 0) writeString(ctx, args[2]!, result, NEVER);
    else deleteKey(ctx, args[2]!);
    return result.length;
  });
}

export const bitCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'setbit',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '2.2.0',
    summary: 'Sets or clears a bit of a string and replies with the bit before; the string grows as needed.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: setBit },
  },
  {
    name: 'getbit',
    arity: 3,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '2.2.0',
    summary: 'Reads a bit of a string.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: getBit },
  },
  {
    name: 'bitcount',
    arity: -2,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '2.6.0',
    summary: 'Counts the one bits of a string or of a range of it.',
    complexity: 'O(N) in the length of the range',
    handler: { kind: 'data', run: bitCount },
  },
  {
    name: 'bitpos',
    arity: -3,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '2.8.7',
    summary: 'Finds the first one or zero bit of a string or of a range of it.',
    complexity: 'O(N) in the length of the range',
    handler: { kind: 'data', run: bitPosition },
  },
  {
    name: 'bitop',
    writesWholeValue: true,
    arity: -4,
    flags: ['write', 'denyoom'],
    keys: { first: 2, last: -1, step: 1 },
    group: 'bitmap',
    since: '2.6.0',
    summary: 'Combines strings bit by bit and stores the result.',
    complexity: 'O(N) in the length of all strings',
    differences:
      'Over some hundred long strings that were changed in parts it is refused when it would hold its node up for more than 250 ms.',
    handler: { kind: 'data', run: bitOperation },
  },
]);
