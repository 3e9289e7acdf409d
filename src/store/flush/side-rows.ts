/**
 * Side rows: small unversioned rows that belong to a user key and go wherever its range goes. A row has a name, so a key can
 * have many. Those whose name begins below 0x80 are few and are held in memory as well, where they can be listed at once;
 * the others are only looked up.
 */

import type { ExportSidesRequest, SidePage, SideRow } from '../contract/index.ts';
import type { Level } from '../level/index.ts';
import { type DroppedRange, isDropped } from '../ranges/index.ts';
import { CorruptStoreError, decodeKey, keyBounds, maxEncodedBytes, nameOf, RowKind, writeKey } from '../rows/index.ts';
import type { Generation } from './apply-buffer.ts';

const FIRST_LOOKED_UP = 0x80;
const ROWS_AT_ONCE = 256;

/** True for rows that are held in memory. */
const isResident = (name: Buffer): boolean => name[0]! < FIRST_LOOKED_UP;

/** Row key of a side row. @param name one byte or more */
export function encodeSideKey(key: Buffer, name: Buffer): Buffer {
  const into = Buffer.allocUnsafe(maxEncodedBytes(key.length) + name.length);
  const at = writeKey(into, isResident(name) ? RowKind.ResidentSide : RowKind.Side, key);
  return into.subarray(0, at + name.copy(into, at));
}

/** @throws CorruptStoreError */
export function decodeSideRow(rowKey: Buffer, value: Buffer, location: string): SideRow {
  let at = rowKey.indexOf(0, 1);
  while (at !== -1 && rowKey[at + 1] === 0xff) at = rowKey.indexOf(0, at + 2);
  if (at === -1 || at + 2 >= rowKey.length) throw new CorruptStoreError(location, 'holds a side row without a name');
  return { key: decodeKey(rowKey, 1, at + 2, location), name: Buffer.from(rowKey.subarray(at + 2)), value };
}

/** What is applied of a store's resident side rows, by row key. */
export class ResidentSides {
  private rows: Map<string, SideRow>;

  constructor(rows: readonly SideRow[]) {
    this.rows = byRowKey(rows);
  }

  reset(rows: readonly SideRow[]): void {
    this.rows = byRowKey(rows);
  }

  /** In no order. */
  list(): Iterable<SideRow> {
    return this.rows.values();
  }

  /** Takes note of a row that was set or removed, and puts it into the buffer. */
  set(into: Generation, key: Buffer, name: Buffer, value: Buffer | undefined): void {
    const rowKey = encodeSideKey(key, name);
    const text = nameOf(rowKey);
    if (value === undefined) {
      into.deleteRow(rowKey, text);
      if (isResident(name)) this.rows.delete(text);
      return;
    }
    const kept = Buffer.from(value);
    into.setRow(rowKey, kept, text);
    if (isResident(name)) this.rows.set(text, { key: Buffer.from(key), name: Buffer.from(name), value: kept });
  }

  drop(range: DroppedRange): void {
    for (const [name, { key }] of this.rows) if (isDropped([range], key)) this.rows.delete(name);
  }
}

const byRowKey = (rows: readonly SideRow[]): Map<string, SideRow> =>
  new Map(rows.map((row) => [nameOf(encodeSideKey(row.key, row.name)), row]));

/** The applied value of a side row. */
export function readSide(
  key: Buffer,
  name: Buffer,
  generations: readonly (Generation | undefined)[],
  level: Level,
): Buffer | undefined {
  const rowKey = encodeSideKey(key, name);
  const text = nameOf(rowKey);
  for (const generation of generations) {
    const row = generation?.rows.get(text);
    if (row !== undefined) return row.value;
  }
  return level.getSync(rowKey);
}

/** A page of the side rows of a range as they are on disk. */
export async function exportSides(
  level: Level,
  location: string,
  dropped: readonly DroppedRange[],
  { start, end, from, maxBytes }: ExportSidesRequest,
): Promise<SidePage> {
  const sides: SideRow[] = [];
  let bytes = 0;
  for (const kind of [RowKind.Side, RowKind.ResidentSide]) {
    const bounds = keyBounds(kind, start, end);
    if (from !== undefined && Buffer.compare(bounds.lt, from) <= 0) continue;
    const gte = from !== undefined && Buffer.compare(from, bounds.gte) > 0 ? from : bounds.gte;
    const iterator = level.iterator({ gte, lt: bounds.lt });
    try {
      for (let page = await iterator.nextv(ROWS_AT_ONCE); page.length > 0; page = await iterator.nextv(ROWS_AT_ONCE)) {
        for (const [rowKey, value] of page) {
          if (bytes >= maxBytes) return { sides, next: Buffer.from(rowKey) };
          const side = decodeSideRow(rowKey, Buffer.from(value), location);
          if (isDropped(dropped, side.key)) continue;
          sides.push(side);
          bytes += rowKey.length + value.length;
        }
      }
    } finally {
      await iterator.close();
    }
  }
  return { sides, next: undefined };
}
