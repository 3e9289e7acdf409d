/** What went on while somebody waited: the steps of restarts, and moments at which the observer itself was late. */

/** More are not told one by one. */
const MAX_TOLD = 20;
/** The observer's own timer, and by how much it must be late to be noted. */
const LOOK_MS = 10;
const LATE_MS = 20;

/** One command that took long. */
export interface SlowWait {
  readonly what: string;
  readonly tookMs: number;
  /** Such as `node 2 stops +12 ms .. node 2 is down +40 ms; the observer was late by 25 ms`. */
  readonly during: string;
}

interface Step {
  readonly name: string;
  readonly fromMs: number;
}

/** See the top of the file. */
export class RestartTimeline {
  private readonly steps: Step[] = [];
  private readonly late: { readonly atMs: number; readonly lateMs: number }[] = [];
  private readonly waitsMs: number[] = [];
  private readonly slow: { readonly what: string; readonly fromMs: number; readonly toMs: number }[] = [];
  private readonly slowMs: number;
  private readonly timer: NodeJS.Timeout;

  /** @param slowMs waits from here on are told one by one */
  constructor(slowMs: number) {
    this.slowMs = slowMs;
    let dueMs = performance.now() + LOOK_MS;
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      if (nowMs - dueMs > LATE_MS) this.late.push({ atMs: nowMs, lateMs: nowMs - dueMs });
      dueMs = nowMs + LOOK_MS;
    }, LOOK_MS);
  }

  /** From now on this goes on. */
  begins(name: string): void {
    this.steps.push({ name, fromMs: performance.now() });
  }

  waited(what: string, fromMs: number, toMs: number): void {
    this.waitsMs.push(toMs - fromMs);
    if (toMs - fromMs >= this.slowMs) this.slow.push({ what, fromMs, toMs });
  }

  /** What was seen so far does not count. */
  forget(): void {
    this.waitsMs.length = 0;
    this.slow.length = 0;
  }

  end(): void {
    clearInterval(this.timer);
  }

  /** @returns the wait that so many of a hundred commands were within, milliseconds */
  percentileMs(percent: number): number {
    const sorted = this.waitsMs.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0;
  }

  get slowCount(): number {
    return this.slow.length;
  }

  /** The longest ones first. */
  slowest(): SlowWait[] {
    const sorted = this.slow.toSorted((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs));
    return sorted.slice(0, MAX_TOLD).map(({ what, fromMs, toMs }) => {
      const late = this.late.filter(({ atMs, lateMs }) => atMs > fromMs && atMs - lateMs < toMs);
      const sumMs = Math.round(late.reduce((sum, { lateMs }) => sum + lateMs, 0));
      const observer = sumMs === 0 ? '' : `; the observer was late by ${sumMs} ms`;
      return { what, tookMs: toMs - fromMs, during: `${this.at(fromMs)} .. ${this.at(toMs)}${observer}` };
    });
  }

  private at(ms: number): string {
    const step = this.steps.findLast(({ fromMs }) => fromMs <= ms);
    return step === undefined ? 'before' : `${step.name} +${Math.round(ms - step.fromMs)} ms`;
  }
}
