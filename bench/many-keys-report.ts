/** From what `bench:many-keys` has measured to its tables and verdicts. Pure. */
import { type Align, formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { type CpuLine, formatCpu, type RoleTimes } from './role-cpu.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText, type Verdict } from './spread.ts';
import { sumOf } from './thread-cpu.ts';

/** This program, the release that it is held against, and one redis-server that syncs every write. */
export const BUILDS = ['now', '0.1.0', 'redis'] as const;
export type Build = (typeof BUILDS)[number];

export const LOADS = {
  set: { title: 'SET', pipeline: 1, operation: 'set', redisBar: 0.45, cpuBar: 0.5 },
  setPipelined: { title: 'SET, -P 16', pipeline: 16, operation: 'set', redisBar: 0.3, cpuBar: 0.5 },
  get: { title: 'GET', pipeline: 1, operation: 'get', redisBar: 0.9, cpuBar: undefined },
} as const;
export type Load = keyof typeof LOADS;

/** One load on one build in one round. */
export interface LoadSample {
  readonly build: Build;
  readonly load: Load;
  readonly perSecond: number;
  readonly cpu: RoleTimes;
}

/** The first load of a million keys, and SET while LevelDB sorts them. */
export interface PipeSample {
  readonly build: Build;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ManyKeysSamples {
  readonly loads: readonly LoadSample[];
  readonly pipes: readonly PipeSample[];
  /** Nobody else used the machine; processor time is judged all the same. */
  readonly isQuiet: boolean;
}

const PIPE_BAR = 0.5;
const TAIL_BAR = 10;

/** A ratio of medians held against a bar. */
function verdict(
  text: string,
  mine: readonly number[],
  theirs: readonly number[],
  isQuiet: boolean,
  passes: (ratio: number) => boolean,
): Verdict {
  if (mine.length === 0 || theirs.length === 0) {
    return { text: `${text}: not measured`, passed: undefined, isQuiet: true };
  }
  const ratio = median(mine) / median(theirs);
  return {
    text: `${text}: ${ratioText(ratiosOf(mine, theirs))}`,
    passed: passes(ratio),
    isQuiet: isQuiet && areQuiet(mine, theirs),
  };
}

/** All bars. */
export function verdictsOf({ loads, pipes, isQuiet }: ManyKeysSamples): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const [load, { title, redisBar, cpuBar }] of Object.entries(LOADS)) {
    const of = (build: Build): LoadSample[] => loads.filter((each) => each.load === load && each.build === build);
    const rates = (build: Build): number[] => of(build).map(({ perSecond }) => perSecond);
    const rateText = `${title} >= ${redisBar}x redis`;
    verdicts.push(verdict(rateText, rates('now'), rates('redis'), isQuiet, (ratio) => ratio >= redisBar));
    if (cpuBar === undefined) continue;
    for (const place of ['leader', 'follower'] as const) {
      const cpu = (build: Build): number[] =>
        of(build).flatMap(({ cpu: { [place]: times } }) => (times ? [sumOf(times)] : []));
      const text = `${title}, CPU of a ${place} <= ${cpuBar}x 0.1.0`;
      verdicts.push(verdict(text, cpu('now'), cpu('0.1.0'), true, (ratio) => ratio <= cpuBar));
    }
  }
  const seconds = (build: Build): number[] => pipes.filter((each) => each.build === build).map((each) => each.seconds);
  const pipeText = `a million keys by redis-cli --pipe, time <= ${PIPE_BAR}x 0.1.0`;
  verdicts.push(verdict(pipeText, seconds('now'), seconds('0.1.0'), isQuiet, (ratio) => ratio <= PIPE_BAR));
  const mine = pipes.filter(({ build }) => build === 'now');
  const [p99, p50] = [mine.map(({ p99Ms }) => p99Ms), mine.map(({ p50Ms }) => p50Ms)];
  verdicts.push(
    verdict(`SET beside compaction, p99 <= ${TAIL_BAR} p50`, p99, p50, isQuiet, (ratio) => ratio <= TAIL_BAR),
  );
  return verdicts;
}

const NUMBERS: readonly Align[] = ['left', 'left', ...new Array<Align>(20).fill('right')];

/** Rates, CPU a command by thread, and the million keys. */
export function formatManyKeys(samples: ManyKeysSamples): string {
  const { loads, pipes } = samples;
  const rates: string[][] = [['load', 'build', 'a second: min / median / max']];
  const costs: CpuLine[] = [];
  for (const [load, { title }] of Object.entries(LOADS)) {
    for (const build of BUILDS) {
      const own = loads.filter((each) => each.load === load && each.build === build);
      if (own.length === 0) continue;
      rates.push([
        title,
        build,
        rangeOf(
          own.map(({ perSecond }) => perSecond),
          formatCount,
        ),
      ]);
      costs.push({ load: title, system: build, rounds: own.map(({ cpu }) => cpu) });
    }
  }
  const pipeRows: string[][] = [['build', 'a million keys, s: min / median / max', 'SET then: p50', 'p99']];
  for (const build of BUILDS) {
    const own = pipes.filter((each) => each.build === build);
    if (own.length === 0) continue;
    const [p50, p99] = [median(own.map(({ p50Ms }) => p50Ms)), median(own.map(({ p99Ms }) => p99Ms))];
    pipeRows.push([
      build,
      rangeOf(
        own.map(({ seconds }) => seconds),
        (value) => value.toFixed(1),
      ),
      formatMs(p50),
      formatMs(p99),
    ]);
  }
  return [
    formatTable(rates, NUMBERS),
    formatCpu(costs),
    formatTable(pipeRows, ['left', 'right', 'right', 'right']),
  ].join('\n\n');
}
