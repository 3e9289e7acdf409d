/**
 * How messages about items to the leader of a group begin. Integers are big-endian, lengths and counts of attributes varints.
 *
 *   message := format u8, kind u8, group u32, table, by kind
 *   table   := name, number u32, version u64
 *
 * Of a transaction that has several tables the others come behind.
 */
import { ByteWriter, type GroupId, groupId } from '../../../platform/index.ts';
import { ValueReader } from '../rows/index.ts';
import type { TableDescriptor } from '../tables/index.ts';

/** Name under which group leaders answer. */
export const ITEM_SERVICE = 'dynamodb';

const FORMAT = 1;
/** Wire values: only ever append. */
const KINDS = ['change', 'page', 'transaction'] as const;

/** A table as the asking node knows it: by no other version is anything done. */
export interface NamedTable {
  readonly name: string;
  readonly id: number;
  readonly version: number;
}

export interface MessageHead {
  readonly kind: (typeof KINDS)[number];
  readonly group: GroupId;
  readonly table: NamedTable;
}

/** Begins a message. */
export function messageOf(kind: MessageHead['kind'], group: GroupId, table: TableDescriptor): ByteWriter {
  const writer = new ByteWriter(512).u8(FORMAT).u8(KINDS.indexOf(kind)).u32(group);
  writeTable(writer, table);
  return writer;
}

/** Appends a table as the asking node knows it. */
export function writeTable(writer: ByteWriter, { name, id, version }: NamedTable): void {
  writer.text(name).u32(id).u53(version);
}

/** @throws CorruptRowError */
export const readTable = (reader: ValueReader): NamedTable => ({
  name: reader.text(),
  id: reader.u32(),
  version: reader.u53(),
});

/** Reads the beginning; the rest is to be read by its kind. @throws CorruptRowError */
export function readHead(bytes: Buffer): { readonly head: MessageHead; readonly reader: ValueReader } {
  const reader = new ValueReader(bytes, 'a message about items');
  reader.version(FORMAT);
  const kind = reader.oneOf(KINDS);
  const group = groupId(reader.u32());
  return { head: { kind, group, table: readTable(reader) }, reader };
}
