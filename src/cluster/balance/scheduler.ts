/**
 * When the rules of balancing are asked, and what becomes of their answers. It runs on whoever leads the catalog group and
 * starts over with every leadership: nothing is done for a while, and load that was counted before is not looked at. What
 * must outlast a leader is in the catalog (when a range was cut, which jobs there are); what is only in memory here (when a
 * leader was transferred last) is covered by that first while, which is as long as the longest of these rests.
 *
 * One action of a rule is under way at a time, and no two on one group.
 */
import {
  type BalanceAction,
  type BalancePlan,
  type BalanceView,
  type ClusterState,
  type KeyRules,
  PLAIN_KEYS,
  planDrains,
  planLeaders,
  planMerges,
  planSizes,
  planSplits,
  type SwitchValue,
  switchOf,
} from '../../distribution/index.ts';
import {
  assertNever,
  backoffBoundMs,
  type Cancel,
  type Clock,
  type GroupId,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import type {
  BalanceInputs,
  BalanceOutputs,
  BalanceReport,
  BalanceTimes,
  Duty,
  DutyStatus,
} from '../contract/index.ts';

/** A rule every 30 or 60 s; leaders rest 10 s, groups 30 s; bytes 5 min, until heartbeats tell what they did. */
export const DEFAULT_BALANCE_TIMES: BalanceTimes = {
  tickMs: 1_000,
  // An operator waits for it, and what it moves is held back by the rate of snapshots.
  intervalMs: { autosplit: 60_000, automerge: 60_000, 'balance.leaders': 30_000, 'balance.size': 60_000, drain: 1_000 },
  restMs: { autosplit: 0, automerge: 0, 'balance.leaders': 10_000, 'balance.size': 300_000, drain: 0 },
  groupRestMs: 30_000,
  actionLimitMs: 1_800_000,
};

/** Reports that are kept for who asks. */
export const KEPT_REPORTS = 128;
/** A rule whose actions fail is asked less and less often, up to so many intervals apart. */
const MAX_BACKOFF = 16;

const DUTIES: readonly Duty[] = ['drain', 'autosplit', 'automerge', 'balance.leaders', 'balance.size'];

/** Draining has no switch: it is asked for node by node, and off while none is. */
function modeOf(clusterState: ClusterState, duty: Duty): SwitchValue {
  if (duty !== 'drain') return switchOf(clusterState, duty);
  return (clusterState.withdrawals ?? []).length > 0 ? 'on' : 'off';
}

/** What is remembered of a rule during one leadership. */
interface DutyState {
  readonly duty: Duty;
  /** Monotonic time from which on it is asked again. */
  nextMs: Millis;
  failures: number;
  /** The action that is under way; replaced, not changed, so that a late outcome is known to be late. */
  current:
    | { readonly action: BalanceAction; readonly groups: readonly GroupId[]; readonly sinceMs: Millis }
    | undefined;
  /** What was said last, so that the same is not said every minute. */
  said: string;
}

/** What a scheduler is made of. */
export interface BalanceSchedulerOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly inputs: BalanceInputs;
  readonly outputs: BalanceOutputs;
  readonly catalogGroup: GroupId;
  /** True while this node leads the catalog group and serves. */
  isLeading(): boolean;
  readonly keyRules?: KeyRules;
  readonly times?: BalanceTimes;
}

/** See the top of the file. */
export class BalanceScheduler {
  private readonly options: BalanceSchedulerOptions;
  private readonly times: BalanceTimes;
  private cancel: Cancel | undefined;
  private isStopped = false;
  /** Wall clock at which this leadership began; undefined while somebody else leads. */
  private leadingSinceMs: Millis | undefined;
  private states: DutyState[] = [];
  /** Monotonic time from which on a group may be acted on again. */
  private readonly resting = new Map<GroupId, Millis>();
  /** Where the search for neighbours to merge goes on. */
  private mergeFrom: Buffer | undefined;
  private readonly kept: BalanceReport[] = [];

  constructor(options: BalanceSchedulerOptions) {
    this.options = options;
    this.times = options.times ?? DEFAULT_BALANCE_TIMES;
  }

