/**
 * How far the rounds of one figure lie apart, and what that says: beyond a quarter the machine was busy with something else, and a bar that is
 * held against such figures is met or missed by chance. Pure.
 */

/** Largest over smallest round, up to which a figure is judged. */
export const QUIET_SPREAD = 1.25;

/** What to do about a figure that is not judged. */
export const QUIET_ADVICE = [
  `Not judged is what has rounds that differ by more than ${QUIET_SPREAD}x, or was measured while others used a tenth of the processors: the machine is not quiet.`,
  'Stop what else runs (look with `top`), let its disk come to rest (`iostat 1`), fix its clock rate (`cpupower frequency-set -g performance`), and measure',
  'more rounds where there are any: --rounds 7.',
].join('\n');

/** Largest over smallest; 1 of a single round, which says nothing. */
export const spreadOf = (values: readonly number[]): number =>
  values.length === 0 ? 1 : Math.max(...values) / Math.min(...values);

/** True when bars may be held against these figures. */
export const areQuiet = (...figures: readonly (readonly number[] | undefined)[]): boolean =>
  figures.every((values) => values === undefined || spreadOf(values) <= QUIET_SPREAD);

/** Middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `smallest / median / largest`, or the value alone where all rounds show as the same. */
export function rangeOf(values: readonly number[], shown: (value: number) => string): string {
  if (values.length === 0) return '-';
  const texts = [Math.min(...values), median(values), Math.max(...values)].map(shown);
  return texts[0] === texts[2] ? texts[1]! : texts.join(' / ');
}

/** `pass`, `FAIL`, `not judged` where the machine was not quiet, `-` where there is nothing to judge. */
export function verdictOf(passed: boolean | undefined, isQuiet = true): string {
  if (passed === undefined) return '-';
  if (!isQuiet) return 'not judged';
  return passed ? 'pass' : 'FAIL';
}

/** A bar, and how it was met. */
export interface Verdict {
  readonly text: string;
  /** Undefined when what it needs was not measured. */
  readonly passed: boolean | undefined;
  /** False: what it needs was measured on a machine that was busy with something else. */
  readonly isQuiet: boolean;
}

/** A line each. */
export const formatVerdicts = (verdicts: readonly Verdict[]): string =>
  verdicts.map(({ text, passed, isQuiet }) => `${verdictOf(passed, isQuiet).padEnd(10)}  ${text}`).join('\n');

/** Ours over theirs, of each round that has both. */
export const ratiosOf = (ours: readonly number[] = [], theirs: readonly number[] = []): number[] =>
  ours.slice(0, theirs.length).map((value, round) => value / theirs[round]!);

/** `0.35 / 0.38 / 0.41x`, `-` of none. */
export const ratioText = (ratios: readonly number[]): string =>
  ratios.length === 0 ? '-' : `${rangeOf(ratios, (ratio) => ratio.toFixed(2))}x`;
