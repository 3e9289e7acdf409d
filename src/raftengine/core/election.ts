/**
 * When to campaign, whom to believe, and who voted for us.
 *
 * The timer counts ticks, so that a node that was asleep does not mistake its own absence for the leader's. Promises to
 * other nodes are kept in real (monotonic) milliseconds: leases depend on them. Two promises make a lease safe:
 * stickiness (no vote within E of hearing from a leader) and the boot embargo (no vote within E of a restart, because
 * the memory of having heard from a leader is gone).
 */
import type { Millis, NodeId, Random } from '../../platform/index.ts';
import { membersOf } from './conf-changer.ts';
import { isVoter } from './quorum.ts';
import type { ConfState, RaftConfig } from './types.ts';

export class Election {
  private readonly minTimeoutTicks: number;
  private readonly minTimeoutMs: Millis;
  private readonly holdBackTicks: () => number;
  private readonly random: Random;
  /** Ticks since the timer was restarted. */
  elapsedTicks = 0;
  /** Drawn from [E, 2E) whenever the timer restarts. */
  private timeoutTicks = 0;
  private lastHeardMs: Millis = Number.NEGATIVE_INFINITY;
  private readonly embargoUntilMs: Millis;
  /** Answers to the running campaign, ours included. */
  readonly ballots = new Map<NodeId, boolean>();

  /** @param restarted the node may have promised something before it started */
  constructor(config: RaftConfig, random: Random, restarted: boolean, nowMs: Millis) {
    this.minTimeoutTicks = config.electionTimeoutTicks;
    this.minTimeoutMs = config.electionTimeoutTicks * config.tickMs;
    this.holdBackTicks = config.holdBackTicks ?? (() => 0);
    this.random = random;
    this.embargoUntilMs = restarted ? nowMs + this.minTimeoutMs : Number.NEGATIVE_INFINITY;
    this.restartTimer();
  }

  /** A campaign begins, with our own ballot. */
  openBallot(self: NodeId): void {
    this.restartTimer();
    this.ballots.clear();
    this.ballots.set(self, true);
  }

  /** Voters whose answer to the running campaign is missing. */
  unanswered(conf: ConfState): NodeId[] {
    return membersOf(conf).filter((node) => isVoter(conf, node) && !this.ballots.has(node));
  }

  restartTimer(): void {
    this.elapsedTicks = 0;
    this.timeoutTicks = this.minTimeoutTicks + this.random.int(this.minTimeoutTicks);
  }

  heardFromLeader(nowMs: Millis): void {
    this.elapsedTicks = 0;
    this.lastHeardMs = nowMs;
  }

  /** A sign of life that stands for a heartbeat while the timer stands still. */
  leaderLived(heardMs: Millis): void {
    this.lastHeardMs = Math.max(this.lastHeardMs, heardMs);
  }

  /** The timer stood still; it goes on from the last sign of life of the leader. */
  resume(nowMs: Millis): void {
    const silentTicks = Math.floor(((nowMs - this.lastHeardMs) * this.minTimeoutTicks) / this.minTimeoutMs);
    // Not beyond E: groups that wake together still draw their campaigns from an interval of E.
    this.elapsedTicks = Math.min(silentTicks, this.minTimeoutTicks);
  }

  /** @returns true when it is time to campaign */
  tick(count: number): boolean {
    this.elapsedTicks += count;
    return this.elapsedTicks >= this.timeoutTicks && this.elapsedTicks >= this.timeoutTicks + this.holdBackTicks();
  }

  /** True while a lease may rest on what this node said: it must not help to elect anybody, itself included. */
  isBoundToLeader(nowMs: Millis): boolean {
    return nowMs < this.embargoUntilMs || nowMs - this.lastHeardMs < this.minTimeoutMs;
  }
}
