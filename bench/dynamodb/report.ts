/** From samples of `bench:dynamodb` to rows, verdicts and tables. Pure: what was measured goes in, text and plain data come out. */
import { type Align, formatCount, formatMs, formatTable } from '../../cmd/cli/table.ts';
import { median } from '../spread.ts';
import type { ProfiledMeasure } from './profiled-node.ts';
import { STAGES } from './stages.ts';
import { DYNAMO_MEASURES, type DynamoMeasure } from './ycsb.ts';

export type DynamoSystem = 'kvorum' | 'dynalite';

/** Processor time of one request, µs. */
export interface RequestCpu {
  /** Of the processes that clients talk to, which are nodes that lead, or all. */
  readonly asked: number;
  /** Of the others: followers. */
  readonly behind: number;
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

/** Medians of one system. */
export interface DynamoFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUs: RequestCpu;
}

export interface DynamoRow {
  readonly measure: DynamoMeasure;
  readonly title: string;
  readonly kvorum: DynamoFigures | undefined;
  readonly dynalite: DynamoFigures | undefined;
  /** kvorum's over dynalite's. */
  readonly ratio: number | undefined;
  readonly p99Ratio: number | undefined;
  /** What is asked of it; undefined when nothing is. */
  readonly bar: string | undefined;
  readonly passed: boolean | undefined;
}

/** Requests a second beside dynalite, at a p99 that is no worse. */
const YCSB_RATIO = 3;
/** Requests a second on two cores; writes are on three nodes and durable. */
const AIMS: { readonly [M in DynamoMeasure]?: number } = { getItem: 10_000, putItem: 5_000 };

const over = (ours: number | undefined, theirs: number | undefined): number | undefined =>
  ours === undefined || theirs === undefined ? undefined : ours / theirs;

function figuresOf(
  samples: readonly DynamoSample[],
  measure: DynamoMeasure,
  system: DynamoSystem,
): DynamoFigures | undefined {
  const own = samples.filter((sample) => sample.measure === measure && sample.system === system);
  if (own.length === 0) return undefined;
  return {
    perSecond: median(own.map(({ perSecond }) => perSecond)),
    p50Ms: median(own.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(own.map(({ p99Ms }) => p99Ms)),
    cpuUs: {
      asked: median(own.map(({ cpuUs }) => cpuUs.asked)),
      behind: median(own.map(({ cpuUs }) => cpuUs.behind)),
      client: median(own.map(({ cpuUs }) => cpuUs.client)),
    },
  };
}

/** Rows of what was measured, in the order of the table. */
export function dynamoRows(samples: readonly DynamoSample[]): DynamoRow[] {
  return (Object.keys(DYNAMO_MEASURES) as DynamoMeasure[]).flatMap((measure): DynamoRow[] => {
    const [kvorum, dynalite] = [figuresOf(samples, measure, 'kvorum'), figuresOf(samples, measure, 'dynalite')];
    if (kvorum === undefined && dynalite === undefined) return [];
    const { title, isYcsb } = DYNAMO_MEASURES[measure];
    const ratio = over(kvorum?.perSecond, dynalite?.perSecond);
    const p99Ratio = over(kvorum?.p99Ms, dynalite?.p99Ms);
    const aim = AIMS[measure];
    const figures = { measure, title, kvorum, dynalite, ratio, p99Ratio };
    if (isYcsb) {
      const passed = ratio === undefined || p99Ratio === undefined ? undefined : ratio >= YCSB_RATIO && p99Ratio <= 1;
      return [{ ...figures, bar: `>= ${YCSB_RATIO}x, p99 no worse`, passed }];
    }
    if (aim === undefined) return [{ ...figures, bar: undefined, passed: undefined }];
    const passed = kvorum === undefined ? undefined : kvorum.perSecond >= aim;
    return [{ ...figures, bar: `>= ${formatCount(aim)}/s`, passed }];
  });
}

const ALIGNS: readonly Align[] = ['left', ...Array.from({ length: 8 }, (): Align => 'right'), 'left', 'left'];
const CPU_HEADING = ['µs of CPU a request', 'kvorum', 'followers', 'its client', 'dynalite', 'its client'];
const STAGE_ALIGNS: readonly Align[] = ['left', ...STAGES.map((): Align => 'right'), 'right'];

function formatCpu(rows: readonly DynamoRow[]): string {
  const us = (value: number | undefined): string => value?.toFixed(0) ?? '-';
  const lines = rows.map(({ title, kvorum, dynalite }) => [
    title,
    ...[us(kvorum?.cpuUs.asked), us(kvorum?.cpuUs.behind), us(kvorum?.cpuUs.client)],
    ...[us(dynalite?.cpuUs.asked), us(dynalite?.cpuUs.client)],
  ]);
  return formatTable([CPU_HEADING, ...lines], ['left', 'right', 'right', 'right', 'right', 'right']);
}

/** Three tables: the systems beside each other, what a request costs each process, and where its time goes on a node. */
export function formatDynamo(rows: readonly DynamoRow[], profiled: readonly ProfiledMeasure[]): string {
  const ms = (part: 'p50Ms' | 'p99Ms', figures: DynamoFigures | undefined): string =>
    figures === undefined ? '-' : formatMs(figures[part]);
  const rate = (figures: DynamoFigures | undefined): string =>
    figures === undefined ? '-' : `${formatCount(figures.perSecond)}/s`;
  const times = (ratio: number | undefined): string => (ratio === undefined ? '-' : `${ratio.toFixed(2)}x`);
  const lines = rows.map((row) => [
    row.title,
    ...[rate(row.kvorum), rate(row.dynalite), times(row.ratio)],
    ...[ms('p50Ms', row.kvorum), ms('p50Ms', row.dynalite)],
    ...[ms('p99Ms', row.kvorum), ms('p99Ms', row.dynalite), times(row.p99Ratio)],
    row.bar ?? '-',
    row.passed === undefined ? '-' : row.passed ? 'pass' : 'FAIL',
  ]);
  const heading = [
    ...['measure', 'kvorum', 'dynalite', 'ratio', 'p50 kvorum', 'p50 dynalite'],
    ...['p99 kvorum', 'p99 dynalite', 'ratio', 'bar', 'verdict'],
  ];
  const table = `${formatTable([heading, ...lines], ALIGNS)}\n\n${formatCpu(rows)}`;
  if (profiled.length === 0) return table;
  const shares = profiled.map(({ measure, stages }) => [
    DYNAMO_MEASURES[measure].title,
    ...STAGES.map((stage) => stages[stage].toFixed(1)),
    STAGES.reduce((sum, stage) => sum + stages[stage], 0).toFixed(1),
  ]);
  const stageHeading = ['µs of CPU a request, one node', ...STAGES, 'all'];
  return `${table}\n\n${formatTable([stageHeading, ...shares], STAGE_ALIGNS)}`;
}