  start(): void {
    this.cancel = this.options.scheduler.after(this.times.tickMs, this.tick);
  }

  /** Plans nothing any more. Actions that are under way go on by themselves. */
  stop(): void {
    this.isStopped = true;
    this.cancel?.();
    this.endLeadership();
  }

  /** The last reports, oldest first. */
  reports(): readonly BalanceReport[] {
    return this.kept;
  }

  /** How each rule stands; empty while somebody else leads. */
  status(): DutyStatus[] {
    const nowMs = this.options.clock.monotonicMs();
    return this.states.map(({ duty, nextMs, current, said }) => ({
      duty,
      mode: modeOf(this.options.inputs.clusterState(), duty),
      nextInMs: current === undefined ? Math.max(0, nextMs - nowMs) : 0,
      underWay: current?.action.reason ?? '',
      said,
    }));
  }

  private readonly tick = (): void => {
    if (this.isStopped) return;
    this.cancel = this.options.scheduler.after(this.times.tickMs, this.tick);
    if (!this.options.isLeading()) {
      this.endLeadership();
      return;
    }
    const nowMs = this.options.clock.monotonicMs();
    if (this.leadingSinceMs === undefined) this.beginLeadership(nowMs);
    for (const state of this.states) {
      this.checkOverdue(state, nowMs);
      if (state.current === undefined && nowMs >= state.nextMs) this.ask(state, nowMs);
    }
  };

  private beginLeadership(nowMs: Millis): void {
    const { intervalMs, restMs, groupRestMs } = this.times;
    this.leadingSinceMs = this.options.clock.nowMs();
    this.states = DUTIES.map((duty) => ({
      duty,
      // What is asked for node by node does not go in circles, whatever was done before.
      nextMs: nowMs + (duty === 'drain' ? intervalMs[duty] : Math.max(intervalMs[duty], restMs[duty], groupRestMs)),
      failures: 0,
      current: undefined,
      said: '',
    }));
  }

  private endLeadership(): void {
    this.leadingSinceMs = undefined;
    this.states = [];
    this.resting.clear();
    this.mergeFrom = undefined;
  }

  /** Asks a rule and begins what it says. No waiting from here to the call of the output, so all of it is of one view. */
  private ask(state: DutyState, nowMs: Millis): void {
    const { duty } = state;
    state.nextMs = nowMs + this.times.intervalMs[duty];
    const mode = modeOf(this.options.inputs.clusterState(), duty);
    if (mode === 'off') return;
    const plan = this.plan(state, nowMs);
    if (plan === undefined) return;
    const [action] = plan.actions;
    if (action === undefined) {
      this.say(state, 'idle', undefined, plan.notes.join('; '));
    } else if (mode === 'observe') {
      this.say(state, 'observed', action, action.reason);
    } else {
      this.begin(state, action, nowMs);
    }
  }

  private plan(state: DutyState, nowMs: Millis): BalancePlan | undefined {
    const { catalogGroup, keyRules = PLAIN_KEYS } = this.options;
    try {
      const view = this.view(nowMs);
      switch (state.duty) {
        case 'drain':
          return planDrains(view, catalogGroup);
        case 'autosplit':
          return planSplits(view, keyRules);
        case 'automerge': {
          const plan = planMerges(view, this.mergeFrom);
          this.mergeFrom = plan.next;
          return plan;
        }
        case 'balance.leaders':
          return planLeaders(view, catalogGroup);
        case 'balance.size':
          return planSizes(view, catalogGroup);
        default:
          return assertNever(state.duty);
      }
    } catch (error) {
      // Balancing is a convenience: what is wrong with it must not take the catalog's leader down.
      this.fail(state, undefined, error, nowMs);
      return undefined;
    }
  }

