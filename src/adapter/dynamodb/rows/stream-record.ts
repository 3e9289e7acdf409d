/**
 * What a stream keeps of one change: the images that the stream's view has, and what is needed to name the event.
 *
 *   record := format u8, flags u8, key item, [old item], [new item]
 *   item   := count varint, attribute*
 */
import { ByteWriter } from '../../../platform/index.ts';
import { type Item, itemSize } from '../values/index.ts';
import { ValueReader, writeAttributes } from './value-codec.ts';

const FORMAT = 1;
const WAS_THERE = 0x01;
const IS_THERE = 0x02;
const BY_EXPIRY = 0x04;
const HAS_OLD = 0x08;
const HAS_NEW = 0x10;
const ALL_FLAGS = 0x1f;

/** One change of one item. */
export interface StreamRecord {
  readonly key: Item;
  /** Neither before nor after is not recorded. */
  readonly wasThere: boolean;
  readonly isThere: boolean;
  /** It went away by itself. */
  readonly isByExpiry: boolean;
  /** Undefined where the stream's view leaves it out, and where there was none. */
  readonly oldImage: Item | undefined;
  readonly newImage: Item | undefined;
}

/** Encodes a record. */
export function encodeStreamRecord(record: StreamRecord): Buffer {
  const { key, oldImage, newImage } = record;
  const flags =
    (record.wasThere ? WAS_THERE : 0) |
    (record.isThere ? IS_THERE : 0) |
    (record.isByExpiry ? BY_EXPIRY : 0) |
    (oldImage === undefined ? 0 : HAS_OLD) |
    (newImage === undefined ? 0 : HAS_NEW);
  const images = [oldImage, newImage].flatMap((image) => image ?? []);
  const bytes = images.reduce((sum, image) => sum + itemSize(image), 256);
  const writer = new ByteWriter(bytes).u8(FORMAT).u8(flags);
  writeAttributes(writer, key);
  for (const image of images) writeAttributes(writer, image);
  return writer.finish();
}

/** @throws CorruptRowError */
export function decodeStreamRecord(bytes: Buffer): StreamRecord {
  const reader = new ValueReader(bytes, 'a stream record');
  reader.version(FORMAT);
  const flags = reader.flags(ALL_FLAGS);
  const key = reader.item();
  const oldImage = (flags & HAS_OLD) === 0 ? undefined : reader.item();
  const newImage = (flags & HAS_NEW) === 0 ? undefined : reader.item();
  reader.end();
  return {
    key,
    wasThere: (flags & WAS_THERE) !== 0,
    isThere: (flags & IS_THERE) !== 0,
    isByExpiry: (flags & BY_EXPIRY) !== 0,
    oldImage,
    newImage,
  };
}
