/**
 * `npm run docs:performance`: the figures of docs/performance.md, from what `npm run bench -- --to docs/performance` and
 * `npm run bench:curves -- --to docs/performance` have kept. Prose around them is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatCount, formatMs } from '../cmd/cli/table.ts';
import { counted } from '../src/platform/index.ts';
import { buildReport, type MEASURES, type ReportRow, type Samples, type System } from './report.ts';
import { rangeOf, ratioText } from './spread.ts';

const PAGE = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
const FOLDER = new URL('../docs/performance/', import.meta.url);
const BEGIN = '<!-- figures of bench.json and curves.json: npm run docs:performance -->';
const END = '<!-- end of figures -->';

/** What `npm run bench` keeps, as far as the page shows it. */
interface BenchFile {
  readonly at: string;
  readonly machine: { readonly processors?: number; readonly cpu?: string };
  readonly rounds: number;
  readonly secondsPerLoad: number;
  readonly rows: readonly { readonly measure: keyof typeof MEASURES; readonly samples: Samples[keyof Samples] }[];
}

function tableOf({ at, machine, rounds, secondsPerLoad, rows }: BenchFile): string {
  const samples = Object.fromEntries(rows.map((row) => [row.measure, row.samples])) as Samples;
  const cell = (row: ReportRow, system: System): string => {
    const values = row.samples[system] ?? [];
    if (values.length === 0) return '';
    return row.unit === 'ms' ? rangeOf(values, formatMs) : `${rangeOf(values, formatCount)}/s`;
  };
  const ratio = (ratios: readonly number[]): string => (ratios.length === 0 ? '' : ratioText(ratios));
  const lines = buildReport(samples).map(
    (row) =>
      `| ${row.title} | ${cell(row, 'kvorum')} | ${cell(row, 'redis')} | ${cell(row, 'etcd')} | ${ratio(row.ratios.redis)} | ${ratio(row.ratios.etcd)} |`,
  );
  const { processors = 0, cpu } = machine;
  const where = `${counted(processors, 'core')}${cpu === undefined ? '' : ` (${cpu})`}`;
  return [
    `${counted(rounds, 'round')} of ${secondsPerLoad} s each, on ${at.slice(0, 10)}, on ${where} that the three nodes and the load share. Smallest, middle and largest round.`,
    '',
    '| 100-byte values | kvorum, 3 nodes | redis-server, 1 node, synced | etcd, 3 members | to redis | to etcd |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

const PICTURES = [
  ['throughput', 'commands a second by clients'],
  ['latency', 'p99 by commands a second'],
  ['keys', 'processor time of a command by keys that are there'],
] as const;

/** The part of the page that is made: the table, and the pictures that there are. */
export function performanceFigures(): string {
  const file = JSON.parse(readFileSync(new URL('bench.json', FOLDER), 'utf8')) as BenchFile;
  const pictures = PICTURES.flatMap(([name, says]) =>
    ['set', 'get']
      .filter((operation) => existsSync(new URL(`${operation}-${name}.svg`, FOLDER)))
      .map((operation) => `![${operation.toUpperCase()}: ${says}](performance/${operation}-${name}.svg)`),
  );
  return [tableOf(file), ...pictures].join('\n\n');
}

/** @param page its text @returns the same with what is made anew @throws when its marks are missing */
export function withFigures(page: string, figures = performanceFigures()): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md has lost the marks "${BEGIN}" and "${END}"`);
  return `${page.slice(0, from)}${BEGIN}\n\n${figures}\n\n${page.slice(to)}`;
}

if (import.meta.main) writeFileSync(PAGE, withFigures(readFileSync(PAGE, 'utf8')));
