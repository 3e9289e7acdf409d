/**
 * Finds what holds the event loop. While a turn lasts nothing is heard and nothing is sent, so a long one costs a leader its groups.
 *
 * A timer is due every few milliseconds. Timers run once a turn, so one that is late says that a turn took at least so long. How much processor time the
 * thread has taken since the timer before says what of it was work, and not waiting for a busy machine. What the work was is noted by those who
 * do it (`did`), read from what they count anyway (`WorkSource`), and looked up by a `StackSampler` where there is one.
 */
import type { Clock } from './clock.ts';
import type { Cancel, Scheduler } from './scheduler.ts';
import type { Millis } from './types.ts';

/** Between timers: what a turn took is known to so much. */
const PERIOD_MS: Millis = 10;
/** A turn that takes longer is told: a good deal below the times after which others stop waiting. */
const HELD_MS: Millis = 50;
/** Kinds of work that are told of one turn. */
const MOST_TOLD = 4;
/** Whatever took so much of a turn gives it its name. */
const NAMING_SHARE = 0.25;
/** What a turn is called that nothing gives its name. */
const UNNAMED = 'other';
/** Names that are counted apart; there are as many as commands, and some parts of the program. */
const MOST_NAMES = 512;

/** `off`: nobody watches; `on`: turns that take long are told, with what was done; `stacks`: and with the functions that did it. */
export const LOOP_WATCH_MODES = ['off', 'on', 'stacks'] as const;
export type LoopWatchMode = (typeof LOOP_WATCH_MODES)[number];

/** Whoever hears what is done in a turn. */
export interface WorkNotes {
  /** @param name one of few: never what users choose */
  did(name: string, tookMs: Millis): void;
}

/** What one kind of work took in a turn. */
export interface DoneWork {
  readonly name: string;
  readonly tookMs: Millis;
}

/** Whoever counts its own time anyway. */
export interface WorkSource {
  readonly name: string;
  /** Since some moment. */
  takenMs(): Millis;
}

/** One turn that took long. */
export interface HeldTurn {
  /** From when the timer was set to when it fired. */
  readonly heldMs: Millis;
  /** What the thread has worked meanwhile. */
  readonly processorMs: Millis;
  /** What took the most of it. */
  readonly name: string;
  /** The longest first. */
  readonly work: readonly DoneWork[];
}

/** Turns that took long for the same reason. */
export interface HeldCounter {
  turns: number;
  processorMs: Millis;
  longestMs: Millis;
}

/** Looks where a program is, often, and tells of the recent past. */
export interface StackSampler {
  /** @param done gets the functions in which the thread was for most of the last milliseconds; undefined when nobody knows */
  where(lastMs: Millis, done: (place: string | undefined) => void): void;
  stop(): void;
}

export interface LoopWatchOptions {
  readonly clock: Clock;
  readonly scheduler: Pick<Scheduler, 'after'>;
  /** @param place functions in which it was spent, when there is a sampler that knows */
  readonly onHeld?: (held: HeldTurn, place: string | undefined) => void;
  readonly sampler?: StackSampler | undefined;
}

/** See the top of the file. */
export class LoopWatch implements WorkNotes {
  /** By name. */
  readonly held = new Map<string, HeldCounter>();
  private readonly options: LoopWatchOptions;
  private readonly sources: { readonly source: WorkSource; beforeMs: Millis }[] = [];
  /** What was done since the timer was set. */
  private readonly done = new Map<string, Millis>();
  private setAtMs: Millis = 0;
  private processorAtMs: Millis = 0;
  private cancel: Cancel | undefined;

  constructor(options: LoopWatchOptions) {
    this.options = options;
  }

  start(): void {
    this.set();
  }

  stop(): void {
    this.cancel?.();
    this.options.sampler?.stop();
  }

  /** Has what somebody counts read whenever a turn ends. */
  follow(source: WorkSource): void {
    this.sources.push({ source, beforeMs: source.takenMs() });
  }

  did(name: string, tookMs: Millis): void {
    this.done.set(name, (this.done.get(name) ?? 0) + tookMs);
  }

  private set(): void {
    const { clock, scheduler } = this.options;
    this.done.clear();
    for (const followed of this.sources) followed.beforeMs = followed.source.takenMs();
    this.setAtMs = clock.monotonicMs();
    this.processorAtMs = clock.processorMs?.() ?? this.setAtMs;
    this.cancel = scheduler.after(PERIOD_MS, () => this.look());
  }

  private look(): void {
    const { clock, onHeld, sampler } = this.options;
    const nowMs = clock.monotonicMs();
    const heldMs = nowMs - this.setAtMs;
    const processorMs = (clock.processorMs?.() ?? nowMs) - this.processorAtMs;
    if (Math.min(processorMs, heldMs - PERIOD_MS) >= HELD_MS) {
      const held = this.turn(heldMs, processorMs);
      this.count(held);
      if (sampler === undefined) onHeld?.(held, undefined);
      else sampler.where(heldMs, (place) => onHeld?.(held, place));
    }
    // What was told has taken time too.
    this.set();
  }

  private turn(heldMs: Millis, processorMs: Millis): HeldTurn {
    const work: DoneWork[] = [...this.done].map(([name, tookMs]) => ({ name, tookMs }));
    for (const { source, beforeMs } of this.sources) {
      const tookMs = source.takenMs() - beforeMs;
      if (tookMs > 0) work.push({ name: source.name, tookMs });
    }
    work.sort((left, right) => right.tookMs - left.tookMs);
    const [longest] = work;
    const isNamed = longest !== undefined && longest.tookMs >= heldMs * NAMING_SHARE;
    return { heldMs, processorMs, name: isNamed ? longest.name : UNNAMED, work: work.slice(0, MOST_TOLD) };
  }

  private count({ name, processorMs }: HeldTurn): void {
    const counted = this.held.size < MOST_NAMES || this.held.has(name) ? name : UNNAMED;
    let counter = this.held.get(counted);
    if (counter === undefined) {
      counter = { turns: 0, processorMs: 0, longestMs: 0 };
      this.held.set(counted, counter);
    }
    counter.turns++;
    counter.processorMs += processorMs;
    counter.longestMs = Math.max(counter.longestMs, processorMs);
  }
}
