/** From samples of `bench:dynamodb` to rows, verdicts and tables. Pure: what was measured goes in, text and plain data come out. */
import { type Align, formatCount, formatMs, formatTable } from '../../cmd/cli/table.ts';
import { areQuiet, median, rangeOf, verdictOf } from '../spread.ts';
import { meanTimes, sumOf, THREAD_KINDS, type ThreadTimes } from '../thread-cpu.ts';
import type { ProfiledMeasure } from './profiled-node.ts';
import { STAGES } from './stages.ts';
import { DYNAMO_MEASURES, type DynamoMeasure } from './ycsb.ts';

/** `bare` answers everything with the same bytes. */
export type DynamoSystem = 'kvorum' | 'dynalite' | 'bare';

/** Processor time of one request, µs. */
export interface RequestCpu {
  /** Of the processes that clients talk to, together: the node that leads, or all. */
  readonly asked: ThreadTimes;
  /** Of the others, together: followers, and who leads the indexes where that is another node. */
  readonly behind: ThreadTimes;
  /** Of the load generator. */
  readonly client: number;
}

/** One load of one round. */
export interface DynamoSample {
  readonly measure: DynamoMeasure;
  readonly system: DynamoSystem;
  readonly cpuUs: RequestCpu;
  /** Requests. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of its time in which the load generator was busy: below 0.9 it was not the limit. */
  readonly clientBusy: number;
}

/** Of one system: a value a round, and the mean of processor times. */
export interface DynamoFigures {
  readonly perSecond: readonly number[];
  readonly p50Ms: readonly number[];
  readonly p99Ms: readonly number[];
  readonly cpuUs: RequestCpu;
}

export interface DynamoRow {
  readonly measure: DynamoMeasure;
  readonly title: string;
  readonly kvorum: DynamoFigures | undefined;
  readonly dynalite: DynamoFigures | undefined;
  readonly bare: DynamoFigures | undefined;
  /** kvorum's median over dynalite's. */
  readonly ratio: number | undefined;
  readonly p99Ratio: number | undefined;
  /** The same of each round, in which both were measured one after the other. */
  readonly ratios: readonly number[];
  /** What is asked of it; undefined when nothing is. */
  readonly bar: string | undefined;
  readonly passed: boolean | undefined;
  /** Rounds are close enough together to judge it, and nobody else used the machine. */
  readonly isQuiet: boolean;
}

/** Requests a second beside dynalite, at a p99 that is no worse. */
const YCSB_RATIO = 3;
/** Requests a second on two cores; writes are on three nodes and durable. */
const AIMS: { readonly [M in DynamoMeasure]?: number } = { getItem: 10_000, putItem: 5_000 };

const over = (ours: readonly number[] | undefined, theirs: readonly number[] | undefined): number | undefined =>
  ours === undefined || theirs === undefined ? undefined : median(ours) / median(theirs);

function figuresOf(
  samples: readonly DynamoSample[],
  measure: DynamoMeasure,
  system: DynamoSystem,
): DynamoFigures | undefined {
  const own = samples.filter((sample) => sample.measure === measure && sample.system === system);
  if (own.length === 0) return undefined;
  return {
    perSecond: own.map(({ perSecond }) => perSecond),
    p50Ms: own.map(({ p50Ms }) => p50Ms),
    p99Ms: own.map(({ p99Ms }) => p99Ms),
    cpuUs: {
      asked: meanTimes(own.map(({ cpuUs }) => cpuUs.asked)),
      behind: meanTimes(own.map(({ cpuUs }) => cpuUs.behind)),
      client: median(own.map(({ cpuUs }) => cpuUs.client)),
    },
  };
}

/** What is asked of a measure, and whether that is so. */
function barOf(measure: DynamoMeasure, { kvorum, ratio, p99Ratio }: Pick<DynamoRow, 'kvorum' | 'ratio' | 'p99Ratio'>) {
  if (DYNAMO_MEASURES[measure].isYcsb) {
    const passed = ratio === undefined || p99Ratio === undefined ? undefined : ratio >= YCSB_RATIO && p99Ratio <= 1;
    return { bar: `>= ${YCSB_RATIO}x, p99 no worse`, passed };
  }
  const aim = AIMS[measure];
  if (aim === undefined) return { bar: undefined, passed: undefined };
  return {
    bar: `>= ${formatCount(aim)}/s`,
    passed: kvorum === undefined ? undefined : median(kvorum.perSecond) >= aim,
  };
}

