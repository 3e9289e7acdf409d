/** Turns a node's structured log lines into lines for a person who watches several nodes in one terminal. */

const LEVEL_NAMES = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warn'],
  [50, 'error'],
  [60, 'fatal'],
]);

const HIDDEN_FIELDS = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'name', 'node']);

interface LogError {
  readonly message?: unknown;
  readonly code?: unknown;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function fieldText(value: unknown): string {
  if (isRecord(value) && typeof (value as LogError).message === 'string') {
    const { message, code } = value as LogError;
    return JSON.stringify(code === undefined ? message : `${String(code)}: ${String(message)}`);
  }
  return typeof value === 'string' && /^[\w.:/[\]-]+$/.test(value) ? value : JSON.stringify(value);
}

/** `{"level":40,"time":0,"msg":"slow disk","ms":9}` → `00:00:00.000 warn  slow disk ms=9`; other lines are returned as they are. */
export function readableLogLine(line: string): string {
  if (!line.startsWith('{')) return line;
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return line;
  }
  if (!isRecord(entry) || typeof entry.level !== 'number') return line;
  const time = typeof entry.time === 'number' ? new Date(entry.time).toISOString().slice(11, 23) : '';
  const level = (LEVEL_NAMES.get(entry.level) ?? String(entry.level)).padEnd(5);
  const fields = Object.entries(entry)
    .filter(([name]) => !HIDDEN_FIELDS.has(name))
    .map(([name, value]) => ` ${name}=${fieldText(value)}`);
  return `${time} ${level} ${String(entry.msg ?? '')}${fields.join('')}`.trim();
}

/** True for what must be shown always: errors, and whatever is not a structured line, such as a stack. */
export function isSevere(line: string): boolean {
  const level = /^\{"level":(\d+),/.exec(line)?.[1];
  return level === undefined || Number(level) >= 50;
}
