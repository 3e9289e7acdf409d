/**
 * About how many bytes a key and its value would take in Redis: its layouts with its overheads, over the lengths of a few elements. Values live
 * in the store here, so this is for tools that look for large keys, and for people who come from Redis with such figures in mind.
 */
import {
  MAX_ID,
  MIN_ID,
  openHash,
  openList,
  openOrdered,
  openSet,
  openStream,
  openString,
} from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { parseInteger } from '../../protocol/index.ts';
import { readValue, ValueType } from '../../values/index.ts';

/** An entry of the dictionary of keys: the entry, its share of the table, and the value's object. */
const KEY_BYTES = 24 + 8 + 16;
/** Header and end of a string, and its object. */
const STRING_BYTES = 19;
/** Header and end of a listpack or an intset, and what it has beside each element. */
const COMPACT_BYTES = 16;
const LISTPACK_ENTRY_BYTES = 3;
/** An entry of a dictionary with its share of the table, and the header of a string in it. */
const ENTRY_BYTES = 24 + 8;
const HEADER_BYTES = 4;
/** A node of a skip list with the levels that it has on the average. */
const SKIPLIST_NODE_BYTES = 24 + 21;
/** A node of a list, and how much of it is elements. */
const LIST_NODE_BYTES = 48;
const LIST_NODE_CONTENT_BYTES = 8 * 1024;

/** A stream with its tree, and what an entry of it has beside its fields. */
const STREAM_BYTES = 112 + 64;
const STREAM_ENTRY_BYTES = 12;

/** What is known of a collection. */
interface Contents {
  readonly count: number;
  /** Bytes of one element beside its contents. */
  readonly elementBytes: number;
  /** Bytes of all of it beside its elements. */
  readonly bytes: number;
  /** Lengths of the contents of elements. */
  readonly lengths: Iterable<number>;
}

function* lengthsOf<T>(elements: Iterable<T>, lengthOf: (element: T) => number): Generator<number> {
  for (const element of elements) yield lengthOf(element);
}

/** Widths of the integers of an intset. */
function widthOf(member: Buffer): number {
  const value = parseInteger(member) ?? 0n;
  if (value >= -0x8000n && value < 0x8000n) return 2;
  return value >= -0x8000_0000n && value < 0x8000_0000n ? 4 : 8;
}

function contentsOf(ctx: CommandContext, userKey: Buffer, type: number): Contents {
  switch (type) {
    case ValueType.Hash: {
      const hash = openHash(ctx, userKey);
      const isCompact = hash.encoding === 'listpack';
      return {
        count: hash.size,
        bytes: isCompact ? COMPACT_BYTES : ENTRY_BYTES * 2,
        elementBytes: isCompact ? 2 * LISTPACK_ENTRY_BYTES : ENTRY_BYTES + 2 * HEADER_BYTES,
        lengths: lengthsOf(hash.entries(), ({ name, value }) => name.length + value.length),
      };
    }
    case ValueType.Set: {
      const set = openSet(ctx, userKey);
      const isCompact = set.encoding === 'intset';
      return {
        count: set.size,
        bytes: isCompact ? COMPACT_BYTES : ENTRY_BYTES * 2,
        elementBytes: isCompact ? 0 : ENTRY_BYTES + HEADER_BYTES,
        lengths: lengthsOf(set.members(), (member) => (isCompact ? widthOf(member) : member.length)),
      };
    }
    case ValueType.ZSet: {
      const order = openOrdered(ctx, userKey);
      const isCompact = order.encoding === 'listpack';
      return {
        count: order.size,
        bytes: isCompact ? COMPACT_BYTES : ENTRY_BYTES * 4,
        elementBytes: isCompact ? 8 + 2 * LISTPACK_ENTRY_BYTES : ENTRY_BYTES + SKIPLIST_NODE_BYTES + HEADER_BYTES,
        lengths: lengthsOf(order.entries(), ({ member }) => member.length),
      };
    }
    case ValueType.Stream: {
      const stream = openStream(ctx, userKey)!;
      return {
        count: stream.length,
        bytes: STREAM_BYTES + ENTRY_BYTES * stream.groupCount,
        elementBytes: STREAM_ENTRY_BYTES,
        lengths: lengthsOf(stream.range(MIN_ID, MAX_ID), ({ parts }) =>
          parts.reduce((size, { length }) => size + length + LISTPACK_ENTRY_BYTES, 0),
        ),
      };
    }
    default: {
      const list = openList(ctx, userKey);
      return {
        count: list.length,
        bytes: COMPACT_BYTES + LIST_NODE_BYTES,
        elementBytes: LISTPACK_ENTRY_BYTES,
        lengths: lengthsOf(
          list.values(),
          ({ length }) => length + (length * LIST_NODE_BYTES) / LIST_NODE_CONTENT_BYTES,
        ),
      };
    }
  }
}

/** @param samples elements that are looked at; infinite for all */
function collectionBytes({ count, elementBytes, bytes, lengths }: Contents, samples: number): number {
  let sampled = 0;
  let total = 0;
  for (const length of lengths) {
    total += length;
    if (++sampled >= samples) break;
  }
  return bytes + count * (elementBytes + (sampled === 0 ? 0 : total / sampled));
}

/**
 * Undefined when the key does not exist.
 * @param samples elements of a collection that are looked at; infinite for all
 */
export function usageOf(ctx: CommandContext, userKey: Buffer, samples: number): number | undefined {
  const value = readValue(ctx, userKey);
  if (value === undefined) return undefined;
  let bytes: number;
  if (value.type !== ValueType.String) bytes = collectionBytes(contentsOf(ctx, userKey, value.type), samples);
  else {
    const isInteger = value.form === ValueForm.Packed && parseInteger(value.payload) !== undefined;
    bytes = isInteger ? 0 : openString(ctx, userKey).length + STRING_BYTES;
  }
  // Allocators hand out multiples of eight.
  return Math.ceil((KEY_BYTES + userKey.length + 1 + bytes) / 8) * 8;
}
