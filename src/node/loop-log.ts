/** The watch over a node's event loop, as its settings ask for it, and what it says in the log. */
import {
  type Clock,
  type HeldTurn,
  LoopWatch,
  type LoopWatchMode,
  type Millis,
  type Scheduler,
} from '../platform/index.ts';

/** Turns that are logged: one in so much time, which says how many were not, and those that took so much longer than it. */
const LOG_EVERY_MS: Millis = 1_000;
const LONGER = 1.25;

interface LoopLogger {
  warn(fields: object, message: string): void;
}

export interface LoopWatchSettings {
  readonly mode: LoopWatchMode;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: LoopLogger;
}

/** Logs turns that took long. */
class LoopLog {
  private readonly logger: LoopLogger;
  private readonly clock: Clock;
  private loggedMs: Millis = Number.NEGATIVE_INFINITY;
  /** What the turn took that was logged. */
  private tookMs: Millis = 0;
  private left = 0;

  constructor(logger: LoopLogger, clock: Clock) {
    this.logger = logger;
    this.clock = clock;
  }

  tell({ heldMs, processorMs, name, work }: HeldTurn, place: string | undefined): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - this.loggedMs < LOG_EVERY_MS && processorMs < this.tookMs * LONGER) {
      this.left++;
      return;
    }
    const fields = {
      heldMs: Math.round(heldMs),
      processorMs: Math.round(processorMs),
      work: work.map(({ name, tookMs }) => `${name} ${tookMs.toFixed(1)} ms`).join(', '),
      ...(place === undefined ? {} : { place }),
      ...(this.left === 0 ? {} : { others: this.left }),
    };
    this.loggedMs = nowMs;
    this.tookMs = processorMs;
    this.left = 0;
    this.logger.warn(fields, `one turn took ${fields.processorMs} ms of processor time: ${name}`);
  }
}

/** Starts the watch. @returns undefined when nobody is to watch */
export async function openLoopWatch({
  mode,
  clock,
  scheduler,
  logger,
}: LoopWatchSettings): Promise<LoopWatch | undefined> {
  if (mode === 'off') return undefined;
  // Only programs that were built with the inspector have it.
  const sampler = mode === 'stacks' ? new (await import('./stack-samples.ts')).InspectorSampler(scheduler) : undefined;
  const log = new LoopLog(logger, clock);
  const watch = new LoopWatch({ clock, scheduler, sampler, onHeld: (held, place) => log.tell(held, place) });
  watch.start();
  return watch;
}
