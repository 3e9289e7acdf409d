/** Bit offsets as arguments of SETBIT, GETBIT and BITFIELD. */
import type { CommandContext } from '../../command/index.ts';
import { parseInteger, RedisError } from '../../protocol/index.ts';

const HASH = 0x23;

/**
 * Reads an offset that must lie inside the largest string. With `fieldBits` given, `#n` stands for the n-th field of so
 * many bits.
 * @throws RedisError when it is no such offset
 */
export function requireBitOffset(ctx: CommandContext, text: Buffer, fieldBits?: number): number {
  const inFields = fieldBits !== undefined && text[0] === HASH;
  const value = parseInteger(inFields ? text.subarray(1) : text);
  const offset = value === undefined ? -1n : inFields ? value * BigInt(fieldBits) : value;
  if (offset < 0n || offset >= BigInt(ctx.maxStringBytes) * 8n) {
    throw new RedisError('ERR bit offset is not an integer or out of range');
  }
  return Number(offset);
}
