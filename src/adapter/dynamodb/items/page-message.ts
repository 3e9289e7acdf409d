/**
 * A part of a page on its way to the leader of its group, and what it has.
 *
 *   question := flags u8, index kind u8, index number u8, start, end, limit u64, bytes u32, [condition], [projection], [fence]
 *   part     := flags u8, count, scanned, bytes, units fetched twice, [last item], [next], count, items
 */
import type { ByteWriter, GroupId } from '../../../platform/index.ts';
import { readCondition, readProjection, writeCondition, writeProjection } from '../messages/index.ts';
import { type ValueReader, writeAttributes, writeVarint } from '../rows/index.ts';
import { type AnyIndex, isGlobal, type TableDescriptor } from '../tables/index.ts';
import { StaleTableError } from './errors.ts';
import { messageOf } from './message-head.ts';
import type { PagePart, PartQuestion } from './page-part.ts';

const IS_REVERSE = 0x01;
const IS_COUNTED = 0x02;
const IS_FETCHED = 0x04;
const IS_CONSISTENT = 0x08;
const HAS_FILTER = 0x10;
const HAS_PROJECTION = 0x20;
const HAS_FENCE = 0x40;
const ALL_FLAGS = 0x7f;
/** Wire values: only ever append. */
const INDEXES = ['table', 'local', 'global'] as const;
const HAS_LAST = 0x01;
const HAS_NEXT = 0x02;
const IS_CHECKED = 0x04;
const PART_FLAGS = 0x07;
/** Units are halves at least. */
const UNIT_PARTS = 2;

const indexKind = (index: AnyIndex | undefined): (typeof INDEXES)[number] =>
  index === undefined ? 'table' : isGlobal(index) ? 'global' : 'local';

/** Encodes a question to the leader of a group. */
export function encodePageQuestion(group: GroupId, question: PartQuestion): Buffer {
  const { table, index, range, filter, projection, fence } = question;
  const flags =
    (question.isReverse ? IS_REVERSE : 0) |
    (question.isCounted ? IS_COUNTED : 0) |
    (question.isFetched ? IS_FETCHED : 0) |
    (question.readKind === 'consistent' ? IS_CONSISTENT : 0) |
    (filter === undefined ? 0 : HAS_FILTER) |
    (projection === undefined ? 0 : HAS_PROJECTION) |
    (fence === undefined ? 0 : HAS_FENCE);
  const writer = messageOf('page', group, table).u8(flags);
  writer.u8(INDEXES.indexOf(indexKind(index))).u8(index?.number ?? 0);
  writer.bytes(range.start).bytes(range.end);
  writer.u53(Number.isFinite(question.limit) ? question.limit : Number.MAX_SAFE_INTEGER).u32(question.maxBytes);
  if (filter !== undefined) writeCondition(writer, filter);
  if (projection !== undefined) writeProjection(writer, projection);
  if (fence !== undefined) writer.bytes(fence);
  return writer.finishView();
}

/** @param reader behind the message's head @throws StaleTableError when the table has no such index; CorruptRowError */
export function readPageQuestion(reader: ValueReader, table: TableDescriptor): PartQuestion {
  const flags = reader.flags(ALL_FLAGS);
  const kind = reader.oneOf(INDEXES);
  const number = reader.u8();
  const indexes = { table: [], local: table.localIndexes, global: table.globalIndexes }[kind];
  const index = (indexes as readonly AnyIndex[]).find((one) => one.number === number);
  if (index === undefined && kind !== 'table') throw new StaleTableError();
  const range = { start: reader.bytes(), end: reader.bytes() };
  const limit = reader.u53();
  const maxBytes = reader.u32();
  const filter = (flags & HAS_FILTER) === 0 ? undefined : readCondition(reader);
  const projection = (flags & HAS_PROJECTION) === 0 ? undefined : readProjection(reader);
  const fence = (flags & HAS_FENCE) === 0 ? undefined : reader.bytes();
  reader.end();
  return {
    ...{ table, index, range, limit, maxBytes, filter, projection, fence },
    isReverse: (flags & IS_REVERSE) !== 0,
    isCounted: (flags & IS_COUNTED) !== 0,
    isFetched: (flags & IS_FETCHED) !== 0,
    readKind: (flags & IS_CONSISTENT) !== 0 ? 'consistent' : 'eventual',
  };
}

/** Appends a part. */
export function writePagePart(writer: ByteWriter, part: PagePart): void {
  const { items, last, next } = part;
  writer.u8(
    (last === undefined ? 0 : HAS_LAST) | (next === undefined ? 0 : HAS_NEXT) | (part.isChecked ? IS_CHECKED : 0),
  );
  for (const count of [part.count, part.scanned, part.bytes, part.fetchedUnits * UNIT_PARTS])
    writeVarint(writer, count);
  if (last !== undefined) writeAttributes(writer, last);
  if (next !== undefined) writer.bytes(next);
  writeVarint(writer, items.length);
  for (const item of items) writeAttributes(writer, item);
}

/** @throws CorruptRowError */
export function readPagePart(reader: ValueReader): PagePart {
  const flags = reader.flags(PART_FLAGS);
  const [count, scanned, bytes, units] = [reader.varint(), reader.varint(), reader.varint(), reader.varint()];
  const last = (flags & HAS_LAST) === 0 ? undefined : reader.item();
  const next = (flags & HAS_NEXT) === 0 ? undefined : reader.bytes();
  const items = reader.many(() => reader.item());
  const isChecked = (flags & IS_CHECKED) !== 0;
  return { items, count, scanned, bytes, fetchedUnits: units / UNIT_PARTS, last, next, isChecked };
}
