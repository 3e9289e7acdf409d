/** The figures that are kept beside docs/performance.md, and whether a machine was quiet enough for them to be kept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { QUIET_SHARE } from './others.ts';
import { MEASURES, type Measure, type Samples, type System } from './report.ts';
import type { RoleTimes } from './role-cpu.ts';
import { QUIET_SPREAD, spreadOf } from './spread.ts';

/** What both have. */
interface Kept {
  readonly at: string;
  readonly machine: { readonly processors?: number; readonly cpu?: string };
  readonly rounds: number;
  readonly secondsPerLoad: number;
  /** Share of the processors that others used. */
  readonly othersShare: number;
}

/** What `npm run bench` keeps. */
export interface BenchFile extends Kept {
  /** What a sync of the disk takes, ms. */
  readonly syncMs: number;
  readonly rows: readonly { readonly measure: Measure; readonly samples: NonNullable<Samples[Measure]> }[];
  readonly cpu: readonly {
    readonly measure: Measure;
    readonly system: System;
    readonly rounds: readonly RoleTimes[];
  }[];
}

/** What `npm run bench:curves` keeps, as far as it is looked at. */
export type CurvesFile = Kept;

export const BENCH_FILE = 'bench.json';
export const CURVES_FILE = 'curves.json';

/** @throws the system's error when it is not there */
export const readBench = (folder: string): BenchFile => JSON.parse(readFileSync(join(folder, BENCH_FILE), 'utf8'));

/** @throws the system's error when it is not there */
export const readCurves = (folder: string): CurvesFile => JSON.parse(readFileSync(join(folder, CURVES_FILE), 'utf8'));

/**
 * Some loads swing by themselves, such as those beside a compaction. When more than this share of the table's does, it is the machine. Points of the
 * pictures are short loads, whose rounds the pictures show.
 */
const SWINGING_SHARE = 1 / 3;

/** Why these figures are not to be kept; none when they may be. */
export function doubtsOf(bench: BenchFile, curves: CurvesFile): string[] {
  const doubts: string[] = [];
  for (const [name, { othersShare, rounds }] of [['bench', bench] as const, ['bench:curves', curves] as const]) {
    if (othersShare > QUIET_SHARE)
      doubts.push(`others used ${(100 * othersShare).toFixed(0)} % of the processors during ${name}`);
    if (rounds < 2) doubts.push(`${name} had a single round, which shows nothing of how far rounds lie apart`);
  }
  const rates = bench.rows.flatMap(({ measure, samples }) =>
    MEASURES[measure].unit === 'ms'
      ? []
      : Object.entries(samples).map(([system, values]) => ({ name: `${system}, ${MEASURES[measure].title}`, values })),
  );
  const swinging = rates.filter(({ values }) => spreadOf(values) > QUIET_SPREAD);
  if (swinging.length > SWINGING_SHARE * rates.length) {
    const names = swinging.map(({ name, values }) => `  ${spreadOf(values).toFixed(2)}x  ${name}`).join('\n');
    doubts.push(
      `${swinging.length} of ${rates.length} rates have rounds that differ by more than ${QUIET_SPREAD}x:\n${names}`,
    );
  }
  return doubts;
}
