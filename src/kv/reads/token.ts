/** Session tokens: base64 of cluster u64 and the smallest timestamp that the next read may be served at. */
import { type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import { InvalidConsistencyError } from '../contract/index.ts';

const BYTES = 16;

/** A token that demands nothing below `minTs`. */
export function encodeToken(cluster: bigint, minTs: HlcTimestamp): string {
  const bytes = Buffer.allocUnsafe(BYTES);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, cluster), 0);
  bytes.writeBigUInt64BE(minTs, 8);
  return bytes.toString('base64');
}

/**
 * What a token demands; undefined for an empty one and for another cluster's, which says nothing about this one.
 * @throws InvalidConsistencyError
 */
export function decodeToken(token: string, cluster: bigint): HlcTimestamp | undefined {
  if (token === '') return undefined;
  const bytes = Buffer.from(token, 'base64');
  if (bytes.length !== BYTES)
    throw new InvalidConsistencyError('a session token is not one that this service has given out');
  if (bytes.readBigUInt64BE(0) !== BigInt.asUintN(64, cluster)) return undefined;
  return hlcTimestamp(bytes.readBigUInt64BE(8));
}
