#!/usr/bin/env node
/** The command line of the fault tests. Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness is in trouble. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { archivedRun, liveRun, partitionedRuns } from './event-source.ts';
import { type CheckResult, type Op, type Verdict, worstVerdict } from './history.ts';
import { mutants } from './mutants/index.ts';
import type { Mutant, Mutation } from './mutants/types.ts';
import { nemeses, nemesisFamilies, resolveNemeses } from './nemeses/index.ts';
import { reportHtml } from './report.ts';
import { type FinishedRun, runTest } from './runner.ts';
import { fullSuite, partOf, quickSuite, type SuiteEntry } from './suite.ts';
import { ISOLATIONS, type IsolationName, type RunOptions } from './types.ts';
import { watchRuns } from './watch.ts';
import { makeWorkload, workloads } from './workloads/index.ts';

const EXIT = { valid: 0, invalid: 1, unknown: 2, trouble: 3 } as const;
const DEFAULT_ARCHIVE = 'jepsen/runs';

const exitCodeOf = (verdict: Verdict): number =>
  verdict === true ? EXIT.valid : verdict === false ? EXIT.invalid : EXIT.unknown;
const word = (verdict: Verdict): string => (verdict === true ? 'valid' : verdict === false ? 'INVALID' : 'unknown');

interface CommonFlags {
  readonly archive: string;
  readonly seed: string;
  readonly nodes: string;
  readonly concurrency: string;
  readonly rate: string;
  readonly isolation: IsolationName;
  readonly groups?: string;
}

interface RunFlags extends CommonFlags {
  readonly workload: string;
  readonly nemesis: string;
  readonly time: string;
  readonly faultSeconds?: string;
  readonly overlap: string;
}

function optionsFrom(flags: CommonFlags, entry: SuiteEntry, mutant?: string): RunOptions {
  return {
    workload: entry.workload,
    nemeses: entry.nemeses,
    seconds: entry.seconds,
    seed: Number(flags.seed),
    nodes: entry.nodes ?? Number(flags.nodes),
    concurrency: entry.concurrency ?? Number(flags.concurrency),
    rate: entry.rate ?? Number(flags.rate),
    faultSeconds: entry.faultSeconds,
    overlap: entry.overlap ?? 1,
    mutant,
    groups: flags.groups === undefined ? (entry.groups ?? 0) : Number(flags.groups),
    isolation: flags.isolation,
    archive: resolve(flags.archive),
  };
}

async function runEntry(
  options: RunOptions,
  cancel: AbortSignal,
  mutations: readonly Mutation[] = [],
): Promise<FinishedRun> {
  return runTest(
    {
      options,
      workload: makeWorkload(options.workload, options.nemeses),
      nemeses: resolveNemeses(options.nemeses),
      mutations,
    },
    cancel,
  );
}

function summary({ archive, result, held }: FinishedRun): string {
  const lines = [...result.problems, ...held].slice(0, 10).map((line) => `\n    ${line}`);
  return `${word(result.valid).padEnd(8)} ${archive.runId}${lines.join('')}`;
}

interface SuiteFlags extends CommonFlags {
  readonly full?: boolean;
  readonly part: string;
  readonly jobs: string;
}

async function runSuite(entries: readonly SuiteEntry[], flags: SuiteFlags, cancel: AbortSignal): Promise<Verdict> {
  const verdicts: Verdict[] = [];
  const left = entries.values();
  const runInTurn = async (): Promise<void> => {
    for (const entry of left) {
      if (cancel.aborted) return;
      const finished = await runEntry(optionsFrom(flags, entry), cancel);
      verdicts.push(finished.result.valid);
      console.log(summary(finished));
    }
  };
  await Promise.all(Array.from({ length: Number(flags.jobs) }, runInTurn));
  console.log(`${verdicts.filter((verdict) => verdict === true).length} of ${verdicts.length} valid`);
  return worstVerdict(verdicts);
}

/** A run of real processes may miss the moment that a mutant needs; so many runs in a row may not. */
const MUTANT_SEEDS = 3;
/** Of the seeds that are asked for, those that must notice. */
const NOTICED_SHARE = 0.8;

interface MutantFlags extends CommonFlags {
  readonly seeds?: string;
  readonly delaysAlone?: boolean;
}

const seedsFrom = ({ seed }: CommonFlags, count: number): string[] =>
  Array.from({ length: count }, (_, at) => String(Number(seed) + at));

