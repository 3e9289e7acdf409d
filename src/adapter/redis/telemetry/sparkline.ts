/** A graph of characters, as LATENCY GRAPH draws it: a column a value, its label below from top to bottom. */

/** From low to high within a row. */
const MARKS = ['_', 'o', '#'];
/** Below the highest mark of a column. */
const FILL = '|';
const ROWS = 4;

export interface Column {
  readonly value: number;
  readonly label: string;
}

/** @param width columns beside each other; more go below */
export function sparkline(columns: readonly Column[], width: number): string {
  const values = columns.map(({ value }) => value);
  const least = Math.min(...values);
  const span = Math.max(...values) - least || 1;
  const blocks: string[] = [];
  for (let at = 0; at < columns.length; at += width) {
    blocks.push(block(columns.slice(at, at + width), least, span));
  }
  return blocks.join('\n');
}

function block(columns: readonly Column[], least: number, span: number): string {
  const steps = MARKS.length * ROWS;
  const heights = columns.map(({ value }) => Math.min(steps - 1, Math.trunc(((value - least) * steps) / span)));
  const lines: string[] = [];
  for (let row = 0; row < ROWS; row++) lines.push(heights.map((height) => markIn(height, row)).join(''));
  lines.push(' '.repeat(columns.length));
  const deepest = Math.max(...columns.map(({ label }) => label.length));
  for (let depth = 0; depth < deepest; depth++) lines.push(columns.map(({ label }) => label[depth] ?? ' ').join(''));
  return lines.map((line) => `${line}\n`).join('');
}

function markIn(height: number, row: number): string {
  const mark = height - (ROWS - row - 1) * MARKS.length;
  if (mark < 0) return ' ';
  return MARKS[mark] ?? FILL;
}
