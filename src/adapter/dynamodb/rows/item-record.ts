/**
 * The value of an item's row, and of its rows in indexes. Keys are in the key of the row and left out here.
 *
 *   record := format u8, flags u8, itemBytes u32, [invocation 8 bytes], attribute*
 *
 * `itemBytes` is the size of the whole item as DynamoDB counts it, so that limits and capacity need no decoding. Attributes are in the order in which
 * the leader had them, which alone encodes; replicas have the same bytes.
 */
import { ByteWriter } from '../../../platform/index.ts';
import type { AttributeValue, Item } from '../values/index.ts';
import { ValueReader, writeAttribute } from './value-codec.ts';

const FORMAT = 1;
const HAS_INVOCATION = 0x01;
/** Where the size lies, for those who need nothing else. */
const SIZE_OFFSET = 2;
/** How much of an invocation's hash is kept. */
export const INVOCATION_BYTES = 8;

/** What the row of an item has, and its attributes. */
export interface ItemRecord {
  /** DynamoDB's size of the whole item, keys included; of an index row that of what is projected. */
  readonly itemBytes: number;
  /** Which request has written it last, if that was said. */
  readonly invocation: Buffer | undefined;
  readonly attributes: Item;
}

/**
 * @param omitted names of the attributes that the row's key has
 * @param invocation `INVOCATION_BYTES`, of the request that writes
 */
export function encodeItemRecord(
  item: Item,
  omitted: ReadonlySet<string>,
  itemBytes: number,
  invocation?: Buffer | undefined,
): Buffer {
  const writer = new ByteWriter(itemBytes + 64)
    .u8(FORMAT)
    .u8(invocation === undefined ? 0 : HAS_INVOCATION)
    .u32(itemBytes);
  if (invocation !== undefined) writer.raw(invocation);
  for (const [name, value] of item) if (!omitted.has(name)) writeAttribute(writer, name, value);
  // It is copied into an entry, and forgotten.
  return writer.finishView();
}

/** Reads what lies before the attributes. @throws CorruptRowError */
export function readRecordHead(reader: ValueReader): Omit<ItemRecord, 'attributes'> {
  reader.version(FORMAT);
  const flags = reader.flags(HAS_INVOCATION);
  const itemBytes = reader.u32();
  return { itemBytes, invocation: (flags & HAS_INVOCATION) === 0 ? undefined : reader.raw(INVOCATION_BYTES) };
}

/** @param into gets the attributes, behind those that are in it: the row's key has them @throws CorruptRowError */
export function decodeItemRecord(bytes: Buffer, into = new Map<string, AttributeValue>()): ItemRecord {
  const reader = new ValueReader(bytes, 'an item');
  const { itemBytes, invocation } = readRecordHead(reader);
  return { itemBytes, invocation, attributes: reader.attributes(undefined, 0, into) };
}

/** The size alone. */
export const itemBytesIn = (record: Buffer): number => record.readUInt32BE(SIZE_OFFSET);
