/** All rows of a large hash or set, with everything that must hold for them. */
import { assert } from '../../../../platform/index.ts';
import { ValueType } from '../../values/index.ts';
import {
  type BodyLimits,
  type BodyRows,
  ByteReader,
  type Cell,
  Cells,
  DEFAULT_BODY_LIMITS,
  type LargeHead,
  RowKind,
  readCell,
  rowsOfCells,
  type WalkedRow,
  walkedRow,
} from '../rows/index.ts';
import { decodeElement, decodeNamesPart } from './large-names.ts';

/**
 * @param limits what the body was always written with; left out when that is not known
 * @throws AssertionError when something does not fit together
 */
export function* walkNames(rows: BodyRows, head: LargeHead, limits?: BodyLimits): Generator<WalkedRow> {
  const part = decodeNamesPart(head.part);
  const cells = new Cells(rows, part, limits ?? DEFAULT_BODY_LIMITS, false);
  const seen = new Set<string>();
  for (let page = 0; page < part.pages; page++) {
    const row = walkedRow(rows, rows.numberedKey(RowKind.RosterPage, page), 'a page of its roster');
    yield row;
    const reader = new ByteReader(row.value);
    const names: Cell[] = [];
    while (!reader.isAtEnd) names.push(readCell(reader));
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
      assert(head.type === ValueType.Hash || elementRow.value.length <= 1 + 8, 'a member of a set has no value');
      if (element.valueRow !== 0)
        yield walkedRow(rows, rows.numberedKey(RowKind.Long, element.valueRow), 'the row of a long value');
    }
  }
  assert(seen.size === head.count, 'a head counts its elements');
}

function checkSize(isLast: boolean, names: number, bytes: number, limits: BodyLimits): void {
  assert(bytes <= limits.pageBytes && names <= limits.rosterNames, 'a page of a roster is not too large');
  assert(
    isLast || bytes * 4 >= limits.pageBytes || names >= limits.rosterNames,
    'a page of a roster other than the last is filled up when it loses names',
  );
}
