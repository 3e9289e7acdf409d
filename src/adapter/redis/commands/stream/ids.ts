/** Ids of entries as clients write them: `ms-seq`, `ms`, and signs for the lowest and the highest. */
import {
  idAfter,
  idBefore,
  idText,
  MAX_ID,
  MIN_ID,
  type StreamEntry,
  type StreamId,
  streamId,
} from '../../bodies/index.ts';
import { parseInteger, RedisError, type Reply } from '../../protocol/index.ts';

const MAX_U64 = (1n << 64n) - 1n;
/** An id that is longer is none. */
const LONGEST_ID = 127;
const OPEN_PARENTHESIS = 0x28;

const invalidId = (): RedisError => new RedisError('ERR Invalid stream ID specified as stream command argument');

/** An id whose second half may be left to the server. */
export interface GivenId {
  readonly ms: bigint;
  /** Undefined for `*`. */
  readonly seq: bigint | undefined;
}

/** A number as C's strtoull reads it where it is not a canonical integer. */
function unsigned(text: string): bigint | undefined {
  const canonical = parseInteger(Buffer.from(text, 'latin1'));
  if (canonical !== undefined) return canonical < 0n ? undefined : canonical;
  const [, sign, digits] = /^[ \t\n\v\f\r]*([+-]?)([0-9]+)$/.exec(text) ?? [];
  if (digits === undefined || BigInt(digits) > MAX_U64) return undefined;
  return sign === '-' ? BigInt.asUintN(64, -BigInt(digits)) : BigInt(digits);
}

/** What is behind a zero byte does not count. */
function textOf(argument: Buffer): string {
  if (argument.length > LONGEST_ID) throw invalidId();
  return argument.toString('latin1').split('\0', 1)[0]!;
}

function parse(argument: Buffer, missingSeq: bigint, mayLeaveSeq: boolean): GivenId {
  const text = textOf(argument);
  const dash = text.indexOf('-');
  const ms = unsigned(dash < 0 ? text : text.slice(0, dash));
  if (ms === undefined) throw invalidId();
  if (dash < 0) return { ms, seq: missingSeq };
  const rest = text.slice(dash + 1);
  if (mayLeaveSeq && rest === '*') return { ms, seq: undefined };
  const seq = unsigned(rest);
  if (seq === undefined) throw invalidId();
  return { ms, seq };
}

/** The id of an entry to be added. @throws RedisError */
export const newIdArgument = (argument: Buffer): GivenId => parse(argument, 0n, true);

/** An id without signs. @throws RedisError */
export function idArgument(argument: Buffer, missingSeq = 0n): StreamId {
  const { ms, seq } = parse(argument, missingSeq, false);
  return streamId(ms, seq!);
}

/** The same; undefined when it is none. */
export function idOrNot(argument: Buffer): StreamId | undefined {
  try {
    return idArgument(argument);
  } catch (error) {
    if (error instanceof RedisError) return undefined;
    throw error;
  }
}

const [ZERO, NINE, DASH] = [0x30, 0x39, 0x2d];
/** So many digits are a number of 64 bits, whichever they are. */
const SAFE_DIGITS = 19;

/** Whether an argument is an id as clients usually write it: of very many, this is all that there is time for. */
function isPlainId(argument: Buffer): boolean {
  let digits = 0;
  let hasDash = false;
  for (const byte of argument) {
    if (byte === DASH && digits > 0 && !hasDash) [hasDash, digits] = [true, 0];
    else if (byte < ZERO || byte > NINE || ++digits > SAFE_DIGITS) return false;
  }
  return digits > 0;
}

/** How many of the arguments from a position on are ids, before the first that is none. */
export function leadingIds(args: readonly Buffer[], from: number): number {
  const isId = (argument: Buffer): boolean => isPlainId(argument) || idOrNot(argument) !== undefined;
  let count = 0;
  while (from + count < args.length && isId(args[from + count]!)) count++;
  return count;
}

/** How many ids the arguments from a position on are; undefined when one of them is none. */
export function countOfIds(args: readonly Buffer[], from: number): number | undefined {
  const count = leadingIds(args, from);
  return count === args.length - from ? count : undefined;
}

/** An id, or `-` and `+` for the lowest and the highest. @throws RedisError */
function signedIdArgument(argument: Buffer, missingSeq = 0n): StreamId {
  const text = textOf(argument);
  if (text === '-') return MIN_ID;
  return text === '+' ? MAX_ID : idArgument(argument, missingSeq);
}

/** One character, and perhaps a zero byte with anything behind it. */
export const isSign = (argument: Buffer, sign: '$' | '>' | '*' | '~' | '='): boolean =>
  argument[0] === sign.charCodeAt(0) && (argument.length === 1 || argument[1] === 0);

const isExclusive = (argument: Buffer): boolean => argument.length > 1 && argument[0] === OPEN_PARENTHESIS;

/** The first id of an interval. @throws RedisError */
export function startArgument(argument: Buffer): StreamId {
  if (!isExclusive(argument)) return signedIdArgument(argument);
  const after = idAfter(idArgument(argument.subarray(1)));
  if (after === undefined) throw new RedisError('ERR invalid start ID for the interval');
  return after;
}

/** The last id of an interval. @throws RedisError */
export function endArgument(argument: Buffer): StreamId {
  if (!isExclusive(argument)) return signedIdArgument(argument, MAX_U64);
  const before = idBefore(idArgument(argument.subarray(1), MAX_U64));
  if (before === undefined) throw new RedisError('ERR invalid end ID for the interval');
  return before;
}

export const isHighest = (id: StreamId): boolean => id.equals(MAX_ID);
export const isAbove = (id: StreamId, other: StreamId): boolean => Buffer.compare(id, other) > 0;

/** An entry as it is answered. */
export const entryReply = ({ id, parts }: StreamEntry): Reply => [idText(id), parts];
