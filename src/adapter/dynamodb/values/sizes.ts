/**
 * How large items are by the rules of the service, which limits and capacity follow, and not by the bytes that they take here: names and strings by
 * their UTF-8 bytes, a number by a byte for two digits and one more, a document by three bytes, one for each element and what is in it.
 */
import type { AttributeValue, Item } from './attribute.ts';
import { parseCanonical } from './decimal.ts';

/** Of an item, names included. */
export const MAX_ITEM_BYTES = 400 * 1024;
/** Lists and maps within each other, in one attribute. */
export const MAX_NESTING = 32;

const DOCUMENT_BYTES = 3;
const ELEMENT_BYTES = 1;

/** Digits count in pairs that are aligned at the point, so `123` has two and so has `12.3`. */
function numberSize(text: string): number {
  const { isNegative, digits, exponent } = parseCanonical(text);
  if (digits === '') return 1;
  const last = exponent - digits.length + 1;
  const pairs = Math.floor(exponent / 2) - Math.floor(last / 2) + 1;
  return pairs + (isNegative ? 2 : 1);
}

/** Bytes of a value by the rules of the service. */
export function valueSize(value: AttributeValue): number {
  switch (value.type) {
    case 'S':
      return Buffer.byteLength(value.value);
    case 'N':
      return numberSize(value.value);
    case 'B':
      return value.value.length;
    case 'BOOL':
    case 'NULL':
      return 1;
    case 'SS':
      return value.value.reduce((sum, member) => sum + Buffer.byteLength(member), 0);
    case 'NS':
      return value.value.reduce((sum, member) => sum + numberSize(member), 0);
    case 'BS':
      return value.value.reduce((sum, member) => sum + member.length, 0);
    case 'L':
      return value.value.reduce((sum, element) => sum + ELEMENT_BYTES + valueSize(element), DOCUMENT_BYTES);
    case 'M':
      return DOCUMENT_BYTES + value.value.size * ELEMENT_BYTES + itemSize(value.value);
  }
}

/** Bytes of an item by the rules of the service: its names and its values. */
export function itemSize(item: Item): number {
  let size = 0;
  for (const [name, value] of item) size += Buffer.byteLength(name) + valueSize(value);
  return size;
}

/** True when lists and maps lie within each other deeper than items may have them. */
export function isNestedTooDeep(value: AttributeValue, level = 0): boolean {
  if (value.type !== 'L' && value.type !== 'M') return false;
  if (level === MAX_NESTING) return true;
  const parts: Iterable<AttributeValue> = value.type === 'L' ? value.value : value.value.values();
  for (const part of parts) if (isNestedTooDeep(part, level + 1)) return true;
  return false;
}
