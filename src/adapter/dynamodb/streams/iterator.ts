/**
 * Iterators: all that is to be known to go on reading, in the hands of the client. A node keeps nothing. Check bytes tell an iterator from a text that
 * somebody made up or cut off; they are no secret, since whoever may read a stream may read all of it.
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter, hlcTimestamp, type Millis } from '../../../platform/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import type { Place } from './sequence.ts';

const FORMAT = 1;
const LIFETIME_MS: Millis = 15 * 60 * 1000;
const CHECK_BYTES = 4;

export interface ShardIterator {
  readonly tableName: string;
  /** Of the stream; a table of the same name that came later has others. */
  readonly label: string;
  readonly shardId: string;
  /** The next record is here or behind. */
  readonly from: Place;
  /** It begins at what is oldest, however old that is: nothing before was asked for. */
  readonly isFromHorizon: boolean;
  readonly issuedMs: Millis;
}

class MalformedIteratorError extends Error {}

/** As clients carry it. */
export function encodeIterator(iterator: ShardIterator): string {
  const bytes = new ByteWriter()
    .u8(FORMAT)
    .text(iterator.tableName)
    .text(iterator.label)
    .text(iterator.shardId)
    .u64(iterator.from.ts)
    .u32(iterator.from.number)
    .u8(iterator.isFromHorizon ? 1 : 0)
    .u53(iterator.issuedMs)
    .finish();
  const check = Buffer.allocUnsafe(CHECK_BYTES);
  check.writeUInt32BE(crc32(bytes));
  return Buffer.concat([bytes, check]).toString('base64url');
}

/**
 * @param nowMs on the wall clock
 * @throws DynamoError ValidationException for what is no iterator, ExpiredIteratorException for an old one
 */
export function decodeIterator(text: string, nowMs: Millis): ShardIterator {
  const iterator = parse(text);
  if (iterator === undefined) throw validationError('Invalid ShardIterator');
  if (nowMs - iterator.issuedMs <= LIFETIME_MS) return iterator;
  throw new DynamoError(
    'ExpiredIteratorException',
    `Iterator expired. The iterator was created at time ${iterator.issuedMs} while right now it is ${nowMs} ` +
      `which is further in the future than the tolerated delay of ${LIFETIME_MS} milliseconds.`,
  );
}

function parse(text: string): ShardIterator | undefined {
  const all = Buffer.from(text, 'base64url');
  if (all.length <= CHECK_BYTES || all.toString('base64url') !== text) return undefined;
  const bytes = all.subarray(0, -CHECK_BYTES);
  if (crc32(bytes) !== all.readUInt32BE(bytes.length)) return undefined;
  try {
    const reader = new ByteReader(bytes, 'an iterator', MalformedIteratorError);
    reader.version(FORMAT);
    const iterator = {
      tableName: reader.text(),
      label: reader.text(),
      shardId: reader.text(),
      from: { ts: hlcTimestamp(reader.u64()), number: reader.u32() },
      isFromHorizon: reader.flag(),
      issuedMs: reader.u53(),
    };
    reader.end();
    return iterator;
  } catch (error) {
    if (error instanceof MalformedIteratorError) return undefined;
    throw error;
  }
}
