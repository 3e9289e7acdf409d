/** SORT and SORT_RO: the elements of a list, a set or a sorted set in an order of their own, or of what other keys say about them. */
import { newList, openList, openOrdered, openSet } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { errors, parseShortInteger, RedisError, type Reply, readDoublePrefix } from '../../protocol/index.ts';
import { readValue, ValueType } from '../../values/index.ts';
import { firstInOrder } from './first-in-order.ts';
import { lookUp, zeroByteIn } from './key-pattern.ts';
import { parseSort, type SortOptions } from './sort-options.ts';

/** What is sorted. */
interface Elements {
  readonly size: number;
  readonly isSet: boolean;
  /**
   * Elements in their own order, or from the last on; a set has none and gives all it has.
   * @param from how many to leave out
   */
  take(from: number, count: number, isReverse: boolean): Buffer[];
}

/** Opens what is to be sorted. @throws RedisError WRONGTYPE */
function openElements(ctx: CommandContext, key: Buffer): Elements {
  const type = readValue(ctx, key)?.type;
  if (type === undefined) return { size: 0, isSet: false, take: () => [] };
  if (type === ValueType.List) {
    const list = openList(ctx, key);
    const { length } = list;
    const take = (from: number, count: number, isReverse: boolean): Buffer[] =>
      isReverse ? first(list.values(length - 1 - from, -1), count) : first(list.values(from), count);
    return { size: length, isSet: false, take };
  }
  if (type === ValueType.Set) {
    const set = openSet(ctx, key);
    return { size: set.size, isSet: true, take: (from, count) => [...set.members()].slice(from, from + count) };
  }
  if (type !== ValueType.ZSet) throw errors.wrongType();
  const order = openOrdered(ctx, key);
  const take = (from: number, count: number, isReverse: boolean): Buffer[] =>
    [...order.range({ by: 'rank', from, to: from + count - 1 }, { isReverse })].map(({ member }) => member);
  return { size: order.size, isSet: false, take };
}

function first(values: Iterable<Buffer>, count: number): Buffer[] {
  const taken: Buffer[] = [];
  if (count <= 0) return taken;
  for (const value of values) if (taken.push(value) >= count) break;
  return taken;
}

/** Which elements of the result are wanted. */
function sectionOf(size: number, { start, count }: SortOptions['limit']): { from: number; count: number } {
  const from = Math.min(Math.max(start, 0), size);
  return { from, count: count < 0 ? size - from : Math.min(count, size - from) };
}

/** The number that a text spells, as C's `strtod` reads it: nothing is 0. @throws RedisError */
function numberIn(weight: Buffer | undefined): number {
  if (weight === undefined) return 0;
  const short = parseShortInteger(weight);
  if (!Number.isNaN(short)) return short;
  const text = weight.toString('latin1', 0, zeroByteIn(weight));
  const { value, length, isOutOfRange } = readDoublePrefix(text);
  if (length !== text.length || isOutOfRange || isSubnormal(value) || Number.isNaN(value))
    throw new RedisError("ERR One or more scores can't be converted into double");
  return value;
}

/** Numbers so small that they are not exact: C says that they are out of range. */
const isSubnormal = (value: number): boolean => value !== 0 && Math.abs(value) < 2 ** -1022;

/** By numbers, then by the elements; the first `count`. */
function sortByNumbers(
  elements: readonly Buffer[],
  weights: readonly (Buffer | undefined)[],
  sign: 1 | -1,
  count: number,
): Buffer[] {
  const weighed = elements.map((element, index) => ({ element, number: numberIn(weights[index]) }));
  const first = firstInOrder(weighed, count, (one, other) => {
    if (one.number !== other.number) return one.number < other.number ? -sign : sign;
    return sign * Buffer.compare(one.element, other.element);
  });
  return first.map(({ element }) => element);
}

/** By texts, a character a byte; what has none comes first. The first `count`. */
function sortByTexts(
  elements: readonly Buffer[],
  texts: readonly (string | undefined)[],
  sign: 1 | -1,
  count: number,
): Buffer[] {
  const weighed = elements.map((element, index) => ({ element, text: texts[index], index }));
  const first = firstInOrder(weighed, count, (one, other) => {
    // What is the same stays in the order in which it was.
    if (one.text === other.text) return one.index - other.index;
    return one.text === undefined || (other.text !== undefined && one.text < other.text) ? -sign : sign;
  });
  return first.map(({ element }) => element);
}

/** @param count how many of them are wanted @throws RedisError when a weight is to be a number and is none */
function inOrder(ctx: CommandContext, elements: readonly Buffer[], options: SortOptions, count: number): Buffer[] {
  const { by, isAlpha, isDescending, storeAt } = options;
  const weights = by === undefined ? elements : lookUp(ctx, by, elements);
  const sign = isDescending ? -1 : 1;
  if (!isAlpha) return sortByNumbers(elements, weights, sign, count);
  // A comparison of C strings ends at a zero byte, one of what is stored does not.
  const endOf = (weight: Buffer): number => (storeAt === undefined ? zeroByteIn(weight) : weight.length);
  const texts = weights.map((weight) => weight?.toString('latin1', 0, endOf(weight)));
  return sortByTexts(elements, texts, sign, count);
}

/** The elements that are wanted, in order. */
function sorted(ctx: CommandContext, elements: Elements, options: SortOptions): Buffer[] {
  const { from, count } = sectionOf(elements.size, options.limit);
  const { isUnordered } = options;
  // What is stored has an order, and a set has none of its own.
  if (isUnordered && !(elements.isSet && options.storeAt !== undefined))
    return elements.take(from, count, options.isDescending);
  const asked = isUnordered ? { ...options, by: undefined, isAlpha: true } : options;
  return inOrder(ctx, elements.take(0, elements.size, false), asked, from + count).slice(from);
}

function sort(ctx: CommandContext, args: readonly Buffer[], mayStore: boolean): Reply {
  const options = parseSort(args, mayStore, ctx.caller?.mayFindKeys(args[0]!.toString('latin1'), args) ?? true);
  const wanted = sorted(ctx, openElements(ctx, args[1]!), options);
  const { gets, storeAt } = options;
  const columns = gets.map((pattern) => lookUp(ctx, pattern, wanted));
  const result =
    gets.length === 0 ? wanted : wanted.flatMap((_, row) => columns.map((column): Buffer | undefined => column[row]));
  if (storeAt === undefined) return result.map((value) => value ?? null);
  return ctx.stored('list', 'sortstore', storeAt, () => {
    const target = newList(ctx, storeAt);
    target.pushLast(result.map((value) => value ?? NOTHING));
    target.save();
    return result.length;
  });
}

const NOTHING = Buffer.alloc(0);

export const sortAndStore = (ctx: CommandContext, args: readonly Buffer[]): Reply => sort(ctx, args, true);
export const sortOnly = (ctx: CommandContext, args: readonly Buffer[]): Reply => sort(ctx, args, false);
