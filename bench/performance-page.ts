/**
 * `npm run docs:performance`: the figures of docs/performance.md and of README.md, from what `npm run bench:figures` has kept in docs/performance. Prose
 * around them is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatCount, formatMs } from '../cmd/cli/table.ts';
import { counted } from '../src/platform/index.ts';
import { type BenchFile, readBench } from './kept-figures.ts';
import { buildReport, MEASURES, type Measure, type ReportRow, type Samples, type System } from './report.ts';
import { median, rangeOf, ratioText } from './spread.ts';
import { meanTimes, sumOf } from './thread-cpu.ts';

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const FOLDER = fileOf('docs/performance');
const BEGIN = '<!-- figures of docs/performance: npm run docs:performance -->';
const END = '<!-- end of figures -->';

/** What README.md tells. */
const README_MEASURES: readonly Measure[] = [
  'set',
  'setPipelined',
  'get',
  'setSpread',
  'setSpreadPipelined',
  'getSpread',
  'sequentialP50',
  'failover',
];

const rowsOf = ({ rows }: BenchFile): ReportRow[] =>
  buildReport(Object.fromEntries(rows.map((row) => [row.measure, row.samples])) as Samples);

const machineOf = ({ machine: { processors = 0, cpu } }: BenchFile): string =>
  `${counted(processors, 'core')}${cpu === undefined ? '' : ` (${cpu})`} that the three nodes and the load share`;

/** Of one system: rates with their unit, times with theirs. @param values one, or one a round */
function shown({ unit }: ReportRow, values: readonly number[] = []): string {
  if (values.length === 0) return '';
  if (unit === 'perSecond') return `${rangeOf(values, formatCount)}/s`;
  return `${rangeOf(values, (ms) => formatMs(ms).slice(0, -3))} ms`;
}

function table(file: BenchFile): string {
  const ratio = (ratios: readonly number[]): string => (ratios.length === 0 ? '' : ratioText(ratios));
  const cell = (row: ReportRow, system: System): string => shown(row, row.samples[system]);
  const lines = rowsOf(file).map(
    (row) =>
      `| ${row.title} | ${cell(row, 'kvorum')} | ${cell(row, 'redis')} | ${cell(row, 'etcd')} | ${ratio(row.ratios.redis)} | ${ratio(row.ratios.etcd)} |`,
  );
  const { at, rounds, secondsPerLoad, syncMs } = file;
  return [
    `${counted(rounds, 'round')} of ${secondsPerLoad} s each, on ${at.slice(0, 10)}, on ${machineOf(file)}; a sync of its disk took ${syncMs.toFixed(2)} ms. ` +
      'Smallest, middle and largest round.',
    '',
    '| 100-byte values | kvorum, 3 nodes | redis-server, 1 node, synced | etcd, 3 members | to redis | to etcd |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

/** What a command costs each process, and how many a core and a node can do for it; nothing where that was not measured. */
function costs({ cpu }: BenchFile): string {
  const meanOf = (measure: Measure, system: System, role: string) => {
    const rounds = cpu.find((line) => line.measure === measure && line.system === system)?.rounds ?? [];
    const own = rounds.flatMap((round) => round[role] ?? []);
    return own.length === 0 ? undefined : meanTimes(own);
  };
  const us = (measure: Measure, system: System, role: string): string => {
    const times = meanOf(measure, system, role);
    return times === undefined ? '' : sumOf(times).toFixed(1);
  };
  const lines = (Object.keys(MEASURES) as Measure[]).flatMap((measure) => {
    const leader = meanOf(measure, 'kvorum', 'leader');
    // A node that forwards is not the only one at work: its rates are not a leader's.
    if (leader === undefined || measure === 'setThroughFollower' || measure === 'sequentialP50') return [];
    const follower = meanOf(measure, 'kvorum', 'follower');
    const perSecond = (cost: number): string => `${formatCount(1e6 / cost)}/s`;
    const perCore = perSecond(sumOf(leader));
    const perNode = perSecond(leader.main);
    // Each node leads a third of the groups and follows in the others.
    const three = follower === undefined ? '' : perSecond((sumOf(leader) + 2 * sumOf(follower)) / 3);
    return `| ${MEASURES[measure].title} | ${us(measure, 'kvorum', 'leader')} | ${us(measure, 'kvorum', 'follower')} | ${us(measure, 'redis', 'server')} | ${us(measure, 'etcd', 'member')} | ${perCore} | ${perNode} | ${three} |`;
  });
  if (lines.length === 0) return '';
  return [
    'Processor time of one command in the same rounds, microseconds, and what follows from it: how many a second one core can lead, how many a node with cores enough, whose main thread ' +
      'is the limit, and how many three nodes with a core each, whose groups are led by all of them.',
    '',
    '| | leader | each follower | redis-server | each etcd member | one core leads | one node leads | three nodes of one core |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

const PICTURES = [
  ['throughput', 'commands a second by clients'],
  ['latency', 'p99 by commands a second'],
  ['keys', 'processor time of a command by keys that are there'],
] as const;

/** The pictures that there are. */
const pictures = (): string[] =>
  PICTURES.flatMap(([name, says]) =>
    ['set', 'get']
      .filter((operation) => existsSync(join(FOLDER, `${operation}-${name}.svg`)))
      .map((operation) => `![${operation.toUpperCase()}: ${says}](performance/${operation}-${name}.svg)`),
  );

/** The part of README.md that is made: medians. */
function shortTable(file: BenchFile): string {
  const lines = rowsOf(file)
    .filter(({ measure }) => README_MEASURES.includes(measure))
    .map((row) => {
      const cells = (['kvorum', 'redis', 'etcd'] as const).map((system) => {
        const values = row.samples[system] ?? [];
        return shown(row, values.length === 0 ? [] : [median(values)]);
      });
      return `| ${row.title} | ${cells.join(' | ')} |`;
    });
  return [
    `Middle one of ${counted(file.rounds, 'round')}, on ${file.at.slice(0, 10)}, on ${machineOf(file)}; a sync of its disk took ${file.syncMs.toFixed(2)} ms.`,
    '',
    '| 100-byte values | kvorum, 3 nodes | redis-server, 1 node, synced | etcd, 3 members |',
    '| --- | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

/** Pages with figures, and what is made of each. */
const PAGES: readonly { readonly path: string; made(file: BenchFile): string }[] = [
  {
    path: 'docs/performance.md',
    made: (file) => [table(file), costs(file), ...pictures()].filter((part) => part !== '').join('\n\n'),
  },
  { path: 'README.md', made: shortTable },
];

/** @param page its text @returns what is in front of the made part, and behind it @throws when its marks are missing */
function cut(page: string, path: string): readonly [string, string] {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${path} has lost the marks "${BEGIN}" and "${END}"`);
  return [page.slice(0, from), page.slice(to + END.length)];
}

/** A page as it is, as the kept figures would have it, and without what is made of them. */
export function pagesOfFigures(file = readBench(FOLDER)): {
  readonly path: string;
  readonly text: string;
  readonly made: string;
  readonly prose: string;
}[] {
  return PAGES.map(({ path, made }) => {
    const text = readFileSync(fileOf(path), 'utf8');
    const [before, behind] = cut(text, path);
    return { path, text, made: `${before}${BEGIN}\n\n${made(file)}\n\n${END}${behind}`, prose: before + behind };
  });
}

/** Fills all pages with the figures that are kept. */
export function writePages(): void {
  for (const { path, made } of pagesOfFigures()) writeFileSync(fileOf(path), made);
}

if (import.meta.main) writePages();
