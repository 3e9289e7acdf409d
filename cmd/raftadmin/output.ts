/** What is printed: aligned tables for people, JSON for programs, bare columns for shell scripts. */
import { type Align, formatTable } from '../cli/table.ts';
import { formatKey } from './keys.ts';

export const FORMATS = ['table', 'json', 'simple'] as const;
export type Format = (typeof FORMATS)[number];

/** A column of a table of `Row`s. */
export interface Column<Row> {
  readonly name: string;
  readonly align?: Align;
  readonly value: (row: Row) => string;
}

/** Rows in columns: with a heading and aligned, or bare with a tab between. */
export function renderRows<Row>(columns: readonly Column<Row>[], rows: readonly Row[], format: Format): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  if (format === 'simple')
    return cells.map((row) => row.map((cell) => cell.replaceAll('\t', ' ')).join('\t')).join('\n');
  return formatTable(
    [columns.map(({ name }) => name), ...cells],
    columns.map(({ align }) => align ?? 'left'),
  );
}

/** Keys in JSON are written as they are typed; fields are those of the interface. */
export const renderJson = (value: unknown): string => JSON.stringify(readable(value), undefined, 2);

function readable(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return formatKey(value);
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, readable(each)]));
}
