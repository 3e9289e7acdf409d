/** Aligned tables for people. */

export type Align = 'left' | 'right';

/** Columns as wide as their widest cell, two spaces between; no trailing blanks. The first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[], aligns: readonly Align[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        aligns[column] === 'right' ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

/** 1234567.8 → `1,234,568`. */
export const formatCount = (value: number): string => Math.round(value).toLocaleString('en-US');

/** Milliseconds with three significant figures: `0.214 ms`, `21.4 ms`. */
export const formatMs = (ms: number): string => `${ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3)} ms`;