const chosenMutants = (names: readonly string[]): readonly Mutant[] =>
  names.length === 0 ? mutants : mutants.filter(({ name }) => names.includes(name));

/** Only an invalid history or a node that gives up counts: a mutant that merely cannot be judged was not caught. */
async function runMutant(
  mutant: Mutant,
  flags: CommonFlags,
  cancel: AbortSignal,
): Promise<{ readonly caught: boolean; readonly text: string }> {
  try {
    const mutations = [...(mutant.delays ?? []), ...mutant.mutations];
    const { result } = await runEntry(optionsFrom(flags, mutant, mutant.name), cancel, mutations);
    if (result.valid !== false)
      return { caught: false, text: `NOT CAUGHT by ${mutant.workload}: ${word(result.valid)}` };
    const [first] = result.problems;
    return { caught: true, text: `caught by ${mutant.workload}: ${first!.slice(0, 140)}` };
  } catch (error) {
    return { caught: false, text: `NOT JUDGED: ${(error as Error).message}` };
  }
}

async function runMutants(names: readonly string[], flags: MutantFlags, cancel: AbortSignal): Promise<Verdict> {
  const chosen = chosenMutants(names);
  const isCounted = flags.seeds !== undefined;
  const seeds = seedsFrom(flags, isCounted ? Number(flags.seeds) : MUTANT_SEEDS);
  let noticed = 0;
  for (const mutant of chosen) {
    let caught = 0;
    for (const seed of seeds) {
      if (cancel.aborted || (caught > 0 && !isCounted)) break;
      const said = await runMutant(mutant, { ...flags, seed }, cancel);
      if (said.caught) caught++;
      console.log(`${mutant.name.padEnd(20)} seed ${seed}: ${said.text}`);
    }
    if (cancel.aborted) break;
    if (isCounted) console.log(`${mutant.name.padEnd(20)} caught with ${caught} of ${seeds.length} seeds`);
    if (caught >= (isCounted ? NOTICED_SHARE * seeds.length : 1)) noticed++;
  }
  console.log(`${noticed} of ${chosen.length} mutants caught`);
  return noticed === chosen.length;
}

/** What mutants make slow, with every rule in place: nothing may come of it. */
async function runDelays(names: readonly string[], flags: MutantFlags, cancel: AbortSignal): Promise<Verdict> {
  const verdicts: Verdict[] = [];
  for (const mutant of chosenMutants(names)) {
    if (mutant.delays === undefined) continue;
    for (const seed of seedsFrom(flags, Number(flags.seeds ?? 1))) {
      if (cancel.aborted) break;
      const options = optionsFrom({ ...flags, seed }, mutant, `${mutant.name}-delays`);
      const finished = await runEntry(options, cancel, mutant.delays);
      verdicts.push(finished.result.valid);
      console.log(summary(finished));
    }
  }
  console.log(`${verdicts.filter((verdict) => verdict === true).length} of ${verdicts.length} valid`);
  return worstVerdict(verdicts);
}

function newestRun(archive: string): string {
  const runs = existsSync(archive) ? readdirSync(archive).sort() : [];
  const newest = runs.at(-1);
  if (newest === undefined) throw new Error(`no run in ${archive}; start one with: npm run jepsen -- run`);
  return join(archive, newest);
}

async function renderReport(folder: string): Promise<void> {
  const history: Op[] = [];
  for await (const { op } of archivedRun(folder).events()) history.push(op);
  const options = JSON.parse(readFileSync(join(folder, 'test.json'), 'utf8')) as RunOptions & { runId: string };
  const result = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as CheckResult;
  const path = join(folder, 'report.html');
  writeFileSync(path, reportHtml(options, options.runId, history, result));
  console.log(path);
}

const cancel = new AbortController();
process.once('SIGINT', () => cancel.abort());
process.once('SIGTERM', () => cancel.abort());

const program = new Command('jepsen').description(
  'Breaks a cluster of real processes on purpose and judges what its clients saw.',
);

