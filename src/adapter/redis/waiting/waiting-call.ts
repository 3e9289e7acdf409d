/**
 * A command that may wait, from its client's side: finds the group of its keys, stands in line there, and goes elsewhere when leaders or ranges
 * change. Where its keys belong to several groups it stands in each line only to be told, and then tries key by key itself.
 *
 * A client is told that its time is over when the leader has said that the command does not wait any more, and not before it has looked: what it may have
 * done for it by then is its answer.
 */
import type { KvService } from '../../../kv/index.ts';
import {
  type Backoff,
  backoffMs,
  type GroupId,
  isOutcomeUnknown,
  KvorumError,
  type Millis,
  sleep,
} from '../../../platform/index.ts';
import { OutcomeUnknownError } from '../../../raftengine/index.ts';
import { ErrorReply, NO_REPLY, type Reply } from '../protocol/index.ts';
import { alone, anyGroup, type CommandRequest, commonGroup } from '../request/index.ts';
import type { WaitingEnvironment } from './waiting-environment.ts';
import { WaitingEvaluation } from './waiting-operation.ts';
import { WaitingPlace, type WaitOutcome } from './waiting-place.ts';

/** Pause before a group is asked again that could not keep the command. */
const PAUSE: Backoff = { baseMs: 5, capMs: 100, factor: 2, jitter: 'aboveBase' };
/** Timers cannot be longer than 2^31 ms. */
const MAX_TIMER_MS: Millis = 2 ** 30;
/** Groups keep a copy of each. */
export const MAX_WAITED_KEYS = 1_000;

/** Why a wait ends before there was something; an error is what the client is told. One that is `gone` is told nothing. */
export type WaitEnd = 'timeout' | 'error' | 'gone' | ErrorReply;

/** What a waiting command needs beside. */
export interface WaitingCallEnvironment extends WaitingEnvironment {
  readonly kv: WaitingEnvironment['kv'] & KvService;
  /** Makes the command a request, with the arguments that it has by now. */
  requestOf(args: readonly Buffer[]): CommandRequest;
  /** Runs a request on all groups that its keys belong to. */
  runAcross(request: CommandRequest): Promise<Reply>;
}

const UNBLOCKED = new ErrorReply('UNBLOCKED client unblocked via CLIENT UNBLOCK');

/** See the top of the file. */
export class WaitingCall {
  private readonly environment: WaitingCallEnvironment;
  private args: readonly Buffer[];
  private readonly startedMs: Millis;
  private readonly untilMs: Millis;
  private readonly atTimeout: Reply;
  private hasWaited = false;
  /** All keys have been looked at once. */
  private hasLooked = false;
  private ended: WaitEnd | undefined;
  private cancelTimer: (() => void) | undefined;
  /** Where it stands in line now, to be served. */
  private place: WaitingPlace | undefined;
  /** Called when it ends while it stands in line to be told. */
  private onEnd: (() => void) | undefined;
  private tries = 0;
  /** Times that a group has said that there is something. */
  private notices = 0;
  /** It stands in all lines in which it is to be told. */
  private isToldByAll = false;

  /** @param patienceMs Infinity: for ever */
  constructor(environment: WaitingCallEnvironment, args: readonly Buffer[], patienceMs: Millis, atTimeout: Reply) {
    this.environment = environment;
    this.args = args;
    this.startedMs = environment.clock.monotonicMs();
    this.untilMs = this.startedMs + patienceMs;
    this.atTimeout = atTimeout;
  }

  /** Ends the wait; the outcome of `run` follows. Only the first one counts. */
  end(why: WaitEnd): void {
    if (this.ended !== undefined) return;
    this.ended = why;
    this.place?.end(this.isOver);
    this.onEnd?.();
  }

  /**
   * Runs until there is an answer.
   * @throws OutcomeUnknownError when it may have taken something that nobody has got; what the command fails with
   */
  async run(): Promise<Reply> {
    this.armTimer();
    try {
      for (;;) {
        if (this.isOver) return this.endReply(this.ended!);
        const reply = await this.attempt();
        if (reply !== undefined) return reply;
      }
    } finally {
      this.cancelTimer?.();
    }
  }

