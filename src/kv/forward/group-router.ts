/**
 * Takes what is asked of keys to the group that has them now, wherever that is and however ranges move meanwhile. A group
 * that refuses has done nothing, so it is asked again, or the one that it names is, until the deadline; pauses between 5
 * and 100 ms with jitter keep a node from storming groups that cannot serve.
 */

import {
  type Backoff,
  backoffMs,
  type Clock,
  dispositionOf,
  type GroupId,
  isOutcomeUnknown,
  type Millis,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { isSnapshotTooOld } from '../../store/index.ts';
import { isHeldBack } from '../admission/index.ts';
import {
  CrossGroupError,
  type KeyStretch,
  type KvService,
  LeaderUnavailableError,
  NotOwnerError,
  type Operation,
  RangeBusyError,
  type ScanPage,
  type ScanRequest,
} from '../contract/index.ts';
import { forwarded } from './forwarded.ts';

/** Pauses before a group or the directory is asked again. */
const PAUSE: Backoff = { baseMs: 5, capMs: 100, factor: 2, jitter: 'aboveBase' };
/** A group's own word about who took a range over is followed this often in a row before the directory is asked again. */
const MAX_TRUSTED_HINTS = 4;

export interface GroupRouterOptions {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

/** How long and how often something may be asked. */
export interface RoutingOptions {
  /** On the monotonic clock. */
  readonly deadlineMs: Millis;
  /** It changes nothing, so it is asked again also when an answer was lost. */
  readonly isRead: boolean;
  /** Nobody waits any more: no further attempt is begun. */
  readonly signal?: AbortSignal | undefined;
}

export class GroupRouter {
  readonly kv: KvService;
  private readonly options: GroupRouterOptions;

  constructor(options: GroupRouterOptions) {
    this.kv = options.kv;
    this.options = options;
  }

  /** A moment on the monotonic clock. */
  deadline(timeoutMs: Millis): Millis {
    return this.options.clock.monotonicMs() + timeoutMs;
  }

  /**
   * Asks the group that has all of `keys`, one at least.
   * @param ask is told how far the group's keys go from the first one on, as far as is known; undefined is not at all
   * @throws CrossGroupError when they belong to several, nothing has happened; the last refusal when the deadline passes
   */
  async at<T>(
    keys: readonly Buffer[],
    options: RoutingOptions,
    ask: (group: GroupId, stretch: KeyStretch | undefined) => Promise<T>,
  ): Promise<T> {
    let hint: GroupId | undefined;
    for (let attempt = 0; ; attempt++) {
      const stretch = hint === undefined ? this.commonStretch(keys) : undefined;
      const group = stretch?.group ?? hint!;
      try {
        return await ask(group, stretch);
      } catch (error) {
        if (!mayAskAgain(error, options.isRead)) throw error;
        const isMoved = error instanceof NotOwnerError;
        const isTrusted = isMoved && attempt % (MAX_TRUSTED_HINTS + 1) < MAX_TRUSTED_HINTS;
        hint = isTrusted ? error.hint : isMoved ? undefined : hint;
        const isNews = isMoved && (hint ?? this.kv.groupOf(keys[0]!)) !== group;
        await this.pause(attempt, isNews && attempt < MAX_TRUSTED_HINTS, options, error);
      }
    }
  }

  /** Asks one group, whatever keys it has, until it answers. @throws the last refusal when the deadline passes */
  async of<T>(options: RoutingOptions, ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (!mayAskAgain(error, options.isRead)) throw error;
        await this.pause(attempt, false, options, error);
      }
    }
  }

  private commonStretch(keys: readonly Buffer[]): KeyStretch {
    const stretch = this.kv.stretchAt(keys[0]!);
    for (let at = 1; at < keys.length; at++) {
      const group = this.kv.groupOf(keys[at]!);
      if (group !== stretch.group) throw new CrossGroupError(stretch.group, group);
    }
    return stretch;
  }

  /** Keys by the group that the directory gives them to, by their places in `keys`. */
  byGroup(keys: readonly Buffer[]): Map<GroupId, number[]> {
    const groups = new Map<GroupId, number[]>();
    for (let at = 0; at < keys.length; at++) {
      const group = this.kv.groupOf(keys[at]!);
      const places = groups.get(group);
      if (places === undefined) groups.set(group, [at]);
      else places.push(at);
    }
    return groups;
  }

  /** The last part of a range that the directory gives to one group. */
  lastStretch(rangeStart: Buffer, rangeEnd: Buffer): { readonly group: GroupId; readonly start: Buffer } {
    let start = rangeStart;
    for (;;) {
      const { group, end } = this.kv.stretchAt(start);
      if (end === undefined || Buffer.compare(end, rangeEnd) >= 0) return { group, start };
      start = end;
    }
  }

  /** The groups that the directory gives a range to, each once. */
  groupsOf(rangeStart: Buffer, rangeEnd: Buffer): GroupId[] {
    const groups = new Set<GroupId>();
    for (let start = rangeStart; ; ) {
      const { group, end } = this.kv.stretchAt(start);
      groups.add(group);
      if (end === undefined || Buffer.compare(end, rangeEnd) >= 0) return [...groups];
      start = end;
    }
  }

  /** Runs an operation where this node leads the group, else has its bytes run by the leader. */
  async run<Reply>(
    group: GroupId,
    evaluate: Operation<Reply>['evaluate'],
    remote: RemoteForm<Reply>,
    deadlineMs: Millis,
  ): Promise<Reply> {
    const { kv } = this;
    if (kv.servesLocally(group)) {
      try {
        return await submit(kv, group, evaluate);
      } catch (error) {
        if (!(error instanceof NotLeaderError)) throw error;
      }
    }
    return this.forward(group, remote, deadlineMs);
  }

  /** A page of the group's keys, here or from its leader. */
  async page(
    group: GroupId,
    request: ScanRequest,
    remote: RemoteForm<ScanPage>,
    deadlineMs: Millis,
  ): Promise<ScanPage> {
    if (this.kv.servesLocally(group)) {
      try {
        return await this.kv.scan(group, request);
      } catch (error) {
        if (!(error instanceof NotLeaderError)) throw error;
      }
    }
    return this.forward(group, remote, deadlineMs);
  }

  private async forward<Reply>(group: GroupId, remote: RemoteForm<Reply>, deadlineMs: Millis): Promise<Reply> {
    return remote.decode(await forwarded(this.kv, group, remote.service, remote.encode(group), deadlineMs));
  }

  /** Waits before the next attempt. @throws `error` when the deadline is over or nobody waits */
  private async pause(attempt: number, isNews: boolean, options: RoutingOptions, error: unknown): Promise<void> {
    const { clock, scheduler, random } = this.options;
    if (options.signal?.aborted === true || clock.monotonicMs() >= options.deadlineMs) {
      throw options.isRead ? ofRead(error) : error;
    }
    if (isNews) return;
    await sleep(scheduler, backoffMs(PAUSE, attempt + 1, random));
  }
}

