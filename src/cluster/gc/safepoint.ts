/**
 * The cluster's safepoint: no read and no transaction looks at or below it any more, in any group. It rises in two steps, done by
 * one node at a time as a unit of work.
 *
 * 1. Every node says what it has pinned, and what its clock shows. Every group certifies a candidate, which is the present of the clock that is
 *    furthest behind, less the retention, or what is pinned if that is older: it refuses older transactions from then on and says how far its
 *    locks are settled. Nodes are asked once more for what was pinned meanwhile. The smallest answer is the safepoint.
 * 2. It is published with the unit's notes, in the catalog group; then each group's leader takes its threshold there.
 *
 * Without the first step a group could forget what became of a transaction while another still holds a lock of it. Locks
 * travel with ranges, so a round counts only if no move handed its range over meanwhile: before that the lock is the source's,
 * afterwards the destination's, and both were asked.
 */
import {
  CatalogError,
  type ClusterState,
  isFeatureActive,
  JOB_PHASES,
  type JobRow,
  settingOf,
} from '../../distribution/index.ts';
import {
  type Clock,
  type GroupId,
  type HlcTimestamp,
  hlcTimestamp,
  KvorumError,
  type Millis,
  NEVER,
  type NodeId,
  timestampOfMs,
} from '../../platform/index.ts';
import type { CatalogClient, HolderBack } from '../contract/index.ts';
import type { WorkUnit } from '../work/index.ts';
import { decodeNotes, encodeNotes } from './codec.ts';
import type { GcChannel } from './endpoint.ts';
import type { SafepointNotes } from './types.ts';

/** Name of the unit of work. */
export const SAFEPOINT_UNIT = 'gc/safepoint';
/** All nodes must know the entries and questions of this. */
export const SAFEPOINT_FEATURE = 'gc.safepoint';
/** All nodes pin what they read of the past, and know stores that were flushed without what nobody can read. */
export const PINS_FEATURE = 'gc.pins';
/** The past is kept for so long at least while some node reads it without saying so. */
export const UNPINNED_RETENTION_MS: Millis = 30 * 60_000;

/** When and how. */
export interface SafepointTimes {
  /** The safepoint rises when it would rise by more than this; undefined: a tenth of the retention, 1 s to 5 min. */
  readonly stepMs?: Millis;
  /** The same while nothing waits for it; undefined: `stepMs` where that is given, else 10 min. */
  readonly restMs?: Millis;
  /** Before another round when somebody held the last one back, at most; sooner where rounds are close to each other anyway. */
  readonly retryMs: Millis;
  /** One question to a group or a node. */
  readonly askMs: Millis;
}

export const DEFAULT_SAFEPOINT_TIMES: SafepointTimes = { retryMs: 10_000, askMs: 3_000 };

/** Before a round behind one that was held back, in distances between rounds. */
const RETRY_STEPS = 2;
/** Groups that are asked at a time. */
const ASKED_AT_ONCE = 32;
/** Longest distance between two safepoints. */
const MAX_STEP_MS: Millis = 5 * 60_000;
const MIN_STEP_MS: Millis = 1_000;
const STEP_SHARE = 1 / 10;
/** A round takes entries of each group: with many they are further apart. */
const STEP_OF_GROUP_MS: Millis = 20;
const REST_MS: Millis = 10 * 60_000;
/** A clock that is behind by more than this is named. */
const CLOCK_BEHIND_MS: Millis = 1_000;
/** A node that was silent for longer has no pins: they are leases. */
const SILENT_NODE_MS: Millis = 75_000;
const RELEASE = JOB_PHASES.indexOf('RELEASE');
const ACTIVATE = JOB_PHASES.indexOf('ACTIVATE');
const ABORTING = JOB_PHASES.indexOf('ABORTING');

export interface SafepointOptions {
  readonly catalog: Pick<CatalogClient, 'clusterState' | 'jobs'>;
  readonly channel: GcChannel;
  readonly clock: Clock;
  /** How long the past is kept while the setting says nothing. */
  readonly retentionMs: Millis;
  /** What else in the cluster needs the past above a timestamp; undefined for nothing. */
  readonly needed?: (state: ClusterState) => (HolderBack & { readonly ts: HlcTimestamp }) | undefined;
  /** Whether a safepoint above this one would let something go; left out: always. */
  readonly isWorth?: (publishedTs: HlcTimestamp) => boolean;
  readonly times?: Partial<SafepointTimes>;
}

/**
 * How long the past is kept: the replicated setting, or what nodes are configured with. As long as there is a node that does not pin all that it
 * reads, half an hour at least unless the setting says otherwise.
 */
export function retentionOf(clusterState: Pick<ClusterState, 'settings' | 'features'>, configuredMs: Millis): Millis {
  const set = Number(settingOf(clusterState, 'gc.retentionMs'));
  if (set !== 0) return set;
  return isFeatureActive(clusterState, PINS_FEATURE) ? configuredMs : Math.max(configuredMs, UNPINNED_RETENTION_MS);
}