  private view(nowMs: Millis): BalanceView {
    const { inputs, clock } = this.options;
    const sinceMs = this.leadingSinceMs ?? 0;
    const busy = new Set(this.states.flatMap((state) => state.current?.groups ?? []));
    for (const [group, untilMs] of this.resting) {
      if (nowMs < untilMs) busy.add(group);
      else this.resting.delete(group);
    }
    return {
      clusterState: inputs.clusterState(),
      routes: inputs.routes(),
      windows: inputs.windows().filter((window) => window.startMs >= sinceMs),
      groups: inputs
        .groupStatus()
        .map((group) => (busy.has(group.id) ? { ...group, isBusy: true, isUnfinished: false } : group)),
      liveNodes: inputs.liveNodes(),
      unfitNodes: inputs.unfitNodes?.() ?? new Set(),
      rangeBytes: inputs.rangeBytes(),
      nowMs: clock.nowMs(),
    };
  }

  private begin(state: DutyState, action: BalanceAction, nowMs: Millis): void {
    const current = { action, groups: this.groupsOf(action), sinceMs: nowMs };
    state.current = current;
    this.say(state, 'begun', action, action.reason);
    const settle = (error: unknown): void => {
      // Of an earlier leadership, or no longer waited for.
      if (state.current !== current || !this.states.includes(state)) return;
      state.current = undefined;
      const endMs = this.options.clock.monotonicMs();
      for (const group of current.groups) this.resting.set(group, endMs + this.times.groupRestMs);
      if (error !== undefined) {
        this.fail(state, action, error, endMs);
        return;
      }
      state.failures = 0;
      state.nextMs = Math.max(state.nextMs, endMs + this.times.restMs[state.duty]);
      this.say(state, 'done', action, action.reason);
    };
    this.perform(action).then(
      () => settle(undefined),
      (error: unknown) => settle(error ?? new Error('failed without a reason')),
    );
  }

  /** Groups that nobody else may act on meanwhile. */
  private groupsOf(action: BalanceAction): GroupId[] {
    switch (action.kind) {
      case 'transferLeader':
      case 'changeMembership':
        return [action.group];
      case 'move':
        return [action.dst, ...this.ownerOf(action.start)];
      // Splits and merges are one commit of the catalog, which is compared and set on its version.
      case 'split':
      case 'merge':
        return [];
      default:
        return assertNever(action);
    }
  }

  private ownerOf(key: Buffer): GroupId[] {
    const owner = this.options.inputs.routes().groupOf(key);
    return owner === undefined ? [] : [owner];
  }

  private async perform(action: BalanceAction): Promise<void> {
    const { outputs } = this.options;
    switch (action.kind) {
      case 'split':
        return outputs.split(action);
      case 'merge':
        return outputs.merge(action);
      case 'transferLeader':
        return outputs.transferLeader(action);
      case 'changeMembership':
        return outputs.changeMembership(action);
      case 'move':
        return outputs.move(action);
      default:
        return assertNever(action);
    }
  }

  private checkOverdue(state: DutyState, nowMs: Millis): void {
    const { current } = state;
    if (current === undefined || nowMs - current.sinceMs < this.times.actionLimitMs) return;
    state.current = undefined;
    state.nextMs = nowMs + this.times.intervalMs[state.duty];
    this.say(
      state,
      'overdue',
      current.action,
      `no outcome after ${this.times.actionLimitMs} ms: ${current.action.reason}`,
    );
  }

  private fail(state: DutyState, action: BalanceAction | undefined, error: unknown, nowMs: Millis): void {
    const intervalMs = this.times.intervalMs[state.duty];
    const bound = { baseMs: intervalMs, capMs: MAX_BACKOFF * intervalMs, factor: 2 };
    state.nextMs = Math.max(state.nextMs, nowMs + backoffBoundMs(bound, state.failures++));
    const why = error instanceof Error ? error.message : String(error);
    this.say(state, 'failed', action, action === undefined ? why : `${action.reason}: ${why}`);
  }

  private say(state: DutyState, event: BalanceReport['event'], action: BalanceAction | undefined, text: string): void {
    const saying = `${event} ${text}`;
    if (saying === state.said) return;
    state.said = saying;
    const report = { atMs: this.options.clock.nowMs(), duty: state.duty, event, action, text };
    this.kept.push(report);
    if (this.kept.length > KEPT_REPORTS) this.kept.shift();
    this.options.outputs.report(report);
  }
}
