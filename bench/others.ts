/** How much of the machine goes to processes that are none of a benchmark's: more than a little, and its figures say nothing. */
import { machineCpuSeconds, treeCpuSeconds } from './cpu.ts';
import { QUIET_ADVICE } from './spread.ts';

/** Up to which share of all processors a machine is quiet. */
export const QUIET_SHARE = 0.1;

/**
 * Counts, while loads run, what processes besides this one and those that it has started use of the processors. What swings from round to round shows in
 * the rounds; this is for what takes its share of all of them.
 */
export class OthersWatch {
  private othersSeconds = 0;
  private allSeconds = 0;

  /** Runs a load and counts its time. */
  async during<T>(load: () => Promise<T>): Promise<T> {
    const before = { ...machineCpuSeconds(), ownSeconds: treeCpuSeconds() };
    try {
      return await load();
    } finally {
      const { busySeconds, allSeconds } = machineCpuSeconds();
      this.othersSeconds += busySeconds - before.busySeconds - (treeCpuSeconds() - before.ownSeconds);
      this.allSeconds += allSeconds - before.allSeconds;
    }
  }

  /** From 0 to 1: of all processors, during all loads; 0 when there was none. */
  get share(): number {
    return this.allSeconds === 0 ? 0 : Math.max(0, this.othersSeconds / this.allSeconds);
  }

  get isQuiet(): boolean {
    return this.share <= QUIET_SHARE;
  }
}

/**
 * What a benchmark says of its machine in the end: how much others used, and how to get a quiet one where it was none.
 * @param isJudged no verdict was refused
 */
export function formatQuiet(share: number, isJudged: boolean): string {
  const used = `Others used ${(100 * share).toFixed(0)} % of the processors while it was measured.`;
  return share <= QUIET_SHARE && isJudged ? used : `${used}\n${QUIET_ADVICE}`;
}