/** A read has no outcome that could be unknown. */
function ofRead(error: unknown): unknown {
  if (!isOutcomeUnknown(error)) return error;
  return new LeaderUnavailableError('no leader answered in time; nothing happened', { cause: error });
}

/** How a question travels to the leader of a group. */
export interface RemoteForm<Reply> {
  /** Name that the leader's handler is registered under. */
  readonly service: string;
  encode(group: GroupId): Buffer;
  decode(reply: Buffer): Reply;
}

/** One operation on a locally led group. @throws what it completes with */
export function submit<Reply>(
  kv: Pick<KvService, 'submit'>,
  group: GroupId,
  evaluate: Operation<Reply>['evaluate'],
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    kv.submit<Reply>(group, {
      evaluate,
      complete: (error, reply) => {
        if (error === undefined) resolve(reply as Reply);
        else reject(error);
      },
    });
  });
}

/** True for errors after which nothing has happened, or nothing that matters. */
function mayAskAgain(error: unknown, isRead: boolean): boolean {
  if (isHeldBack(error)) return false;
  if (error instanceof RangeBusyError || error instanceof NotOwnerError) return true;
  switch (dispositionOf(error)) {
    case 'redirect':
    case 'wait':
    case 'restart':
      // The history at that timestamp will not come back.
      return !isSnapshotTooOld(error);
    case 'unknown':
      return isRead;
    default:
      return false;
  }
}
