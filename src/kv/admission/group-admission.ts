/**
 * Whether the leader of a group lets a write in. Asked once for every key that a command writes, so while nothing presses it is one
 * look at a flag. It decides before anything is proposed; what is in the log is always applied.
 *
 * Not asked, because they end pressure or must not wait for it: renewals of the clock, COMMIT, ABORT, RESOLVE and PUSH, changes of
 * membership, fences and the other steps of a move, deletes of whole ranges, what maintenance deletes, and the cluster's own rows.
 */
import { type KeyRules, PLAIN_KEYS, RESERVED_END } from '../../distribution/index.ts';
import type { Clock, KvorumError, Millis } from '../../platform/index.ts';
import { KeyVersionPressureError, WriteBackpressureError } from './errors.ts';
import type { Pressure } from './pressure.ts';

/** Bytes a second that are let in while the level is `slow`, and how many at once after a pause. */
const SLOW_BYTES_PER_S = 4 << 20;
const SLOW_BURST_BYTES = 1 << 20;
/** A command is let in whole, however large; what is beyond this is forgiven, or one large value would lock everybody else out. */
const MAX_DEBT_BYTES = 4 << 20;
/** What a write costs beside its bytes. */
const WRITE_BYTES = 256;
/** When to come again: sooner there would be next to nothing to be had. */
const SLOW_RETRY_MS: Millis = 20;
const STOP_RETRY_MS: Millis = 1_000;
const KEY_RETRY_MS: Millis = 5_000;

const NO_KEYS: ReadonlySet<string> = new Set();

/** See the top of the file. */
export class GroupAdmission {
  private readonly clock: Clock;
  private readonly keys: KeyRules;
  private pressure: Pressure = { level: 'ok', reason: '' };
  private heavyKeys: ReadonlySet<string> = NO_KEYS;
  private tokens = SLOW_BURST_BYTES;
  private filledMs: Millis = 0;
  /** False: everything is let in, and nobody needs to ask. */
  isPressed = false;
  /** Writes that were refused since the start. */
  refusals = 0;
  keyRefusals = 0;

  /** @param keys which of them are rows of one object: history is the object's */
  constructor(clock: Clock, keys: KeyRules = PLAIN_KEYS) {
    this.clock = clock;
    this.keys = keys;
  }

  get level(): Pressure['level'] {
    return this.pressure.level;
  }

  get reason(): string {
    return this.pressure.reason;
  }

  /** @param heavyKeys Latin-1 names of keys, of objects their heads', that may not be written for now */
  update(pressure: Pressure, heavyKeys: ReadonlySet<string> = NO_KEYS): void {
    if (this.pressure.level !== 'slow' && pressure.level === 'slow') {
      this.tokens = SLOW_BURST_BYTES;
      this.filledMs = this.clock.monotonicMs();
    }
    this.pressure = pressure;
    this.heavyKeys = heavyKeys;
    this.isPressed = pressure.level !== 'ok' || heavyKeys.size > 0;
  }

  /**
   * Why a write of `bytes` to a key may not be proposed now; undefined when it may.
   * @param isFirst false: an earlier write of the same command was let in, and a command is let in whole
   */
  refuse(key: Buffer, bytes: number, isFirst = true): KvorumError | undefined {
    if (!this.isPressed || Buffer.compare(key, RESERVED_END) < 0) return undefined;
    const { level, reason } = this.pressure;
    if (level === 'stop') {
      this.refusals++;
      return new WriteBackpressureError(reason, STOP_RETRY_MS);
    }
    if (this.heavyKeys.size > 0 && this.heavyKeys.has(this.keys.align(key).toString('latin1'))) {
      this.keyRefusals++;
      return new KeyVersionPressureError(KEY_RETRY_MS);
    }
    return level === 'slow' ? this.spend(bytes + key.length + WRITE_BYTES, reason, isFirst) : undefined;
  }

  /** Whoever comes while there are tokens gets all that it wants; the next ones wait until that is made up for. */
  private spend(bytes: number, reason: string, isFirst: boolean): KvorumError | undefined {
    if (isFirst) {
      const nowMs = this.clock.monotonicMs();
      const earned = ((nowMs - this.filledMs) * SLOW_BYTES_PER_S) / 1000;
      this.tokens = Math.min(SLOW_BURST_BYTES, this.tokens + earned);
      this.filledMs = nowMs;
      if (this.tokens <= 0) {
        this.refusals++;
        return new WriteBackpressureError(reason, Math.max(SLOW_RETRY_MS, (-this.tokens * 1000) / SLOW_BYTES_PER_S));
      }
    }
    this.tokens = Math.max(-MAX_DEBT_BYTES, this.tokens - bytes);
    return undefined;
  }
}
