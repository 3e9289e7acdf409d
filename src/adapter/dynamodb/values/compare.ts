/** Order and equality of values. Strings are ordered by their UTF-8 bytes, which is not the order of JavaScript's strings. */
import type { AttributeValue, Item, ScalarValue } from './attribute.ts';
import { compareNumbers } from './decimal.ts';

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;

/**
 * Order of two well-formed strings by their UTF-8 bytes, which is that of their code points. UTF-16 differs where one has a surrogate and
 * the other a unit above them.
 */
export function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left === right) continue;
    const isLeftHigh = isSurrogate(left);
    return isLeftHigh === isSurrogate(right) ? left - right : isLeftHigh ? 1 : -1;
  }
  return a.length - b.length;
}

/**
 * Order of two values of one type.
 * @returns below, at or above zero; undefined for values of two types
 */
export function compareScalars(a: ScalarValue, b: ScalarValue): number | undefined {
  if (a.type === 'S') return b.type === 'S' ? compareStrings(a.value, b.value) : undefined;
  if (a.type === 'N') return b.type === 'N' ? compareNumbers(a.value, b.value) : undefined;
  return b.type === 'B' ? Buffer.compare(a.value, b.value) : undefined;
}

/** True for what can be compared, and be a key. */
export const isScalar = (value: AttributeValue): value is ScalarValue =>
  value.type === 'S' || value.type === 'N' || value.type === 'B';

/** Deep equality; values of two types differ. */
export function areEqual(a: AttributeValue, b: AttributeValue): boolean {
  if (a === b) return true;
  switch (a.type) {
    case 'S':
    case 'N':
    case 'BOOL':
      return b.type === a.type && a.value === b.value;
    case 'NULL':
      return b.type === 'NULL';
    case 'B':
      return b.type === 'B' && a.value.equals(b.value);
    case 'SS':
    case 'NS':
      return b.type === a.type && haveEqualMembers(a.value, b.value, (left, right) => left === right);
    case 'BS':
      return b.type === 'BS' && haveEqualMembers(a.value, b.value, (left, right) => left.equals(right));
    case 'L':
      return b.type === 'L' && haveEqualMembers(a.value, b.value, areEqual);
    case 'M':
      return b.type === 'M' && areEqualItems(a.value, b.value);
  }
}

function haveEqualMembers<Member>(
  a: readonly Member[],
  b: readonly Member[],
  isEqual: (left: Member, right: Member) => boolean,
): boolean {
  return a.length === b.length && a.every((member, at) => isEqual(member, b[at]!));
}

/** Deep equality of items; the order of attributes does not count. */
export function areEqualItems(a: Item, b: Item): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || !areEqual(value, other)) return false;
  }
  return true;
}
