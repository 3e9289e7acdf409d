/** Sets: members without duplicates, in the order of strings, numbers or bytes. */
import type { SetValue } from './attribute.ts';
import { compareStrings } from './compare.ts';
import { compareNumbers } from './decimal.ts';

type Member = string | Buffer;

const ORDERS: Readonly<Record<SetValue['type'], (a: Member, b: Member) => number>> = {
  SS: (a, b) => compareStrings(a as string, b as string),
  NS: (a, b) => compareNumbers(a as string, b as string),
  BS: (a, b) => Buffer.compare(a as Buffer, b as Buffer),
};

const setOf = (type: SetValue['type'], members: readonly Member[]): SetValue =>
  ({ type, value: members }) as unknown as SetValue;

/**
 * Puts members into their order.
 * @returns undefined when two are equal
 */
export function orderedSet(type: SetValue['type'], members: readonly Member[]): SetValue | undefined {
  const order = ORDERS[type];
  const sorted = [...members].sort(order);
  for (let at = 1; at < sorted.length; at++) if (order(sorted[at - 1]!, sorted[at]!) === 0) return undefined;
  return setOf(type, sorted);
}

/** All members of two sets of one type. */
export function unionOf<Set extends SetValue>(a: Set, b: Set): Set {
  const order = ORDERS[a.type];
  const members: Member[] = [];
  let left = 0;
  let right = 0;
  while (left < a.value.length || right < b.value.length) {
    const side = left === a.value.length ? 1 : right === b.value.length ? -1 : order(a.value[left]!, b.value[right]!);
    members.push(side <= 0 ? a.value[left]! : b.value[right]!);
    if (side <= 0) left++;
    if (side >= 0) right++;
  }
  return setOf(a.type, members) as Set;
}

/**
 * The members of `a` that `b` does not have.
 * @returns undefined when none is left: there are no empty sets
 */
export function differenceOf<Set extends SetValue>(a: Set, b: Set): Set | undefined {
  const kept = (a.value as readonly Member[]).filter((member) => !hasMember(b, member));
  return kept.length === 0 ? undefined : (setOf(a.type, kept) as Set);
}

/** @param member a string for sets of strings, a canonical text for sets of numbers, bytes for sets of bytes */
export function hasMember(set: SetValue, member: Member): boolean {
  const order = ORDERS[set.type];
  let low = 0;
  let high = set.value.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = order(set.value[middle]!, member);
    if (found === 0) return true;
    if (found < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
