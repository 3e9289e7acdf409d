/** What may be logged of things that carry keys or values of users beside what an operator needs. */
import type { BalanceReport } from './kv/index.ts';
import { type Clock, KvorumError, type Millis } from './platform/index.ts';

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
    const isPassing =
      error instanceof KvorumError && (error.disposition === 'wait' || error.disposition === 'redirect');
    const repeated = before === undefined || before.since === 0 ? {} : { repeated: before.since };
    this.logger[isPassing ? 'info' : 'warn'](
      { err: error, ...repeated },
      'background work failed and will be tried again',
    );
  };
}
