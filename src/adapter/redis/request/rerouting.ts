/**
 * Finds a new place, or a later time, for the requests of one connection that came back without having run: their keys have moved,
 * are moving, the group's leader has changed, or the group takes nothing in now.
 *
 * It works in rounds. A round begins when every group pipeline that gave something back is empty, and ends when all that it sent is
 * settled or back. Within a round every key has one destination, so requests on one key stay in order in one of them; a
 * request whose keys would go different ways ends the round before it. While rounds go on the connection starts nothing
 * new. So requests on one key never have two ways at one time, whatever the hints and the directory say. A request that names very many keys has a
 * round to itself: to look for each of them among the others' would hold up the node.
 *
 * Rounds without progress pause between 5 and 100 ms, with jitter, and probe with a few requests only, so a connection
 * cannot storm the groups, however long its pipeline is.
 *
 * While writes are held back the client is slowed instead of refused: its connection is not read, one request a round probes, and each
 * round after one that went through is twice as large. Nothing is given up as long as something of the connection goes through.
 */

import { NotOwnerError, WriteBackpressureError } from '../../../kv/index.ts';
import { type Backoff, backoffMs, type GroupId, type Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { BEHIND, BehindError, type Reply } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';
import { type GroupPipeline, setDeadline } from './group-pipeline.ts';
import type { GroupRequest } from './group-request.ts';
import { crossGroup, findsBeyond } from './routing.ts';

/** Most requests of a round, and of one after a round that settled nothing. */
const MAX_ROUND_REQUESTS = 1024;
const MAX_PROBES = 16;
/** Things that a request names before it has a round to itself. */
const MOST_NAMED = 4_096;
/** Pause before a round when the one before brought nothing. */
const PAUSE: Backoff = { baseMs: 5, capMs: 100, factor: 2, jitter: 'aboveBase' };
/** Longest wait for a group that holds writes back; it says itself when it is worth coming again. */
const MAX_HELD_PAUSE_MS = 250;
/** Rounds without progress that may follow a new hint at once. */
const MAX_QUICK_ROUNDS = 3;
/** After this many, every second hint is ignored: two groups that name each other are settled by the directory. */
const MAX_TRUSTED_HINTS = 4;

const isWide = (request: GroupRequest): boolean => request.namedCount() > MOST_NAMED;

/** What rerouting needs from its connection. */
export interface ReroutingHost {
  readonly server: ServerState;
  pipelineOf(group: GroupId): GroupPipeline;
  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void;
  /** Whether a request with these keys may run on several groups at once. */
  readonly session: { mayCross(storageKeys: () => readonly Buffer[]): boolean };
  /** Runs a request on all groups that its keys belong to now. */
  runAcross(request: GroupRequest): Promise<Reply>;
  /** Everything that came back is settled: commands may be started again. */
  reroutingDone(): void;
}

export class Rerouting {
  private readonly host: ReroutingHost;
  /** Requests without a place, in the order of the connection. */
  private waiting: GroupRequest[] = [];
  /** Requests that the present round has sent. */
  private readonly sent = new Set<GroupRequest>();
  private stalledGroups = 0;
  private isRoundScheduled = false;
  private isSending = false;
  /** Rounds that settled nothing, one after the other. */
  private quietRounds = 0;
  private settledInRound = 0;
  /** Of them those that went through, and of the round before. */
  private passedInRound = 0;
  private passedBefore = 0;
  /** Something came back since the round began. */
  private isRefused = false;
  /** Why the group last refused one that had nothing before it; the others only stand behind. */
  private reason: Error = BEHIND;
  /** When something last went through, or writes began to be held back, monotonic: patience begins anew. */
  private progressMs: Millis = 0;
  /** When a write was last held back, monotonic. */
  private heldMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(host: ReroutingHost) {
    this.host = host;
  }

  /** True from the first request that comes back until all are settled. */
  get isActive(): boolean {
    return this.stalledGroups > 0 || this.waiting.length > 0 || this.sent.size > 0;
  }

  groupStalled(): void {
    this.stalledGroups++;
  }

  groupDrained(requests: readonly GroupRequest[]): void {
    this.stalledGroups--;
    this.isRefused ||= requests.length > 0;
    for (const request of requests) {
      this.sent.delete(request);
      this.waiting.push(request);
    }
    this.goOn();
  }

  /** Must be told about every request that is settled. */
  requestSettled(request: GroupRequest, error: Error | undefined): void {
    if (!this.sent.delete(request)) return;
    this.settledInRound++;
    // A read that goes through says nothing of writes that are held back.
    if (error === undefined && (request.isWrite || !this.isHeldBack)) {
      this.passedInRound++;
      this.progressMs = this.host.server.clock.monotonicMs();
    }
    this.goOn();
  }

  /** Begins the next round when the last one is over. */
  private goOn(): void {
    if (this.isSending || this.isRoundScheduled || this.stalledGroups > 0 || this.sent.size > 0) return;
    if (this.settledInRound > 0) this.quietRounds = 0;
    // All that the round sent went through.
    if (this.passedInRound > 0 && !this.isRefused) this.reason = BEHIND;
    this.passedBefore = this.passedInRound;
    this.passedInRound = 0;
    this.settledInRound = 0;
    this.isRefused = false;
    if (this.waiting.length === 0) {
      this.quietRounds = 0;
      this.reason = BEHIND;
      this.host.reroutingDone();
      return;
    }
    this.waiting.sort((a, b) => a.order - b.order);
    this.noteReason(this.waiting[0]!.journey.refusal);
    this.isRoundScheduled = true;
    const begin = () => {
      this.isRoundScheduled = false;
      this.round();
    };
    const pauseMs = this.pauseBefore(this.waiting[0]!);
    if (pauseMs === 0) queueMicrotask(begin);
    else this.host.server.scheduler.after(pauseMs, begin);
  }

  private noteReason(refusal: Error | undefined): void {
    if (refusal === undefined || refusal instanceof BehindError) return;
    this.reason = refusal;
    if (!(refusal instanceof WriteBackpressureError)) return;
    const { clock, commandTimeoutMs } = this.host.server;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.heldMs > commandTimeoutMs + 2 * MAX_HELD_PAUSE_MS)
      this.progressMs = Math.max(this.progressMs, nowMs);
    this.heldMs = nowMs;
  }

  /** When a request is given up, monotonic. What is held back waits as long as something passes, and not once more for each command. */
  private untilMs({ journey, isWrite }: GroupRequest, nowMs: Millis): Millis {
    const { commandTimeoutMs } = this.host.server;
    const untilMs = this.progressMs + commandTimeoutMs;
    if (!this.isHeldBack) return Math.max(journey.deadlineMs, untilMs);
    // A read has waited behind writes, and not for anything of its own.
    return isWrite ? untilMs : nowMs + commandTimeoutMs;
  }

  /** Writes of the connection are. */
  private get isHeldBack(): boolean {
    return this.reason instanceof WriteBackpressureError;
  }

  /** True when a request is not asked again: with less than a tenth of the time left its outcome might stay unknown. */
  private isOver(request: GroupRequest, nowMs: Millis): boolean {
    return nowMs >= this.untilMs(request, nowMs) - this.host.server.commandTimeoutMs / 10;
  }

  /** No pause when something new is known about the first request, a few times in a row. */
  private pauseBefore(first: GroupRequest): Millis {
    const { refusal, refusedBy } = first.journey;
    const isNews =
      first.runsAlone ||
      refusal instanceof NotLeaderError ||
      (refusal instanceof NotOwnerError && this.destinationOf(first, undefined) !== refusedBy);
    if (isNews && this.quietRounds < MAX_QUICK_ROUNDS) return 0;
    const { random, clock } = this.host.server;
    if (this.isOver(first, clock.monotonicMs())) return 0;
    if (this.reason instanceof WriteBackpressureError)
      return Math.min(MAX_HELD_PAUSE_MS, Math.max(PAUSE.baseMs, this.reason.retryAfterMs)) * (1 + random.next());
    return backoffMs(PAUSE, this.quietRounds + 1, random);
  }

  /** How many requests a round may send. */
  private get roundLimit(): number {
    if (this.isHeldBack) return Math.min(MAX_ROUND_REQUESTS, Math.max(1, this.passedBefore * 2));
    return this.quietRounds === 0 ? MAX_ROUND_REQUESTS : MAX_PROBES;
  }

  private round(): void {
    const { clock, commandTimeoutMs } = this.host.server;
    const nowMs = clock.monotonicMs();
    let limit = this.roundLimit;
    this.quietRounds++;
    const { waiting } = this;
    const destinations = new Map<string, GroupId>();
    const leaving: { readonly request: GroupRequest; readonly group: GroupId }[] = [];
    const failed: { readonly request: GroupRequest; readonly error: Error }[] = [];
    let next = 0;
    for (; next < waiting.length && leaving.length < limit; next++) {
      const request = waiting[next]!;
      const { journey } = request;
      setDeadline(request, commandTimeoutMs);
      if (this.isOver(request, nowMs)) {
        const isBehind = journey.refusal === undefined || journey.refusal instanceof BehindError;
        failed.push({ request, error: isBehind ? this.reason : journey.refusal! });
        continue;
      }
      journey.deadlineMs = Math.max(journey.deadlineMs, this.untilMs(request, nowMs));
      if (isWide(request) && leaving.length > 0) break;
      const group = this.destinationOf(request, destinations);
      if (group === 'behind') break;
      if (group === undefined && (request.runsAlone || this.host.session.mayCross(() => request.storageKeys()))) {
        // It runs alone: what is before it first, what is behind it later.
        if (leaving.length === 0) {
          this.waiting = waiting.slice(next + 1);
          this.sendAcross(request);
          for (const { request: late, error } of failed) this.settleFailed(late, error);
          return;
        }
        break;
      }
      if (group === undefined) failed.push({ request, error: crossGroup() });
      else leaving.push({ request, group });
      if (isWide(request)) limit = leaving.length;
    }
    this.waiting = waiting.slice(next);
    for (const { request } of leaving) this.sent.add(request);
    // Requests may be settled or come back while the others are still leaving.
    this.isSending = true;
    for (const { request, error } of failed) this.settleFailed(request, error);
    const behind = this.waiting;
    this.waiting = [];
    let position = 0;
    // When one is refused at once, nothing may pass it.
    while (position < leaving.length && this.waiting.length === 0 && this.stalledGroups === 0) {
      const { request, group } = leaving[position++]!;
      const pipeline = this.host.pipelineOf(group);
      request.assignTo(pipeline);
      pipeline.submit(request);
    }
    for (const { request } of leaving.slice(position)) {
      this.sent.delete(request);
      this.waiting.push(request);
    }
    for (const request of behind) this.waiting.push(request);
    this.isSending = false;
    this.goOn();
  }

  private settleFailed(request: GroupRequest, error: Error): void {
    this.settledInRound++;
    this.host.requestSettled(request, error, undefined);
  }

  /** Its keys have been torn apart. The round ends when it is settled. */
  private sendAcross(request: GroupRequest): void {
    this.sent.add(request);
    this.host.runAcross(request).then(
      (reply) => this.host.requestSettled(request, undefined, reply),
      (error: Error) => this.host.requestSettled(request, error, undefined),
    );
  }

  /**
   * The group to ask next: the one that an earlier request of the round took for the same key, else the one that was named
   * in the refusal, else the directory's.
   * @returns 'behind' when it must wait for earlier requests of the round, undefined when its keys belong to different groups or it is to
   *   run alone
   */
  private destinationOf(
    request: GroupRequest,
    destinations: Map<string, GroupId> | undefined,
  ): GroupId | 'behind' | undefined {
    const { kv } = this.host.server;
    if (request.runsAlone) return undefined;
    const { journey } = request;
    const keys = request.storageKeys();
    const findsAny = request.commands.some(({ spec }) => spec.findsAnyKey === true);
    const hasFound = findsAny && journey.refusal instanceof NotOwnerError;
    if (keys.length === 0) return hasFound ? undefined : journey.refusedBy;
    const isTrusted = journey.redirects < MAX_TRUSTED_HINTS || journey.redirects % 2 === 0;
    // What is named may be where a key is that nobody has named.
    const hint = isTrusted && !findsAny ? journey.hint : undefined;
    const names = destinations === undefined || isWide(request) ? [] : keys.map((key) => key.toString('latin1'));
    let group: GroupId | undefined;
    let isTaken = false;
    for (let index = 0; index < keys.length; index++) {
      const taken = destinations?.get(names[index]!);
      isTaken ||= taken !== undefined;
      const one = taken ?? hint ?? kv.groupOf(keys[index]!);
      if (group !== undefined && one !== group) return isTaken ? 'behind' : undefined;
      group = one;
    }
    // The group has all keys that the request names, and was not enough.
    if (hasFound && group === journey.refusedBy) return isTaken ? 'behind' : undefined;
    if (request.commands.some((command) => findsBeyond(kv, command, group))) return isTaken ? 'behind' : undefined;
    if (destinations !== undefined && group !== undefined) {
      for (const name of names) destinations.set(name, group);
      if (journey.hint !== undefined) journey.redirects++;
    }
    return group;
  }
}
