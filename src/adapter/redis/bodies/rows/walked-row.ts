/** Rows of a whole body, one by one. */
import { assert, type HlcTimestamp, type Millis, timestampOfMs } from '../../../../platform/index.ts';
import { ALARM_VALUE, alarmKeyOf, type BodyRows, RowKind } from './body-rows.ts';
import { type Cell, LongCell } from './cell.ts';

/** A row of a body as it is stored. */
export interface WalkedRow {
  readonly key: Buffer;
  readonly value: Buffer;
  /** Left out: never, as for all rows but one. */
  readonly expireTs?: HlcTimestamp;
}

/** The alarm of a body. */
export const alarmRow = (rows: BodyRows, alarmMs: Millis): WalkedRow => ({
  key: alarmKeyOf(rows),
  value: ALARM_VALUE,
  expireTs: timestampOfMs(alarmMs),
});

/** Reads a row that something refers to. */
export function walkedRow(rows: BodyRows, key: Buffer, what: string): WalkedRow {
  const value = rows.get(key);
  assert(value !== undefined, `a body lacks ${what}`);
  return { key, value };
}

/** The rows of cells that are long. */
export function* rowsOfCells(rows: BodyRows, cells: Iterable<Cell>): Generator<WalkedRow> {
  const long = [...cells].filter((cell) => cell instanceof LongCell);
  rows.prefetch(() => long.map(({ number }) => rows.numberedKey(RowKind.Long, number)));
  for (const cell of long) {
    const row = walkedRow(rows, rows.numberedKey(RowKind.Long, cell.number), 'the row of a long element');
    assert(row.value.length === cell.length, 'a long element has the length that its cell says');
    assert(row.value.subarray(0, cell.prefix.length).equals(cell.prefix), 'a long element begins with its prefix');
    yield row;
  }
}