/** How far apart safepoints are that somebody waits for. */
export const stepOf = (retentionMs: Millis, groups: number): Millis =>
  Math.max(MIN_STEP_MS, groups * STEP_OF_GROUP_MS, Math.min(MAX_STEP_MS, retentionMs * STEP_SHARE));

/** How far apart they are at most. */
export const restOf = (retentionMs: Millis): Millis => Math.max(REST_MS, retentionMs * STEP_SHARE);

/** The unit of work. */
export function safepointWork(options: SafepointOptions): WorkUnit {
  const times = { ...DEFAULT_SAFEPOINT_TIMES, ...options.times };
  const { catalog, clock } = options;
  let known = { retentionMs: options.retentionMs, groups: 0 };
  const stepMs = (): Millis => times.stepMs ?? stepOf(known.retentionMs, known.groups);
  const restMs = (): Millis => times.restMs ?? times.stepMs ?? restOf(known.retentionMs);
  return {
    name: SAFEPOINT_UNIT,
    isDue: (stored) => {
      const { atMs, holders, pending, publishedTs } = decodeNotes(stored);
      let afterMs = restMs();
      if (options.isWorth?.(publishedTs) !== false) {
        const isHeldBack = holders.length > 0 || pending.length > 0;
        afterMs = isHeldBack ? Math.min(times.retryMs, RETRY_STEPS * stepMs()) : stepMs();
      }
      // A wall clock that was set back must not stop it for long.
      return Math.abs(clock.nowMs() - atMs) >= afterMs;
    },
    async run({ notes: stored, signal, save }) {
      const before = decodeNotes(stored);
      const clusterState = await catalog.clusterState();
      if (!isFeatureActive(clusterState, SAFEPOINT_FEATURE)) return encodeNotes({ ...before, atMs: clock.nowMs() });
      const retentionMs = retentionOf(clusterState, options.retentionMs);
      const round = new Round(options, times, clusterState, before, signal);
      known = { retentionMs, groups: round.groups.length };
      const certified = await round.certify(retentionMs);
      signal.throwIfAborted();
      // Published before anybody acts on it: whoever goes on knows what groups may have been told.
      await save(encodeNotes(certified));
      const pending = await round.raise(certified.publishedTs);
      return encodeNotes({ ...certified, pending, atMs: clock.nowMs() });
    },
  };
}

const isBetween = ({ phase }: JobRow, first: number, end: number): boolean => {
  const at = JOB_PHASES.indexOf(phase);
  return at >= first && at < end;
};
/** Moves that have handed their range over, or are about to: the row says RELEASE before the source lets go. */
const mayHaveReleased = (job: JobRow): boolean => isBetween(job, RELEASE, ABORTING);
/** Moves that have handed their range over: the row goes on when the source has let go. */
const hasReleased = (job: JobRow): boolean => isBetween(job, ACTIVATE, ABORTING);

/** One round. */
class Round {
  private readonly options: SafepointOptions;
  private readonly askMs: Millis;
  private readonly clusterState: ClusterState;
  private readonly before: SafepointNotes;
  private readonly signal: AbortSignal;
  readonly groups: readonly GroupId[];
  private readonly holders: HolderBack[] = [];

  constructor(
    options: SafepointOptions,
    times: SafepointTimes,
    clusterState: ClusterState,
    before: SafepointNotes,
    signal: AbortSignal,
  ) {
    this.options = options;
    this.askMs = times.askMs;
    this.clusterState = clusterState;
    this.before = before;
    this.signal = signal;
    this.groups = activeGroups(clusterState);
  }

  /** What all of them certify, as notes. */
  async certify(retentionMs: Millis): Promise<SafepointNotes> {
    const { catalog, clock } = this.options;
    const { before, holders } = this;
    const candidateTs = tsBefore(clock.nowMs(), retentionMs);
    const unchanged = (): SafepointNotes => ({ ...before, candidateTs, holders, atMs: clock.nowMs() });
    if (candidateTs <= before.publishedTs) return unchanged();
    const jobsBefore = await catalog.jobs();
    let ts = candidateTs;
    let asked = candidateTs;
    const take = (answered: HlcTimestamp, holder: HolderBack): void => {
      if (answered >= asked) return;
      holders.push(holder);
      if (answered < ts) ts = answered;
    };
    // What a group certifies keeps older transactions from locks for ever: one that is open and pinned must not be among them.
    const { nodeId, clockMs } = await this.askPins(take);
    // What a node reads without a pin is younger than the retention by its own clock.
    const presentTs = tsBefore(clockMs, retentionMs);
    if (clock.nowMs() - clockMs > CLOCK_BEHIND_MS)
      take(presentTs, { who: `node ${nodeId}`, why: 'its clock is behind' });
    else if (presentTs < ts) ts = presentTs;
    if (ts <= before.publishedTs) return unchanged();
    asked = ts;
    await this.eachGroup(async (group) => {
      try {
        const answer = await this.options.channel.certify(group, asked, this.askMs);
        take(answer.ts, { who: `group ${group}`, why: answer.heldBy });
      } catch (error) {
        take(NEVER, { who: `group ${group}`, why: refusal(error) });
      }
    });
    asked = ts;
    await this.askPins(take);
    const [jobsAfter, stateAfter] = [await catalog.jobs(), await catalog.clusterState()];
    // Whoever comes to need the past pins it until that is noted: so the notes are read behind the pins.
    const needed = this.options.needed?.(stateAfter);
    if (needed !== undefined) take(needed.ts, { who: needed.who, why: needed.why });
    const groupsAfter = activeGroups(stateAfter);
    const mover = handedOver(jobsBefore, jobsAfter);
    if (mover !== undefined) take(NEVER, { who: `job ${mover}`, why: 'handed its range over during the round' });
    const isNew = groupsAfter.find((group) => !this.groups.includes(group));
    if (isNew !== undefined) take(NEVER, { who: `group ${isNew}`, why: 'came during the round' });
    if (ts <= before.publishedTs) return unchanged();
    return { ...before, publishedTs: ts, candidateTs, holders, raisedAtMs: clock.nowMs(), atMs: clock.nowMs() };
  }

