/** The value in a payload that a client has sent. */
import type { CommandContext } from '../command/index.ts';
import { RedisError } from '../protocol/index.ts';
import { isPayload, RdbFormatError, type RdbValue, readPayload } from '../rdb/index.ts';

/** Compressed strings of one payload may take so many times the longest string. */
const MAX_EXPANSION = 4;

/** @throws RedisError for what is no payload, or has a version that is not known */
export function valueInPayload(ctx: CommandContext, payload: Buffer): RdbValue {
  if (!isPayload(payload)) throw new RedisError('ERR DUMP payload version or checksum are wrong');
  try {
    return readPayload(payload, MAX_EXPANSION * ctx.maxStringBytes);
  } catch (error) {
    if (error instanceof RdbFormatError) throw badFormat();
    throw error;
  }
}

/** The error of a payload whose bytes are not what they have to be. */
export const badFormat = (): RedisError => new RedisError('ERR Bad data format');
