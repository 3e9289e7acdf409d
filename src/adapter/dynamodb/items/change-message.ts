/**
 * A change of one item on its way to the leader of its group, and what it has done.
 *
 *   change := kind u8, flags u8, part u8, item, [condition], [update], [invocation 8 bytes]
 *   done   := costs, flag, [item]
 *   costs  := units, (name, units)*, (name, units)*
 */
import type { ByteWriter, GroupId } from '../../../platform/index.ts';
import {
  readCondition,
  readOptional,
  readUpdate,
  writeCondition,
  writeOptional,
  writeUpdate,
} from '../messages/index.ts';
import { INVOCATION_BYTES, type ValueReader, writeAttributes, writeText, writeVarint } from '../rows/index.ts';
import type { TableDescriptor } from '../tables/index.ts';
import { CHANGE_PARTS, type ChangePart, type DoneChange, type ItemChange } from './item-changes.ts';
import { messageOf } from './message-head.ts';
import type { Invocation, WriteCosts } from './write-item.ts';

/** Wire values: only ever append. */
const KINDS = ['put', 'update', 'delete', 'check'] as const satisfies readonly ItemChange['kind'][];
const RETURNS_ITEM = 0x01;
const HAS_CONDITION = 0x02;
const HAS_UPDATE = 0x04;
const HAS_INVOCATION = 0x08;
const IS_REPEATED = 0x10;
const ALL_FLAGS = 0x1f;

/** One change, and what of the item is to be told. */
export interface AskedChange {
  readonly change: ItemChange;
  readonly invocation: Invocation | undefined;
  readonly part: ChangePart | undefined;
}

/** Encodes a change for the leader of a group. */
export function encodeChange(
  group: GroupId,
  table: TableDescriptor,
  { change, invocation, part }: AskedChange,
): Buffer {
  const writer = messageOf('change', group, table);
  writeAskedChange(writer, { change, invocation, part });
  return writer.finishView();
}

/** Appends a change without its table. */
export function writeAskedChange(writer: ByteWriter, { change, invocation, part }: AskedChange): void {
  const { kind, item, condition, update, returnsItem } = change;
  const flags =
    (returnsItem ? RETURNS_ITEM : 0) |
    (condition === undefined ? 0 : HAS_CONDITION) |
    (update === undefined ? 0 : HAS_UPDATE) |
    (invocation === undefined ? 0 : HAS_INVOCATION) |
    (invocation?.isRepeated === true ? IS_REPEATED : 0);
  writer.u8(KINDS.indexOf(kind)).u8(flags);
  writer.u8(part === undefined ? 0 : CHANGE_PARTS.indexOf(part) + 1);
  writeAttributes(writer, item);
  if (condition !== undefined) writeCondition(writer, condition);
  if (update !== undefined) writeUpdate(writer, update);
  if (invocation !== undefined) writer.raw(invocation.hash);
}

/** @param reader behind the message's head @throws CorruptRowError */
export function readChange(reader: ValueReader): AskedChange {
  const asked = readAskedChange(reader);
  reader.end();
  return asked;
}

/** @throws CorruptRowError */
export function readAskedChange(reader: ValueReader): AskedChange {
  const kind = reader.oneOf(KINDS);
  const flags = reader.flags(ALL_FLAGS);
  const part = reader.u8();
  if (part > CHANGE_PARTS.length) throw reader.corrupt(`asks for part ${part} of an item`);
  const item = reader.item();
  const condition = (flags & HAS_CONDITION) === 0 ? undefined : readCondition(reader);
  const update = (flags & HAS_UPDATE) === 0 ? undefined : readUpdate(reader);
  const hash = (flags & HAS_INVOCATION) === 0 ? undefined : reader.raw(INVOCATION_BYTES);
  return {
    change: { kind, item, condition, update, returnsItem: (flags & RETURNS_ITEM) !== 0 },
    invocation: hash === undefined ? undefined : { hash, isRepeated: (flags & IS_REPEATED) !== 0 },
    part: CHANGE_PARTS[part - 1],
  };
}

function writeUnits(writer: ByteWriter, units: ReadonlyMap<string, number>): void {
  writeVarint(writer, units.size);
  for (const [name, count] of units) {
    writeText(writer, name);
    writeVarint(writer, count);
  }
}

const readUnits = (reader: ValueReader): WriteCosts['globalIndexes'] =>
  new Map(reader.many(() => [reader.name(), reader.varint()] as const));

/** Appends what was done. */
export function writeDone(writer: ByteWriter, { shown, costs }: DoneChange): void {
  writeCosts(writer, costs);
  writeOptional(writer, shown, writeAttributes);
}

/** Appends what a write costs. */
export function writeCosts(writer: ByteWriter, { table, globalIndexes, localIndexes }: WriteCosts): void {
  writeVarint(writer, table);
  writeUnits(writer, globalIndexes);
  writeUnits(writer, localIndexes);
}

/** @throws CorruptRowError */
export const readCosts = (reader: ValueReader): WriteCosts => ({
  table: reader.varint(),
  globalIndexes: readUnits(reader),
  localIndexes: readUnits(reader),
});

/** @throws CorruptRowError */
export function readDone(reader: ValueReader): DoneChange {
  return { costs: readCosts(reader), shown: readOptional(reader, () => reader.item()) };
}
