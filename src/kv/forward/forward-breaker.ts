/**
 * Keeps a node that cannot reach a group's leader from asking it again and again. Two pure
 * parts: a circuit breaker per group, and a budget of repetitions per node. Neither has a timer: time comes as an argument.
 *
 *   CLOSED --failures in a row--> OPEN --pause over--> HALF OPEN: one probe --answer--> CLOSED
 *                                   ^-----------------------------'  no answer: twice the pause
 */
import type { Millis } from '../../platform/index.ts';

export interface BreakerLimits {
  /** Requests in a row that the leader left unanswered. */
  readonly failuresToOpen: number;
  readonly firstPauseMs: Millis;
  readonly longestPauseMs: Millis;
}

export const DEFAULT_BREAKER_LIMITS: BreakerLimits = { failuresToOpen: 3, firstPauseMs: 100, longestPauseMs: 2000 };

/** May a request be sent now? A probe is the only one under way and must be reported back. */
export type Admission = 'send' | 'probe' | 'wait';

/** The breaker of one group. Everything is about one identity (leader and term); another one starts afresh. */
export class CircuitBreaker {
  private readonly limits: BreakerLimits;
  private identity = -1;
  private failures = 0;
  /** 0 while closed. */
  private pauseMs: Millis = 0;
  private openUntilMs: Millis = 0;
  private isProbing = false;
  /** Times that it opened since start, for metrics. */
  opens = 0;

  constructor(limits: BreakerLimits = DEFAULT_BREAKER_LIMITS) {
    this.limits = limits;
  }

  get isOpen(): boolean {
    return this.pauseMs > 0;
  }

  private noteLeader(identity: number): void {
    if (identity === this.identity) return;
    this.identity = identity;
    this.close();
  }

  private close(): void {
    this.failures = 0;
    this.pauseMs = 0;
    this.isProbing = false;
  }

  /** What `admit` would say, without becoming a probe. */
  wouldWait(identity: number, nowMs: Millis): boolean {
    return identity === this.identity && this.isOpen && (this.isProbing || nowMs < this.openUntilMs);
  }

  /** Asks for leave to send to `identity`. */
  admit(identity: number, nowMs: Millis): Admission {
    this.noteLeader(identity);
    if (!this.isOpen) return 'send';
    if (this.wouldWait(identity, nowMs)) return 'wait';
    this.isProbing = true;
    return 'probe';
  }

  /** The leader answered, whatever it said. */
  answered(identity: number): void {
    if (identity === this.identity) this.close();
  }

  /** It did not answer, or could not be reached. What an older identity did is ignored. */
  failed(identity: number, nowMs: Millis, wasProbe: boolean): void {
    if (identity !== this.identity) return;
    this.failures += 1;
    // A failure of what was sent before it opened says nothing new.
    if (this.isOpen ? !wasProbe : this.failures < this.limits.failuresToOpen) return;
    this.pauseMs = this.isOpen ? Math.min(this.pauseMs * 2, this.limits.longestPauseMs) : this.limits.firstPauseMs;
    this.openUntilMs = nowMs + this.pauseMs;
    this.isProbing = false;
    this.opens += 1;
  }

  /** A probe ended without telling anything, since its client was in a hurry: after the same pause comes the next one. */
  released(identity: number, nowMs: Millis): void {
    if (identity !== this.identity) return;
    this.isProbing = false;
    this.openUntilMs = nowMs + this.pauseMs;
  }
}

export interface RetryBudgetLimits {
  /** Tokens that a first sending earns. */
  readonly earnedPerRequest: number;
  readonly earnedPerSecond: number;
  readonly most: number;
}

export const DEFAULT_RETRY_BUDGET: RetryBudgetLimits = { earnedPerRequest: 0.1, earnedPerSecond: 10, most: 100 };

/** How often requests may be sent again, over all groups of a node: a token bucket. */
export class RetryBudget {
  private readonly limits: RetryBudgetLimits;
  private tokens: number;
  private filledMs: Millis;

  constructor(nowMs: Millis, limits: RetryBudgetLimits = DEFAULT_RETRY_BUDGET) {
    this.limits = limits;
    this.tokens = limits.most;
    this.filledMs = nowMs;
  }

  /** A request was sent for the first time. */
  earn(): void {
    this.tokens = Math.min(this.limits.most, this.tokens + this.limits.earnedPerRequest);
  }

  /** Takes a token for sending a request again. @returns false when there is none: wait */
  take(nowMs: Millis): boolean {
    const earned = ((nowMs - this.filledMs) / 1000) * this.limits.earnedPerSecond;
    this.tokens = Math.min(this.limits.most, this.tokens + earned);
    this.filledMs = nowMs;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
