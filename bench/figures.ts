/**
 * `npm run bench:figures`: the figures and pictures of docs/performance.md and of README.md anew, in at most 17 minutes: `bench` and `bench:curves`, one
 * after the other, and then the pages from what they found. Figures of a machine that others use are not written; they stay in bench/results/figures.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BENCH_FILE, CURVES_FILE, doubtsOf, readBench, readCurves } from './kept-figures.ts';
import { type BenchmarkOptions, benchmark } from './options.ts';
import { OthersWatch } from './others.ts';
import { writePages } from './performance-page.ts';
import { isInstalled } from './scratch.ts';
import { QUIET_ADVICE } from './spread.ts';

interface Options extends BenchmarkOptions {
  readonly to?: string;
}

const NEEDED = ['redis-server', 'redis-benchmark', 'etcd'] as const;
const MEASURED = fileURLToPath(new URL('./results/figures', import.meta.url));
const PAGE_FOLDER = fileURLToPath(new URL('../docs/performance', import.meta.url));
/** Before anything is started: a machine that is busy already need not be measured. */
const LOOK_MS = 5_000;
/** `bench` takes seven minutes, and begins no round that would not end within eight; `bench:curves` takes seven. */
const PARTS = [
  { script: 'main.ts', file: BENCH_FILE, args: ['--rounds', '3', '--seconds', '3', '--minutes', '8'] },
  { script: 'curves.ts', file: CURVES_FILE, args: ['--rounds', '3', '--seconds', '1'] },
] as const;

/** @returns why nothing was written; undefined when it was */
async function figures(options: Options): Promise<string | undefined> {
  for (const program of NEEDED) if (!(await isInstalled(program))) return `${program} is not installed (see .ci/run)`;
  const startMs = performance.now();
  const others = new OthersWatch();
  await others.during(() => delay(LOOK_MS));
  if (!others.isQuiet && options.quick !== true)
    return `others use ${(100 * others.share).toFixed(0)} % of the processors now\n${QUIET_ADVICE}`;
  rmSync(MEASURED, { recursive: true, force: true });
  const more = [
    ...(options.quick === true ? ['--quick'] : []),
    ...(options.folder === undefined ? [] : ['--folder', options.folder]),
  ];
  for (const { script, file, args } of PARTS) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    const { status, signal } = spawnSync(process.execPath, [path, ...args, '--to', MEASURED, ...more], {
      stdio: 'inherit',
    });
    // A bar that is missed makes the exit code 1; figures are there all the same.
    if (signal !== null || !existsSync(join(MEASURED, file)))
      return `bench/${script} ended with ${signal ?? status} before it had figures`;
  }
  const doubts = doubtsOf(readBench(MEASURED), readCurves(MEASURED));
  if (doubts.length > 0 && options.quick !== true)
    return `the machine was not quiet:\n${doubts.map((doubt) => `- ${doubt}`).join('\n')}\n${QUIET_ADVICE}\nWhat was found is in ${MEASURED}.`;
  const folder = options.to ?? PAGE_FOLDER;
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(MEASURED)) copyFileSync(join(MEASURED, name), join(folder, name));
  const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
  console.log(`\nFigures and pictures written to ${folder}, after ${minutes} minutes`);
  if (folder === PAGE_FOLDER) writePages();
  return undefined;
}

const program = benchmark({
  script: 'bench:figures',
  says: 'Measures the figures and pictures of docs/performance.md and README.md anew, on a quiet machine, in at most 17 minutes.',
  peers: 'one redis-server that syncs every write, and an etcd cluster of three.',
  quick: 'one short round of few points, whatever the machine does; needs --to',
}).option('--to <folder>', 'where they go (default: docs/performance, and into the pages)');
program.parse();
const options = program.opts<Options>();
if (options.quick === true && options.to === undefined)
  program.error('error: --quick needs --to: what it finds is no figure');
const refusal = await figures(options);
if (refusal !== undefined) console.error(`\nNOT WRITTEN: ${refusal}`);
process.exit(refusal === undefined ? 0 : 1);