  /**
   * What nodes read of the past. One that lives and cannot be asked holds back until its pins have run out for certain.
   * @returns the clock that is furthest behind
   */
  private async askPins(
    take: (ts: HlcTimestamp, holder: HolderBack) => void,
  ): Promise<{ readonly nodeId: NodeId | undefined; readonly clockMs: Millis }> {
    const { channel, clock } = this.options;
    const nowMs = clock.nowMs();
    let lowest: { readonly nodeId: NodeId | undefined; readonly clockMs: Millis } = {
      nodeId: undefined,
      clockMs: nowMs,
    };
    const nodes = this.clusterState.nodes.filter(({ heartbeatMs }) => nowMs - heartbeatMs < SILENT_NODE_MS);
    await Promise.all(
      nodes.map(async ({ nodeId }) => {
        const who = `node ${nodeId}`;
        try {
          const { pinTs, pinPurpose, clockMs = nowMs } = await channel.report(nodeId, this.askMs);
          if (clockMs < lowest.clockMs) lowest = { nodeId, clockMs };
          if (pinTs !== undefined) take(hlcTimestamp(pinTs === 0n ? 0n : pinTs - 1n), { who, why: pinPurpose });
        } catch (error) {
          take(NEVER, { who, why: refusal(error) });
        }
      }),
    );
    return lowest;
  }

  /** Tells every group. @returns those that are not there yet */
  async raise(publishedTs: HlcTimestamp): Promise<GroupId[]> {
    const pending: GroupId[] = [];
    if (publishedTs === NEVER) return pending;
    await this.eachGroup(async (group) => {
      try {
        const { thresholdTs } = await this.options.channel.raise(group, publishedTs, this.askMs);
        if (thresholdTs < publishedTs) pending.push(group);
      } catch (error) {
        if (!(error instanceof KvorumError)) throw error;
        pending.push(group);
      }
    });
    return pending.sort((left, right) => left - right);
  }

  private async eachGroup(ask: (group: GroupId) => Promise<void>): Promise<void> {
    for (let at = 0; at < this.groups.length; at += ASKED_AT_ONCE) {
      this.signal.throwIfAborted();
      await Promise.all(this.groups.slice(at, at + ASKED_AT_ONCE).map(ask));
    }
  }
}

const tsBefore = (nowMs: Millis, retentionMs: Millis): HlcTimestamp =>
  timestampOfMs(Math.max(0, Math.floor(nowMs - retentionMs)));

const activeGroups = ({ groups }: ClusterState): GroupId[] =>
  groups.filter(({ state }) => state === 'ACTIVE').map(({ id }) => id);

/** Why somebody could not answer; a bug is not a reason. */
function refusal(error: unknown): string {
  if (error instanceof KvorumError || error instanceof CatalogError) return error.message;
  return error instanceof Error ? error.message : String(error);
}

/**
 * The first job that may have handed its range over between two looks at the jobs; its locks may have been asked for in neither place. One
 * whose row says RELEASE at the first look may still be importing, and let go of the range afterwards.
 */
export function handedOver(before: readonly JobRow[], after: readonly JobRow[]): number | undefined {
  const known = new Map(before.map((job) => [job.id, job]));
  for (const job of after) {
    if (!mayHaveReleased(job)) continue;
    const earlier = known.get(job.id);
    if (earlier === undefined ? isNewer(job, before) : !hasReleased(earlier)) return job.id;
  }
  // Finished ones are forgotten some day.
  const left = new Set(after.map(({ id }) => id));
  return before.find((job) => !left.has(job.id) && !hasReleased(job) && !isOver(job))?.id;
}

const isOver = ({ phase }: JobRow): boolean => phase === 'DONE' || phase === 'ABORTED';
/** A job that the first look would have seen if it had been there. */
const isNewer = ({ id }: JobRow, before: readonly JobRow[]): boolean => before.every((other) => other.id < id);
