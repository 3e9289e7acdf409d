/** How a benchmark ends: its figures in a file, its tables and verdicts on the screen, its exit code. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { machine } from './machine.ts';
import { formatQuiet, type OthersWatch } from './others.ts';
import { formatVerdicts, type Verdict } from './spread.ts';

const RESULTS = fileURLToPath(new URL('./results', import.meta.url));

/** What a benchmark has found. */
export interface Findings {
  /** Of its file. */
  readonly name: string;
  /** What goes into the file, besides when and where it was measured. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly tables: readonly string[];
  /** Bars that are not in one of the tables. */
  readonly verdicts: readonly Verdict[];
  /** Bars that are. */
  readonly judged?: readonly (Pick<Verdict, 'passed' | 'isQuiet'> | undefined)[];
  readonly others: OthersWatch;
  /** Whole path of the file (default: in bench/results, by the time of day). */
  readonly file?: string | undefined;
}

/** Keeps and prints what was found. @returns the exit code: 1 when a bar was missed on a machine that was quiet */
export function conclude(findings: Findings, options: { readonly json?: boolean }): number {
  const { name, facts, tables, verdicts, judged = [], others } = findings;
  const at = new Date().toISOString();
  const { file = join(RESULTS, `${name}-${at.replaceAll(':', '-').slice(0, 19)}.json`) } = findings;
  const result = { at, machine: machine(), othersShare: others.share, ...facts };
  const shown = JSON.stringify(result, (_, value) => (value instanceof Map ? Object.fromEntries(value) : value), 2);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, `${shown}\n`);
  const bars = [...verdicts, ...judged.flatMap((bar) => bar ?? [])];
  if (options.json === true) console.log(shown);
  else {
    const isJudged = bars.every(({ passed, isQuiet }) => passed === undefined || isQuiet);
    const parts = [...tables, formatVerdicts(verdicts), formatQuiet(others.share, isJudged), `Written to ${file}`];
    console.log(`\n${parts.filter((part) => part !== '').join('\n\n')}`);
  }
  return bars.some(({ passed, isQuiet }) => passed === false && isQuiet) ? 1 : 0;
}
