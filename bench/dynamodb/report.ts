/** From samples of `bench:dynamodb` to rows, verdicts and tables. Pure: what was measured goes in, text and plain data come out. */
import { type Align, formatCount, formatMs, formatTable } from '../../cmd/cli/table.ts';
import { median } from '../spread.ts';
import type { ProfiledMeasure } from './profiled-node.ts';
import { STAGES } from './stages.ts';
import { DYNAMO_MEASURES, type DynamoMeasure } from './ycsb.ts';

export type DynamoSystem = 'kvorum' | 'dynalite';

/** One load of one round. */
export interface DynamoSample {
  readonly measure: DynamoMeasure;
  readonly system: DynamoSystem;
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

const ALIGNS: readonly Align[] = ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'left', 'left'];
const STAGE_ALIGNS: readonly Align[] = ['left', ...STAGES.map((): Align => 'right'), 'right'];

/** Two tables: the systems beside each other, and where the time of a request goes. */
export function formatDynamo(rows: readonly DynamoRow[], profiled: readonly ProfiledMeasure[]): string {
  const rate = (figures: DynamoFigures | undefined): string =>
    figures === undefined ? '-' : `${formatCount(figures.perSecond)}/s`;
  const p99 = (figures: DynamoFigures | undefined): string => (figures === undefined ? '-' : formatMs(figures.p99Ms));
  const times = (ratio: number | undefined): string => (ratio === undefined ? '-' : `${ratio.toFixed(2)}x`);
  const lines = rows.map((row) => [
    row.title,
    ...[rate(row.kvorum), rate(row.dynalite), times(row.ratio)],
    ...[p99(row.kvorum), p99(row.dynalite), times(row.p99Ratio)],
    row.bar ?? '-',
    row.passed === undefined ? '-' : row.passed ? 'pass' : 'FAIL',
  ]);
  const heading = ['measure', 'kvorum', 'dynalite', 'ratio', 'p99 kvorum', 'p99 dynalite', 'ratio', 'bar', 'verdict'];
  const table = formatTable([heading, ...lines], ALIGNS);
  if (profiled.length === 0) return table;
  const shares = profiled.map(({ measure, stages }) => [
    DYNAMO_MEASURES[measure].title,
    ...STAGES.map((stage) => stages[stage].toFixed(1)),
    STAGES.reduce((sum, stage) => sum + stages[stage], 0).toFixed(1),
  ]);
  const stageHeading = ['µs of CPU a request, one node', ...STAGES, 'all'];
  return `${table}\n\n${formatTable([stageHeading, ...shares], STAGE_ALIGNS)}`;
}
