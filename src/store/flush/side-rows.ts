/**
 * Side rows: small unversioned rows that belong to a user key and go wherever its range goes. A row has a name, so a key can
 * have many. Those whose name begins below 0x80 are few and mostly short-lived. They are held in memory, where they can be listed at once, and
 * join a generation when it is frozen: one that has come and gone by then was never made, and the disk hears nothing of it. The others are
 * only looked up.
 */

import type { ExportSidesRequest, SidePage, SideRow, SideSource } from '../contract/index.ts';
import type { Level } from '../level/index.ts';
import { type DroppedRange, isDropped } from '../ranges/index.ts';
import { CorruptStoreError, decodeKey, keyBounds, maxEncodedBytes, nameOf, RowKind, writeKey } from '../rows/index.ts';
import type { Generation } from './apply-buffer.ts';

const FIRST_LOOKED_UP = 0x80;
const ROWS_AT_ONCE = 256;
/** Rows that wait for a generation to be frozen, and their bytes: they are made in one turn. More join the generation at once. */
const MAX_WAITING_ROWS = 4096;
const MAX_WAITING_BYTES = 1 << 20;

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

/** A resident row as it is applied. */
interface ResidentRow {
  readonly key: Buffer;
  readonly name: Buffer;
  readonly value: Buffer | SideSource;
}

const bytesOf = ({ value }: ResidentRow): Buffer => (Buffer.isBuffer(value) ? value : value.encode());
const sizeOf = ({ value }: ResidentRow): number => (Buffer.isBuffer(value) ? value.length : value.sizeBytes);

/** Stands for a row in maps: no two have the same. */
const placeOf = (key: Buffer, name: Buffer): string => `${name.length} ${nameOf(name)}${nameOf(key)}`;

/** What is applied of a store's side rows; see the top of the file. */
export class SideRows {
  /** The resident ones, by place. */
  private rows = new Map<string, ResidentRow>();
  /** Places of those that are on disk or in a generation. */
  private saved = new Set<string>();
  /** Places of those that are in no generation as they are now. */
  private readonly waiting = new Set<string>();
  private waitingBytes = 0;

  constructor(rows: readonly SideRow[]) {
    this.reset(rows);
  }

  /** Another database took the place of the one before. @param rows what it has of resident ones */
  reset(rows: readonly SideRow[]): void {
    this.rows = new Map(rows.map((row) => [placeOf(row.key, row.name), row]));
    this.saved = new Set(this.rows.keys());
    this.waiting.clear();
    this.waitingBytes = 0;
  }

  /** The resident ones, in no order. */
  *list(): Iterable<SideRow> {
    for (const row of this.rows.values()) yield { key: row.key, name: row.name, value: bytesOf(row) };
  }

  /** Takes note of a row that was set or removed. @param into collects what is applied now */
  set(into: Generation, key: Buffer, name: Buffer, value: Buffer | SideSource | undefined): void {
    if (isResident(name)) {
      this.setResident(into, key, name, value);
      return;
    }
    const rowKey = encodeSideKey(key, name);
    if (value === undefined) into.deleteRow(rowKey);
    else into.setRow(rowKey, Buffer.isBuffer(value) ? Buffer.from(value) : value.encode());
  }

  private setResident(into: Generation, key: Buffer, name: Buffer, value: Buffer | SideSource | undefined): void {
    const place = placeOf(key, name);
    this.forget(place);
    if (value === undefined) {
      if (this.saved.delete(place)) into.deleteRow(encodeSideKey(key, name));
      return;
    }
    const isKept = !Buffer.isBuffer(value);
    const row = isKept
      ? { key, name, value }
      : { key: Buffer.from(key), name: Buffer.from(name), value: Buffer.from(value) };
    this.rows.set(place, row);
    if (this.waiting.size >= MAX_WAITING_ROWS || this.waitingBytes + sizeOf(row) > MAX_WAITING_BYTES) {
      this.save(into, place, row);
      return;
    }
    this.waiting.add(place);
    this.waitingBytes += sizeOf(row);
  }

  private forget(place: string): void {
    if (this.waiting.delete(place)) this.waitingBytes -= sizeOf(this.rows.get(place)!);
    this.rows.delete(place);
  }

  private save(into: Generation, place: string, row: ResidentRow): void {
    into.setRow(encodeSideKey(row.key, row.name), bytesOf(row));
    this.saved.add(place);
  }

  /** A generation collects no more: what waits goes with it. */
  freeze(into: Generation): void {
    for (const place of this.waiting) this.save(into, place, this.rows.get(place)!);
    this.waiting.clear();
    this.waitingBytes = 0;
  }

  /** Rows of the range are gone, and what is on disk of them will be. */
  drop(range: DroppedRange): void {
    for (const [place, { key }] of this.rows) {
      if (!isDropped([range], key)) continue;
      this.forget(place);
      this.saved.delete(place);
    }
  }

  /** The applied value of a row; undefined when it is not there. */
  read(key: Buffer, name: Buffer, generations: readonly (Generation | undefined)[], level: Level): Buffer | undefined {
    if (isResident(name)) {
      const row = this.rows.get(placeOf(key, name));
      return row === undefined ? undefined : bytesOf(row);
    }
    const rowKey = encodeSideKey(key, name);
    const text = nameOf(rowKey);
    for (const generation of generations) {
      const row = generation?.rows.get(text);
      if (row !== undefined) return row.value;
    }
    return level.getSync(rowKey);
  }
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
