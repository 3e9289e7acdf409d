/** All rows of a large hash or set, with everything that must hold for them. */
import { assert, type Millis, NEVER, timestampOfMs } from '../../../../platform/index.ts';
import { ValueType } from '../../values/index.ts';
import {
  alarmRow,
  type BodyLimits,
  type BodyRows,
  ByteReader,
  type Cell,
  Cells,
  DEFAULT_BODY_LIMITS,
  type LargeHead,
  type PackedHead,
  RowKind,
  readCell,
  rowsOfCells,
  type WalkedRow,
  walkedRow,
} from '../rows/index.ts';
import { walkTree } from '../tree/index.ts';
import { nameIn, timeIn } from './element-expiries.ts';
import { NO_EXPIRY } from './named-form.ts';
import { decodeElement, decodeNamesPart, type NamesPart } from './names-rows.ts';

/** Pages that are asked for at one time where they come from afar. */
const PAGES_TOGETHER = 256;

/** Checks a hash that lies in its head. @throws AssertionError when its bytes do not fit together */
export function checkPackedNames({ type, elements, lastFieldTs }: PackedHead): void {
  const reader = new ByteReader(elements);
  const seen = new Set<string>();
  const times: Millis[] = [];
  while (!reader.isAtEnd) {
    seen.add(reader.take(reader.varint()).toString('latin1'));
    if (type === ValueType.Hash) reader.skip(reader.varint());
    times.push(lastFieldTs === undefined ? NO_EXPIRY : reader.varint());
    assert(seen.size === times.length, 'a name is in its head once');
  }
  const expiring = times.filter((ms) => ms !== NO_EXPIRY);
  const expected = expiring.length === times.length ? timestampOfMs(Math.max(...expiring)) : NEVER;
  assert(lastFieldTs === (expiring.length === 0 ? undefined : expected), 'a head knows when its last element expires');
}

/**
 * @param limits what the body was always written with; left out when that is not known
 * @throws AssertionError when something does not fit together
 */
export function* walkNames(rows: BodyRows, head: LargeHead, limits?: BodyLimits): Generator<WalkedRow> {
  const part = decodeNamesPart(head);
  const expiries = yield* walkExpiries(rows, part, head, limits);
  const cells = new Cells(rows, part, limits ?? DEFAULT_BODY_LIMITS, false);
  const seen = new Set<string>();
  for (let page = 0; page < part.pages; page++) {
    if (rows.isAfar && page % PAGES_TOGETHER === 0) askForPages(rows, cells, page, part.pages);
    const row = walkedRow(rows, rows.numberedKey(RowKind.RosterPage, page), 'a page of its roster');
    yield row;
    const names = cellsIn(row.value);
    assert(names.length > 0, 'a page of a roster has names');
    assert(names.length <= part.cap, 'no page of a roster has more names than the cap');
    if (limits !== undefined) checkSize(page === part.pages - 1, names.length, row.value.length, limits);
    yield* rowsOfCells(rows, names);
    for (const cell of names) {
      const name = cells.bytesOf(cell);
      const text = name.toString('latin1');
      assert(!seen.has(text), 'a name is in its roster once');
      seen.add(text);
      const elementRow = walkedRow(rows, rows.elementKey(name), 'the element of a name');
      yield elementRow;
      const element = decodeElement(elementRow.value);
      assert(element.page === page, 'an element names the page that its name is in');
      const expireMs = expiries.get(text) ?? NO_EXPIRY;
      assert(element.expireMs === expireMs, 'the tree of expiries has what the elements say');
      expiries.delete(text);
      assert(head.type === ValueType.Hash || elementRow.value.length <= 1 + 8, 'a member of a set has no value');
      assert(limits === undefined || elementRow.value.length <= limits.pageBytes, 'an element is not too large');
      if (element.valueRow !== 0)
        yield walkedRow(rows, rows.numberedKey(RowKind.Long, element.valueRow), 'the row of a long value');
    }
  }
  assert(seen.size === head.count, 'a head counts its elements');
  assert(expiries.size === 0, 'what expires is there');
}

function cellsIn(page: Buffer): Cell[] {
  const reader = new ByteReader(page);
  const names: Cell[] = [];
  while (!reader.isAtEnd) names.push(readCell(reader));
  return names;
}

/** Says that pages from one on, and everything that they name, are about to be read. */
function askForPages(rows: BodyRows, cells: Cells, from: number, pages: number): void {
  const keys = Array.from({ length: Math.min(PAGES_TOGETHER, pages - from) }, (_, nth) =>
    rows.numberedKey(RowKind.RosterPage, from + nth),
  );
  rows.prefetch(() => keys);
  const names = keys.flatMap((key) => cellsIn(walkedRow(rows, key, 'a page of its roster').value));
  cells.prefetch(() => names);
  const elements = names.map((cell) => rows.elementKey(cells.bytesOf(cell)));
  rows.prefetch(() => elements);
  rows.prefetch(() =>
    elements.flatMap((key) => {
      const { valueRow } = decodeElement(walkedRow(rows, key, 'the element of a name').value);
      return valueRow === 0 ? [] : [rows.numberedKey(RowKind.Long, valueRow)];
    }),
  );
}

const alarmOf = (rows: BodyRows, expiries: NamesPart['expiries']): WalkedRow | undefined =>
  expiries === undefined || expiries.alarmMs === NO_EXPIRY ? undefined : alarmRow(rows, expiries.alarmMs);

/** The alarm of a large hash or set, which may have rung already; undefined when there is none. */
export const alarmOfNames = (rows: BodyRows, head: LargeHead): WalkedRow | undefined =>
  alarmOf(rows, decodeNamesPart(head).expiries);

/** The rows of the tree of expiries. @returns when elements expire, by their names in latin1 */
function* walkExpiries(
  rows: BodyRows,
  { expiries }: NamesPart,
  { type, count, lastFieldTs }: LargeHead,
  limits?: BodyLimits,
): Generator<WalkedRow, Map<string, Millis>> {
  const times = new Map<string, Millis>();
  if (expiries === undefined) return times;
  assert(type === ValueType.Hash && expiries.count > 0, 'only fields of hashes expire');
  const alarm = alarmOf(rows, expiries);
  if (alarm !== undefined) yield alarm;
  let [firstMs, lastMs] = [NO_EXPIRY, NO_EXPIRY];
  for (const page of walkTree(rows, expiries.tree, expiries.count, true, limits)) {
    yield page;
    for (const key of page.elements ?? []) {
      lastMs = timeIn(key);
      if (firstMs === NO_EXPIRY) firstMs = lastMs;
      times.set(nameIn(key).toString('latin1'), lastMs);
    }
  }
  assert(times.size === expiries.count, 'an element expires once');
  assert(firstMs === expiries.firstMs, 'a head knows the earliest expiry of its elements');
  const expected = expiries.count === count ? timestampOfMs(lastMs) : NEVER;
  assert(lastFieldTs === expected, 'a head knows when its last element expires');
  return times;
}

function checkSize(isLast: boolean, names: number, bytes: number, limits: BodyLimits): void {
  assert(bytes <= limits.pageBytes && names <= limits.rosterNames, 'a page of a roster is not too large');
  assert(
    isLast || bytes * 4 >= limits.pageBytes || names >= limits.rosterNames,
    'a page of a roster other than the last is filled up when it loses names',
  );
}
