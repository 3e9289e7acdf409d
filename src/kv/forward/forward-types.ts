/** What a leader proxy is given, what bounds it, what it keeps of a request, and what it counts. */
import type { Clock, Millis, NodeId, PeerNetwork, Random, Scheduler } from '../../platform/index.ts';
import {
  type BreakerLimits,
  DEFAULT_BREAKER_LIMITS,
  DEFAULT_RETRY_BUDGET,
  type RetryBudgetLimits,
} from './forward-breaker.ts';
import type { ForwardCounters } from './forward-counters.ts';
import type { GroupDirectory, GroupPath, Target } from './forward-path.ts';

/** Bounds of the proxy of one node. */
export interface ProxyLimits {
  /** Requests that this node forwards at a time, waiting ones included; more are refused with `BusyError`. */
  readonly maxForwards: number;
  readonly maxForwardBytes: number;
  /** Replies that wait because a connection's queue is full; older ones are then dropped and time out at the other side. */
  readonly maxUnsentReplyBytes: number;
  /**
   * Requests to a node that are fewer than usual wait up to this many turns for the rest: clients that were answered together are just sending
   * their next commands, and a frame costs its sender and its receiver as much as some ten requests in it. One request alone never waits.
   */
  readonly gatherTurns: number;
  /** A larger answer goes in a stream of its own, where the other side knows them: setting one up costs some milliseconds. */
  readonly streamFromBytes: number;
  /** Several messages share a frame up to this size; a larger message has its own. */
  readonly maxFrameBytes: number;
  readonly backoffBaseMs: Millis;
  readonly backoffCapMs: Millis;
  /** A leader refuses what has less time left. */
  readonly minRemainingMs: Millis;
  /** A request whose client was less patient than this says nothing about the leader when it gets no answer. */
  readonly minSilenceMs: Millis;
  readonly breaker: BreakerLimits;
  readonly retryBudget: RetryBudgetLimits;
}

export const DEFAULT_PROXY_LIMITS: ProxyLimits = {
  maxForwards: 65_536,
  maxForwardBytes: 1024 * 1024 * 1024,
  maxUnsentReplyBytes: 256 * 1024 * 1024,
  gatherTurns: 3,
  streamFromBytes: 4 * 1024 * 1024,
  maxFrameBytes: 1024 * 1024,
  backoffBaseMs: 25,
  backoffCapMs: 250,
  minRemainingMs: 10,
  minSilenceMs: 250,
  breaker: DEFAULT_BREAKER_LIMITS,
  retryBudget: DEFAULT_RETRY_BUDGET,
};

export interface LeaderProxyOptions {
  readonly network: PeerNetwork;
  readonly directory: GroupDirectory;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<ProxyLimits>;
  /** Whether every node takes large answers in streams; left out: none does. */
  readonly streamsAnswers?: () => boolean;
  /** Why this node reaches nobody; undefined when it is part of its cluster as far as it knows. */
  readonly excuse?: () => string | undefined;
}

/** How a request ends: with the handler's bytes or an error. */
export type ForwardDone = (error: Error | undefined, reply: Buffer | undefined) => void;

/** One request that this node takes care of. */
export interface Forward {
  readonly path: GroupPath;
  readonly service: string;
  readonly payload: Buffer;
  /** Of what may take its leader long it is put off by what a leader has spent that then was none any more. */
  deadlineMs: Millis;
  /** While the leader that has it leads on, its answer is waited for until then, whatever the deadline says. */
  readonly workUntilMs: Millis;
  readonly done: ForwardDone;
  attempts: number;
  /** Set by a redirect, used once. */
  hint: NodeId | undefined;
  /** Where it goes at the end of the turn, and was sent then. */
  target: Target | undefined;
  isProbe: boolean;
  /** Parts of its answer have come: more are waited for until then, whatever the deadline says. */
  arrivingUntilMs: Millis;
  /** Where it was sent, while an answer is awaited. */
  sentTo: NodeId | undefined;
  sentMs: Millis;
  /** Identities that it was sent to before: asking one of them again takes from the budget. */
  asked: number[];
  /** What went wrong last, all of it without effects. */
  lastError: Error | undefined;
  isDone: boolean;
}

/** Counters since start, for metrics. */
export interface ProxyStats {
  readonly counters: ForwardCounters;
  /** Requests that are under way or wait. */
  readonly pending: number;
  /** Groups that a request was sent on for. */
  readonly breakers: number;
  readonly forwards: number;
  /** Breakers that are open now. */
  readonly openBreakers: number;
  readonly breakerOpens: number;
  readonly probes: number;
  /** Times that a request waited because a breaker was open. */
  readonly heldBack: number;
  /** Times that a repetition waited because the budget was used up. */
  readonly overBudget: number;
}
