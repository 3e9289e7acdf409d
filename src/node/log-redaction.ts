/** What may be logged of things that carry keys or values of users beside what an operator needs. */
import { type BalanceReport, durationText, offsetText } from '../cluster/index.ts';
import type { NodeClockStatus } from '../kv/index.ts';
import { type Clock, dispositionOf, KvorumError, type Millis } from '../platform/index.ts';

/** Of an error its type, code, message and stack; facts beside them may be keys. */
export function shownError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = error instanceof KvorumError ? { code: error.code } : {};
  return { type: error.name, ...code, message: error.message, stack: error.stack };
}

/** Of what balancing does its kind and its numbers: ids of ranges, groups and nodes. Its own words name the keys of cuts. */
export function shownBalance({ duty, event, action }: BalanceReport): object {
  const numbers = Object.entries(action ?? {}).filter(([, value]) => typeof value === 'number');
  return {
    rule: duty,
    event,
    ...(action === undefined ? {} : { action: action.kind }),
    ...Object.fromEntries(numbers),
  };
}

/** The part of a pino logger that background work needs. */
export interface BackgroundLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** What fails again and again says so this often. */
const REPEAT_MS: Millis = 10_000;

/**
 * The log of what fails in the background and is tried again. While a group has no leader the same thing fails every second in
 * many places: the first is told at once, the others as a number. What only has to wait for somebody is no warning.
 */
export class BackgroundLog {
  private readonly logger: BackgroundLogger;
  private readonly clock: Pick<Clock, 'monotonicMs'>;
  /** By code: when it was told last, and how often it happened since. There are as many as there are codes. */
  private readonly told = new Map<string, { atMs: Millis; since: number }>();

  constructor(logger: BackgroundLogger, clock: Pick<Clock, 'monotonicMs'>) {
    this.logger = logger;
    this.clock = clock;
  }

  /** Something failed and will be tried again. */
  readonly failed = (error: unknown): void => {
    const nowMs = this.clock.monotonicMs();
    const code = error instanceof KvorumError ? error.code : error instanceof Error ? error.name : 'UNKNOWN';
    const before = this.told.get(code);
    if (before !== undefined && nowMs - before.atMs < REPEAT_MS) {
      before.since++;
      return;
    }
    this.told.set(code, { atMs: nowMs, since: 0 });
    const disposition = dispositionOf(error);
    const isPassing = disposition === 'wait' || disposition === 'redirect';
    const repeated = before === undefined || before.since === 0 ? {} : { repeated: before.since };
    this.logger[isPassing ? 'info' : 'warn'](
      { err: error, ...repeated },
      'background work failed and will be tried again',
    );
  };
}

/** A clock that goes to and fro says so this often. */
const CLOCK_REPEAT_MS: Millis = 60_000;

/** The log of a node's clock: that it is off those of the others, and that it is right again. */
export class ClockLog {
  private readonly logger: BackgroundLogger;
  private readonly clock: Pick<Clock, 'monotonicMs'>;
  private toldMs: Millis | undefined;
  private isOpen = false;
  private repeated = 0;

  constructor(logger: BackgroundLogger, clock: Pick<Clock, 'monotonicMs'>) {
    this.logger = logger;
    this.clock = clock;
  }

  /** What the clock has become. */
  readonly changed = ({ offsetMs, errorMs, isOff, peers }: NodeClockStatus): void => {
    const nowMs = this.clock.monotonicMs();
    const facts = { offsetMs, errorMs, peers: peers.length };
    if (!isOff) {
      if (this.isOpen) this.logger.info(facts, 'the clock of this node is right again');
      this.isOpen = false;
    } else if (this.toldMs !== undefined && nowMs - this.toldMs < CLOCK_REPEAT_MS) this.repeated++;
    else {
      const how = offsetText({ clockOffsetMs: offsetMs, clockErrorMs: errorMs });
      const others = peers.length === 0 ? 'of what it was' : 'of the others, who shall lead';
      const repeated = this.repeated === 0 ? {} : { repeated: this.repeated };
      this.logger.warn({ ...facts, ...repeated }, `the clock of this node is ${how} ${others}; set it with NTP`);
      this.toldMs = nowMs;
      this.isOpen = true;
      this.repeated = 0;
    }
  };
}

/** Nobody remembers for longer when he stopped a node. */
const LONG_AGO_MS: Millis = 3_600_000;
/** More than a window, changes of leaders and clocks add up to. */
const AHEAD_MS: Millis = 5_000;

/**
 * What is odd about the clock at a start, from the newest timestamp in the data; undefined when nothing is.
 * @param newestMs unix milliseconds, 0 without data
 */
export function clockRemark(newestMs: Millis, nowMs: Millis): string | undefined {
  if (newestMs === 0) return undefined;
  if (newestMs - nowMs > AHEAD_MS) {
    return (
      `the clock of this node is ${durationText(newestMs - nowMs)} behind the newest data here: ` +
      'it was set back, or the data was written by clocks that were ahead'
    );
  }
  if (nowMs - newestMs <= LONG_AGO_MS) return undefined;
  return (
    `the newest data here is ${durationText(nowMs - newestMs)} old by the clock of this node; ` +
    'if it was not stopped or idle for so long, the clock is ahead'
  );
}
