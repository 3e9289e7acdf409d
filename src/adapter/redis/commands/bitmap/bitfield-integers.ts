/** Integers of 1 to 64 bits at any bit offset of a string, highest bit first, and what happens when one overflows. */

export interface FieldType {
  readonly signed: boolean;
  /** 1 to 64, for unsigned fields 1 to 63. */
  readonly bits: number;
}

export type OverflowRule = 'WRAP' | 'SAT' | 'FAIL';

/** Reads a field; bits behind the end of the string are zero. */
export function readField(bytes: Buffer, offset: number, { signed, bits }: FieldType): bigint {
  let value = 0n;
  const lastByte = Math.floor((offset + bits - 1) / 8);
  for (let index = Math.floor(offset / 8); index <= lastByte; index++) {
    value = (value << 8n) | BigInt(bytes[index] ?? 0);
  }
  value >>= BigInt(lastByte * 8 + 7 - (offset + bits - 1));
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** Overwrites a field, which must lie inside `bytes`, with the low bits of `value`. */
export function writeField(bytes: Buffer, offset: number, { bits }: FieldType, value: bigint): void {
  const lastByte = Math.floor((offset + bits - 1) / 8);
  const shift = BigInt(lastByte * 8 + 7 - (offset + bits - 1));
  let mask = (2n ** BigInt(bits) - 1n) << shift;
  let rest = BigInt.asUintN(bits, value) << shift;
  for (let index = lastByte; mask !== 0n; index--) {
    const byteMask = Number(mask & 0xffn);
    bytes[index] = (bytes[index]! & ~byteMask) | Number(rest & 0xffn);
    mask >>= 8n;
    rest >>= 8n;
  }
}

/** Brings a value into a field's range by a rule; undefined when the rule is to fail. */
export function fitted(value: bigint, { signed, bits }: FieldType, rule: OverflowRule): bigint | undefined {
  const max = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  const min = signed ? -max - 1n : 0n;
  if (value >= min && value <= max) return value;
  if (rule === 'FAIL') return undefined;
  if (rule === 'SAT') return value > max ? max : min;
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}