  private armTimer(): void {
    if (this.untilMs === Number.POSITIVE_INFINITY) return;
    const { clock, scheduler } = this.environment;
    const leftMs = this.untilMs - clock.monotonicMs();
    this.cancelTimer = scheduler.after(Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(leftMs))), () => {
      if (clock.monotonicMs() >= this.untilMs) this.end('timeout');
      else this.armTimer();
    });
  }

  private endReply(why: WaitEnd): Reply {
    if (why instanceof ErrorReply) return why;
    // That nothing came in time would be false: its connection ends, and where it is a client says it again elsewhere.
    if (why === 'gone') return NO_REPLY;
    return why === 'error' ? UNBLOCKED : this.atTimeout;
  }

  /** @returns undefined when it has to be done again */
  private attempt(): Promise<Reply | undefined> {
    const request = this.environment.requestOf(this.args);
    const group = commonGroup(this.environment.kv, request.storageKeys());
    if (group === 'several') return this.amongGroups(request);
    return this.inGroup(group ?? anyGroup(this.environment.kv), request);
  }

  /** It may be answered that there was nothing. */
  private get isOver(): boolean {
    return this.ended === 'gone' || (this.ended !== undefined && this.hasLooked);
  }

  /** Leaders have said that it waits. */
  get isInLine(): boolean {
    return this.place?.hasWaited === true || this.isToldByAll;
  }

  private get waitedMs(): Millis {
    return this.environment.clock.monotonicMs() - this.startedMs;
  }

  private async inGroup(group: GroupId, request: CommandRequest): Promise<Reply | undefined> {
    const place = new WaitingPlace(this.environment, group);
    this.place = place;
    const { hasWaited, waitedMs } = this;
    place.begin(request, { mode: 'wait', hasWaited, waitedMs, only: undefined });
    if (this.ended !== undefined) place.end(this.isOver);
    const outcome = await place.outcome;
    this.place = undefined;
    this.note(place);
    return this.answerOf(outcome, request);
  }

  /** What a place has learnt. */
  private note(place: WaitingPlace): void {
    if (place.hasWaited) this.tries = 0;
    this.hasWaited ||= place.hasWaited;
    this.hasLooked ||= place.hasWaited;
    this.args = place.args ?? this.args;
  }

  /** @returns undefined when nothing happened and it goes on */
  private async answerOf(outcome: WaitOutcome, request: CommandRequest): Promise<Reply | undefined> {
    switch (outcome.kind) {
      case 'reply':
        return outcome.reply;
      case 'nothing':
      case 'ended':
        return undefined;
      case 'unknown':
        if (request.isWrite) throw new OutcomeUnknownError('the leader has not said what became of the command');
        await this.pause();
        return undefined;
      case 'returned':
      case 'failed':
        await this.pauseAfter(outcome.error);
        return undefined;
    }
  }

  /** A command that has not begun to wait has the patience of all others. @throws the error */
  private async pauseAfter(error: Error): Promise<void> {
    const isPassing = error instanceof KvorumError && error.disposition !== 'final' && !isOutcomeUnknown(error);
    if (!isPassing) throw error;
    if (!this.hasWaited && this.waitedMs >= this.environment.commandTimeoutMs) throw error;
    await this.pause();
  }

  private async pause(): Promise<void> {
    const { scheduler, random } = this.environment;
    if (!this.isOver) await sleep(scheduler, backoffMs(PAUSE, ++this.tries, random));
  }

  /** Its keys belong to several groups: tries, and waits until one of them says that there is something. */
  private async amongGroups(request: CommandRequest): Promise<Reply | undefined> {
    const keys = request.spec.waits!.keys(this.args);
    const reply = await this.tryAll(request, keys);
    if (reply !== undefined || this.ended !== undefined || !this.hasLooked) return reply;
    return this.untilTold(keys);
  }

  private async tryAll(request: CommandRequest, keys: readonly Buffer[]): Promise<Reply | undefined> {
    if (request.storageKeys().length > keys.length) return this.tryAcross(request);
    for (const key of keys) {
      const { kv } = this.environment;
      const place = new WaitingPlace(this.environment, kv.groupOf(request.keyspace.storageKey(key)));
      const { hasWaited, waitedMs } = this;
      place.begin(request, { mode: 'try', hasWaited, waitedMs, only: [key] });
      const outcome = await place.outcome;
      const reply = await this.answerOf(outcome, request);
      if (reply !== undefined) return reply;
      // A key that could not be looked at is looked at before those behind it.
      if (outcome.kind !== 'nothing') return undefined;
    }
    this.hasLooked = true;
    return undefined;
  }

  /** It has keys that it does not wait for: one transaction over all of them. */
  private async tryAcross(request: CommandRequest): Promise<Reply | undefined> {
    const waiting = new WaitingEvaluation(this.hasWaited, undefined, undefined);
    request.waiting = waiting;
    request.assignTo(alone());
    try {
      const reply = await this.environment.runAcross(request);
      this.hasLooked = true;
      return waiting.awaited === undefined ? reply : undefined;
    } catch (error) {
      await this.pauseAfter(error as Error);
      return undefined;
    }
  }

  /** Stands in the line of each group until one of them says that there is something. */
  private async untilTold(keys: readonly Buffer[]): Promise<Reply | undefined> {
    const { kv } = this.environment;
    const request = this.environment.requestOf(this.args);
    const byGroup = Map.groupBy(keys, (key) => kv.groupOf(request.keyspace.storageKey(key)));
    const places: WaitingPlace[] = [];
    const ended = new Promise<undefined>((resolve) => {
      this.onEnd = () => resolve(undefined);
    });
    try {
      // One after the other: each may change the arguments.
      for (const [group, only] of byGroup) {
        const place = new WaitingPlace(this.environment, group);
        places.push(place);
        const { waitedMs } = this;
        place.begin(this.environment.requestOf(this.args), { mode: 'notice', hasWaited: true, waitedMs, only });
        await Promise.race([place.begun, ended]);
        if (this.ended !== undefined) return undefined;
        this.note(place);
      }
      this.isToldByAll = true;
      const outcome = await Promise.race([ended, ...places.map((place) => place.outcome)]);
      if (outcome === undefined) return undefined;
      if (outcome.kind === 'reply' || outcome.kind === 'unknown') {
        // Others are quicker, again and again.
        if (this.notices++ > 0) await this.pause();
        return undefined;
      }
      return await this.answerOf(outcome, request);
    } finally {
      this.onEnd = undefined;
      this.isToldByAll = false;
      for (const place of places) place.end(true);
    }
  }
}
