/**
 * What a leader answers to a message about items: what was done, or why nothing was.
 *
 *   outcome := format u8, kind u8, by kind: what was done | refusal | nothing | timestamp u64
 */
import { ByteWriter, hlcTimestamp } from '../../../platform/index.ts';
import { DynamoError } from '../errors/index.ts';
import { readRefusal, writeRefusal } from '../messages/index.ts';
import { ValueReader } from '../rows/index.ts';
import { AlreadyWrittenError, StaleTableError } from './errors.ts';

const FORMAT = 1;
/** Wire values: only ever append. */
const OUTCOMES = ['done', 'refused', 'stale', 'written'] as const;

const outcome = (kind: (typeof OUTCOMES)[number]): ByteWriter =>
  new ByteWriter(256).u8(FORMAT).u8(OUTCOMES.indexOf(kind));

/** Encodes what was done. */
export function encodeDone(write: (writer: ByteWriter) => void): Buffer {
  const writer = outcome('done');
  write(writer);
  return writer.finishView();
}

/** Encodes why nothing was done. @throws `error` when it is no outcome of this adapter: the layer below carries it */
export function encodeRefused(error: unknown): Buffer {
  if (error instanceof AlreadyWrittenError) return outcome('written').u64(error.commitTs).finish();
  if (error instanceof StaleTableError) return outcome('stale').finish();
  if (!(error instanceof DynamoError)) throw error;
  const writer = outcome('refused');
  writeRefusal(writer, error);
  return writer.finish();
}

/** @throws DynamoError, StaleTableError, AlreadyWrittenError as the leader has; CorruptRowError */
export function decodeOutcome<T>(bytes: Buffer, read: (reader: ValueReader) => T): T {
  const reader = new ValueReader(bytes, 'an answer about items');
  reader.version(FORMAT);
  switch (reader.oneOf(OUTCOMES)) {
    case 'done': {
      const done = read(reader);
      reader.end();
      return done;
    }
    case 'refused':
      throw readRefusal(reader);
    case 'stale':
      throw new StaleTableError();
    case 'written':
      throw new AlreadyWrittenError(hlcTimestamp(reader.u64()));
  }
}
