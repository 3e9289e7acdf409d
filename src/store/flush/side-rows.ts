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

/** In place of a place among those that wait, of a row that does not. */
const WAITS_NOT = -1;

/** A resident row as it is applied. */
class ResidentRow {
  readonly key: Buffer;
  readonly name: Buffer;
  value: Buffer | SideSource;
  /** Another row of the key. */
  next: ResidentRow | undefined = undefined;
  /** It is on disk or in a generation, as it is or as it was. */
  isSaved: boolean;
  /** Its place among those that wait. */
  waitsAt = WAITS_NOT;

  constructor(key: Buffer, name: Buffer, value: Buffer | SideSource, isSaved: boolean) {
    this.key = key;
    this.name = name;
    this.value = value;
    this.isSaved = isSaved;
  }

  get bytes(): Buffer {
    return Buffer.isBuffer(this.value) ? this.value : this.value.encode();
  }

  get sizeBytes(): number {
    return Buffer.isBuffer(this.value) ? this.value.length : this.value.sizeBytes;
  }

  isNamed(name: Buffer): boolean {
    return this.name === name || this.name.equals(name);
  }
}

/** What is applied of a store's side rows; see the top of the file. */
export class SideRows {
  /** The resident ones: one of each key by its latin-1 text, from which one comes to the others. */
  private readonly rows = new Map<string, ResidentRow>();
  /** Those that are in no generation as they are now. */
  private readonly waiting: ResidentRow[] = [];
  private waitingBytes = 0;

  constructor(rows: readonly SideRow[]) {
    this.reset(rows);
  }

  /** Another database took the place of the one before. @param rows what it has of resident ones */
  reset(rows: readonly SideRow[]): void {
    this.rows.clear();
    this.waiting.length = 0;
    this.waitingBytes = 0;
    for (const { key, name, value } of rows) this.add(nameOf(key), new ResidentRow(key, name, value, true));
  }

  /** The resident ones, in no order. */
  *list(): Iterable<SideRow> {
    for (const { key, name, bytes } of this.all()) yield { key, name, value: bytes };
  }

  private *all(): Iterable<ResidentRow> {
    for (const first of this.rows.values()) yield* chainOf(first);
  }

  /** Takes note of a row that was set or removed. @param into collects what is applied now @param keyName latin-1 text of the key */
  set(
    into: Generation,
    key: Buffer,
    name: Buffer,
    value: Buffer | SideSource | undefined,
    keyName = nameOf(key),
  ): void {
    if (isResident(name)) {
      if (value === undefined) this.removeResident(into, keyName, name);
      else this.setResident(into, key, name, value, keyName);
      return;
    }
    const rowKey = encodeSideKey(key, name);
    if (value === undefined) into.deleteRow(rowKey);
    else into.setRow(rowKey, Buffer.isBuffer(value) ? Buffer.from(value) : value.encode());
  }

  private removeResident(into: Generation, keyName: string, name: Buffer): void {
    let before: ResidentRow | undefined;
    for (let row = this.rows.get(keyName); row !== undefined; before = row, row = row.next) {
      if (!row.isNamed(name)) continue;
      if (before !== undefined) before.next = row.next;
      else if (row.next === undefined) this.rows.delete(keyName);
      else this.rows.set(keyName, row.next);
      this.waitNoMore(row);
      if (row.isSaved) into.deleteRow(encodeSideKey(row.key, name));
      return;
    }
  }

  private setResident(into: Generation, key: Buffer, name: Buffer, value: Buffer | SideSource, keyName: string): void {
    const kept = Buffer.isBuffer(value) ? Buffer.from(value) : value;
    let row = this.find(keyName, name);
    if (row !== undefined) {
      this.waitNoMore(row);
      row.value = kept;
    } else {
      const isOwn = !Buffer.isBuffer(value);
      row = new ResidentRow(isOwn ? key : Buffer.from(key), isOwn ? name : Buffer.from(name), kept, false);
      this.add(keyName, row);
    }
    const { sizeBytes } = row;
    if (this.waiting.length >= MAX_WAITING_ROWS || this.waitingBytes + sizeBytes > MAX_WAITING_BYTES) {
      save(into, row);
      return;
    }
    row.waitsAt = this.waiting.push(row) - 1;
    this.waitingBytes += sizeBytes;
  }

  private add(keyName: string, row: ResidentRow): void {
    row.next = this.rows.get(keyName);
    this.rows.set(keyName, row);
  }

  private find(keyName: string, name: Buffer): ResidentRow | undefined {
    let row = this.rows.get(keyName);
    while (row !== undefined && !row.isNamed(name)) row = row.next;
    return row;
  }

  /** The last of those that wait takes its place. */
  private waitNoMore(row: ResidentRow): void {
    if (row.waitsAt === WAITS_NOT) return;
    const last = this.waiting.pop()!;
    if (last !== row) {
      this.waiting[row.waitsAt] = last;
      last.waitsAt = row.waitsAt;
    }
    row.waitsAt = WAITS_NOT;
    this.waitingBytes -= row.sizeBytes;
  }

  /** A generation collects no more: what waits goes with it. */
  freeze(into: Generation): void {
    for (const row of this.waiting) {
      row.waitsAt = WAITS_NOT;
      save(into, row);
    }
    this.waiting.length = 0;
    this.waitingBytes = 0;
  }

  /** Rows of the range are gone, and what is on disk of them will be. */
  drop(range: DroppedRange): void {
    for (const [keyName, first] of this.rows) {
      if (!isDropped([range], first.key)) continue;
      for (const row of chainOf(first)) this.waitNoMore(row);
      this.rows.delete(keyName);
    }
  }

  /** The applied value of a row; undefined when it is not there. */
  read(key: Buffer, name: Buffer, generations: readonly (Generation | undefined)[], level: Level): Buffer | undefined {
    if (isResident(name)) return this.find(nameOf(key), name)?.bytes;
    const rowKey = encodeSideKey(key, name);
    const text = nameOf(rowKey);
    for (const generation of generations) {
      const row = generation?.rows.get(text);
      if (row !== undefined) return row.value;
    }
    return level.getSync(rowKey);
  }
}

/** All rows of a key. */
function* chainOf(first: ResidentRow): Iterable<ResidentRow> {
  for (let row: ResidentRow | undefined = first; row !== undefined; row = row.next) yield row;
}

function save(into: Generation, row: ResidentRow): void {
  into.setRow(encodeSideKey(row.key, row.name), row.bytes);
  row.isSaved = true;
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