const withCommonFlags = (command: Command): Command =>
  command
    .option('--archive <folder>', 'where runs are kept', DEFAULT_ARCHIVE)
    .option('--seed <number>', 'decides what clients do and what breaks', '1')
    .option('--nodes <count>', 'nodes of the cluster', '3')
    .option('--concurrency <count>', 'clients', '10')
    .option('--rate <ops>', 'operations per second over all clients', '200')
    .option(
      '--groups <count>',
      'data groups beside the catalog, 0 is one group for all keys (default: what the suite says)',
    )
    .addOption(
      new Option('--isolation <how>', 'how nodes are kept apart: fault proxies, or network namespaces (as root)')
        .choices(ISOLATIONS)
        .default('proxies'),
    );

withCommonFlags(program.command('run').description('one workload under some faults'))
  .requiredOption('--workload <name>', 'see list')
  .option('--nemesis <names>', 'faults or families of faults, separated by commas; see list', '')
  .option('--time <seconds>', 'how long', '60')
  .option('--fault-seconds <seconds>', 'how long each fault lasts (default: 1.5 to 5)')
  .option('--overlap <count>', 'faults in force at once', '1')
  .action(async (flags: RunFlags) => {
    const entry: SuiteEntry = {
      workload: flags.workload,
      nemeses: flags.nemesis.split(',').filter(Boolean),
      seconds: Number(flags.time),
      overlap: Number(flags.overlap),
      ...(flags.faultSeconds === undefined ? {} : { faultSeconds: Number(flags.faultSeconds) }),
    };
    const finished = await runEntry(optionsFrom(flags, entry), cancel.signal);
    console.log(summary(finished));
    console.log(join(finished.archive.folder, 'report.html'));
    process.exitCode = exitCodeOf(finished.result.valid);
  });

withCommonFlags(program.command('suite').description('many runs, one after another or side by side'))
  .option('--quick', 'every workload once, some minutes (the default)')
  .option('--full', 'every workload under every family of faults, for hours')
  .option('--part <k/n>', 'every n-th run of it, from the k-th on', '1/1')
  .option('--jobs <count>', 'runs side by side: most of their time is waiting', '1')
  .action(async (flags: SuiteFlags) => {
    const suite = partOf(flags.full ? fullSuite : quickSuite, flags.part);
    process.exitCode = exitCodeOf(await runSuite(suite, flags, cancel.signal));
  });

withCommonFlags(program.command('mutants').description('broken kvorums, each of which its workload must catch'))
  .argument('[names...]', 'only these')
  .option(
    '--seeds <count>',
    'runs of each, most of which must notice (default: three at most, until one has noticed; one of --delays-alone)',
  )
  .option('--delays-alone', 'what mutants make slow and nothing else, where they do: every run must be valid')
  .action(async (names: string[], flags: MutantFlags) => {
    const run = flags.delaysAlone === true ? runDelays : runMutants;
    process.exitCode = exitCodeOf(await run(names, flags, cancel.signal));
  });

program
  .command('list')
  .description('workloads, faults and mutants')
  .action(() => {
    const print = (title: string, rows: readonly { name: string; description: string }[]): void => {
      console.log(title);
      for (const { name, description } of rows) console.log(`  ${name.padEnd(26)} ${description}`);
    };
    print(
      'workloads',
      Object.values(workloads).map((make) => make([])),
    );
    print('faults', nemeses);
    print(
      'families of faults',
      Object.entries(nemesisFamilies).map(([name, members]) => ({ name, description: members.join(', ') })),
    );
    print('mutants', mutants);
  });

program
  .command('watch')
  .description('a live look at the newest run, at one run, or at all runs of a folder')
  .argument('[folder]', 'a run, or with --all a folder of runs')
  .option('--archive <folder>', 'where runs are kept', DEFAULT_ARCHIVE)
  .option('--all', 'every run in the folder at once')
  .action(async (folder: string | undefined, flags: { archive: string; all?: boolean }) => {
    const parent = resolve(flags.archive);
    if (flags.all) return watchRuns(partitionedRuns(folder ?? parent), folder ?? parent, process.stdout, cancel.signal);
    const run = folder === undefined ? newestRun(parent) : resolve(folder);
    return watchRuns(liveRun(run), join(run, '..'), process.stdout, cancel.signal);
  });

program
  .command('report')
  .description('renders the report page of the newest or of one run again')
  .argument('[folder]', 'a run')
  .option('--archive <folder>', 'where runs are kept', DEFAULT_ARCHIVE)
  .action((folder: string | undefined, flags: { archive: string }) =>
    renderReport(folder ?? newestRun(resolve(flags.archive))),
  );

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = EXIT.trouble;
}
