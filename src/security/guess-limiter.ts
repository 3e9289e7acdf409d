/**
 * Slows those who guess passwords, by the address they come from. A few mistakes cost nothing; beyond them every further try
 * from that address, right or wrong, waits for its turn, so that the time of an answer still says nothing, and many
 * connections are no faster than one.
 */
import { type Clock, type Millis, type Scheduler, sleep } from '../platform/index.ts';
import type { SecurityLogger } from './file-refresher.ts';

/** Wrong passwords in a row that an address may give without waiting. */
const FREE_MISTAKES = 10;
/** A mistake is forgotten after this. */
const FORGET_ONE_MS: Millis = 10_000;
/** Mistakes that are remembered of one address. */
const MOST_MISTAKES = 60;
/** Between two tries of an address that has made too many. */
const TRY_EVERY_MS: Millis = 100;
/** A try that would wait longer is refused. */
const LONGEST_WAIT_MS: Millis = 5_000;
/** Addresses that are remembered; beyond it the one that was quiet longest is forgotten. */
const MAX_ADDRESSES = 10_000;
/** Between two warnings about one address. */
const WARN_EVERY_MS: Millis = 60_000;

interface Guesser {
  /** Mistakes, less those that were forgotten by `countedMs`. */
  mistakes: number;
  countedMs: Millis;
  /** When the next try may be looked at. */
  nextTryMs: Millis;
  /** Mistakes since the last warning, and when that was. */
  unreported: number;
  warnedMs: Millis | undefined;
}

/** What a try has to do first. */
export type Admission =
  | { readonly kind: 'now' }
  | { readonly kind: 'after'; readonly turn: Promise<void> }
  | { readonly kind: 'refused' };

/** See the top of the file. */
export class GuessLimiter {
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly logger: Pick<SecurityLogger, 'warn'> | undefined;
  /** By address; those that made a mistake last are last. */
  private readonly guessers = new Map<string, Guesser>();

  constructor(clock: Clock, scheduler: Scheduler, logger: Pick<SecurityLogger, 'warn'> | undefined) {
    this.clock = clock;
    this.scheduler = scheduler;
    this.logger = logger;
  }

  /** Call before a password of that address is looked at. */
  admit(address: string): Admission {
    const guesser = this.guessers.get(address);
    if (guesser === undefined) return { kind: 'now' };
    const nowMs = this.clock.monotonicMs();
    this.forget(guesser, nowMs);
    if (guesser.mistakes < FREE_MISTAKES) return { kind: 'now' };
    const turnMs = Math.max(nowMs, guesser.nextTryMs);
    if (turnMs - nowMs > LONGEST_WAIT_MS) return { kind: 'refused' };
    guesser.nextTryMs = turnMs + TRY_EVERY_MS;
    if (turnMs === nowMs) return { kind: 'now' };
    return { kind: 'after', turn: sleep(this.scheduler, turnMs - nowMs) };
  }

  /** Call when the password was wrong. */
  mistake(address: string): void {
    const nowMs = this.clock.monotonicMs();
    const guesser = this.guessers.get(address) ?? {
      mistakes: 0,
      countedMs: nowMs,
      nextTryMs: nowMs,
      unreported: 0,
      warnedMs: undefined,
    };
    this.guessers.delete(address);
    this.guessers.set(address, guesser);
    if (this.guessers.size > MAX_ADDRESSES) this.guessers.delete(this.guessers.keys().next().value!);
    this.forget(guesser, nowMs);
    guesser.mistakes = Math.min(MOST_MISTAKES, guesser.mistakes + 1);
    guesser.unreported++;
    if (guesser.mistakes < FREE_MISTAKES) return;
    if (guesser.warnedMs !== undefined && nowMs - guesser.warnedMs < WARN_EVERY_MS) return;
    this.logger?.warn(
      { address, wrongPasswords: guesser.unreported },
      'wrong passwords from one address: its tries are slowed',
    );
    guesser.unreported = 0;
    guesser.warnedMs = nowMs;
  }

  private forget(guesser: Guesser, nowMs: Millis): void {
    const forgotten = Math.floor((nowMs - guesser.countedMs) / FORGET_ONE_MS);
    guesser.mistakes = Math.max(0, guesser.mistakes - forgotten);
    guesser.countedMs += forgotten * FORGET_ONE_MS;
  }
}