/** Rows of what was measured, in the order of the table. @param isMachineQuiet nobody else used it */
export function dynamoRows(samples: readonly DynamoSample[], isMachineQuiet: boolean): DynamoRow[] {
  return (Object.keys(DYNAMO_MEASURES) as DynamoMeasure[]).flatMap((measure): DynamoRow[] => {
    const [kvorum, dynalite, bare] = (['kvorum', 'dynalite', 'bare'] as const).map((system) =>
      figuresOf(samples, measure, system),
    );
    if (kvorum === undefined && dynalite === undefined) return [];
    const ratio = over(kvorum?.perSecond, dynalite?.perSecond);
    const p99Ratio = over(kvorum?.p99Ms, dynalite?.p99Ms);
    const ratios = (kvorum?.perSecond ?? []).flatMap((rate, round) => {
      const theirs = dynalite?.perSecond[round];
      return theirs === undefined ? [] : [rate / theirs];
    });
    const figures = { measure, title: DYNAMO_MEASURES[measure].title, kvorum, dynalite, bare, ratio, p99Ratio, ratios };
    // A p99 has a few requests behind it and differs from round to round on a quiet machine too.
    const isQuiet = isMachineQuiet && areQuiet(kvorum?.perSecond, dynalite?.perSecond);
    return [{ ...figures, ...barOf(measure, figures), isQuiet }];
  });
}

const right = (columns: number): Align[] => Array.from({ length: columns }, (): Align => 'right');

/** Who spends the processor time of a request. */
const SPENDERS = [
  { who: 'kvorum, asked', system: 'kvorum', part: 'asked' },
  { who: 'kvorum, other nodes', system: 'kvorum', part: 'behind' },
  { who: 'dynalite', system: 'dynalite', part: 'asked' },
  { who: 'who does nothing', system: 'bare', part: 'asked' },
] as const;

function formatCpu(rows: readonly DynamoRow[]): string {
  const heading = ['µs of CPU a request', 'of', 'all', ...THREAD_KINDS, 'its client'];
  const lines = rows.flatMap((row) =>
    SPENDERS.flatMap(({ who, system, part }) => {
      const cpuUs = row[system]?.cpuUs;
      if (cpuUs === undefined) return [];
      const threads = cpuUs[part];
      const client = part === 'asked' ? cpuUs.client.toFixed(0) : '-';
      return [
        [row.title, who, sumOf(threads).toFixed(0), ...THREAD_KINDS.map((kind) => threads[kind].toFixed(1)), client],
      ];
    }),
  );
  return formatTable([heading, ...lines], ['left', 'left', ...right(THREAD_KINDS.length + 2)]);
}

/** Tables: the systems beside each other by rate and by p99, what a request costs each process by thread, and where its time goes on a node. */
export function formatDynamo(rows: readonly DynamoRow[], profiled: readonly ProfiledMeasure[]): string {
  const times = (ratio: number): string => `${ratio.toFixed(2)}x`;
  const range = (of: keyof Omit<DynamoFigures, 'cpuUs'>, figures: DynamoFigures | undefined): string =>
    rangeOf(figures?.[of] ?? [], of === 'perSecond' ? formatCount : formatMs);
  const rates = rows.map((row) => [
    row.title,
    ...[range('perSecond', row.kvorum), range('perSecond', row.dynalite), rangeOf(row.ratios, times)],
    row.bar ?? '-',
    verdictOf(row.passed, row.isQuiet),
  ]);
  const waits = rows.map((row) => [
    row.title,
    ...[range('p50Ms', row.kvorum), range('p50Ms', row.dynalite), range('p99Ms', row.kvorum)],
    ...[range('p99Ms', row.dynalite), row.p99Ratio === undefined ? '-' : times(row.p99Ratio)],
  ]);
  const tables = [
    formatTable(
      [['requests a second: min / median / max', 'kvorum', 'dynalite', 'ratio', 'bar', 'verdict'], ...rates],
      ['left', ...right(3), 'left', 'left'],
    ),
    formatTable(
      [['min / median / max', 'p50 kvorum', 'p50 dynalite', 'p99 kvorum', 'p99 dynalite', 'p99 ratio'], ...waits],
      ['left', ...right(5)],
    ),
    formatCpu(rows),
  ];
  if (profiled.length > 0) {
    const shares = profiled.map(({ measure, stages }) => [
      DYNAMO_MEASURES[measure].title,
      ...STAGES.map((stage) => stages[stage].toFixed(1)),
      STAGES.reduce((sum, stage) => sum + stages[stage], 0).toFixed(1),
    ]);
    const stageHeading = ['µs of CPU a request, one node', ...STAGES, 'all'];
    tables.push(formatTable([stageHeading, ...shares], ['left', ...right(STAGES.length + 1)]));
  }
  return tables.join('\n\n');
}
