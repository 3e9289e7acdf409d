/** Strings as arrays of small integers: BITFIELD and BITFIELD_RO. */
import { assertNever } from '../../../../platform/index.ts';
import { openString, type StringBody } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, optionName, parseShortInteger, RedisError, type Reply, requireInteger } from '../../protocol/index.ts';
import { type FieldType, fitted, type OverflowRule, readField, writeField } from './bitfield-integers.ts';
import { requireBitOffset } from './bits-offset.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const SIGNED = 0x69;
const UNSIGNED = 0x75;

interface FieldOperation {
  readonly action: 'GET' | 'SET' | 'INCRBY';
  readonly type: FieldType;
  /** Bit offset. */
  readonly offset: number;
  /** Value to set or to add; 0 for GET. */
  readonly operand: bigint;
  readonly overflow: OverflowRule;
}

function requireFieldType(text: Buffer): FieldType {
  const signed = text[0] === SIGNED;
  const bits = signed || text[0] === UNSIGNED ? parseShortInteger(text.subarray(1)) : Number.NaN;
  if (!(bits >= 1 && bits <= (signed ? 64 : 63))) {
    throw new RedisError(
      'ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.',
    );
  }
  return { signed, bits };
}

function parseOperations(ctx: CommandContext, args: readonly Buffer[]): FieldOperation[] {
  const operations: FieldOperation[] = [];
  let overflow: OverflowRule = 'WRAP';
  for (let index = 2; index < args.length; ) {
    const action = optionName(args[index]!);
    const following = args.length - index - 1;
    if (action === 'OVERFLOW' && following >= 1) {
      const rule = optionName(args[index + 1]!);
      if (rule !== 'WRAP' && rule !== 'SAT' && rule !== 'FAIL') {
        throw new RedisError('ERR Invalid OVERFLOW type specified');
      }
      overflow = rule;
      index += 2;
    } else if ((action === 'GET' && following >= 2) || ((action === 'SET' || action === 'INCRBY') && following >= 3)) {
      const type = requireFieldType(args[index + 1]!);
      const offset = requireBitOffset(ctx, args[index + 2]!, type.bits);
      const operand = action === 'GET' ? 0n : requireInteger(args[index + 3]!);
      operations.push({ action, type, offset, operand, overflow });
      index += action === 'GET' ? 3 : 4;
    } else {
      throw errors.syntax();
    }
  }
  return operations;
}

/**
 * Runs one operation on a string that is long enough for it when it writes.
 * @param onWrite told whether the field is another one, unless the operation fails by its overflow rule
 */
function apply(
  string: StringBody,
  { action, type, offset, operand, overflow }: FieldOperation,
  onWrite: (isOther: boolean) => void,
): Reply {
  const firstByte = Math.floor(offset / 8);
  const within = offset - firstByte * 8;
  const found = string.slice(firstByte, Math.floor((offset + type.bits - 1) / 8) + 1);
  const old = readField(found, within, type);
  const put = (value: bigint): void => {
    onWrite(value !== old);
    // As in Redis, what stays as it was is not seen by WATCH.
    if (value === old) return;
    const bytes = Buffer.from(found);
    writeField(bytes, within, type, value);
    string.write(firstByte, bytes);
  };
  switch (action) {
    case 'GET':
      return old;
    case 'SET': {
      // An unsigned field takes the operand's 64 bits as an unsigned number.
      const next = fitted(type.signed ? operand : BigInt.asUintN(64, operand), type, overflow);
      if (next === undefined) return null;
      put(next);
      return old;
    }
    case 'INCRBY': {
      const next = fitted(old + operand, type, overflow);
      if (next === undefined) return null;
      put(next);
      return next;
    }
    default:
      return assertNever(action);
  }
}

function bitfield(ctx: CommandContext, args: readonly Buffer[], readOnly: boolean): Reply {
  const operations = parseOperations(ctx, args);
  const writes = operations.filter(({ action }) => action !== 'GET');
  if (writes.length > 0 && readOnly) throw new RedisError('ERR BITFIELD_RO only supports the GET subcommand');
  const string = openString(ctx, args[1]!);
  // The string grows to hold every field that is written, also when an overflow rule lets the write fail.
  const lastBit = writes.reduce((last, { offset, type }) => Math.max(last, offset + type.bits - 1), -1);
  const length = Math.floor(lastBit / 8) + 1;
  const isLonger = length > string.length;
  string.grow(length);
  let isChanged = false;
  const replies = operations.map((operation) =>
    apply(string, operation, (isOther) => {
      isChanged ||= isOther || isLonger;
    }),
  );
  if (writes.length > 0) string.save();
  if (isChanged) ctx.event('string', 'setbit', args[1]!);
  return replies;
}

export const bitfieldCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'bitfield',
    arity: -2,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '3.2.0',
    summary: 'Reads, writes and adds to integers of any width inside a string.',
    differences:
      'OVERFLOW SAT SET of a number next to -2^63 in a narrow signed field saturates to the lowest value; Redis overflows in its own check.',
    complexity: 'O(1) for each operation',
    handler: { kind: 'data', run: (ctx, args) => bitfield(ctx, args, false) },
  },
  {
    name: 'bitfield_ro',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'bitmap',
    since: '6.0.0',
    summary: 'Reads integers of any width inside a string.',
    complexity: 'O(1) for each operation',
    handler: { kind: 'data', run: (ctx, args) => bitfield(ctx, args, true) },
  },
]);
