/**
 * Leader proxy: any node takes any request and the group's leader runs it. A request crosses one node boundary at most.
 * It is sent again only while it is certain that nothing was proposed: the frame was not taken by the network, or the
 * other side said so. When the connection breaks after sending, the outcome is unknown and is reported as that.
 *
 * While nobody is known to lead, or the leader does not answer (`CircuitBreaker`), requests wait here without a message. They go on as soon as the
 * replica here hears of another leader, and one look every 25 ms finds out whatever else may let them. So a node that is cut off costs the
 * others next to nothing.
 */
import {
  backoffMs,
  type Cancel,
  type Clock,
  FlowingMap,
  type GroupId,
  KvorumError,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../../raftengine/index.ts';
import { isHeldBack } from '../admission/index.ts';
import {
  type AnswerBytes,
  type ForwardHandler,
  LeaderUnavailableError,
  NotOwnerError,
  RangeBusyError,
  wholeAnswer,
} from '../contract/index.ts';
import { type AnsweredRequest, AnswerStreams, type AwaitedAnswer, answerLength } from './answer-streams.ts';
import { Departures } from './departures.ts';
import { RetryBudget } from './forward-breaker.ts';
import {
  decodeFrame,
  type ForwardMessage,
  type ForwardReply,
  type ForwardRequest,
  ForwardStatus,
} from './forward-codec.ts';
import { ForwardCounters } from './forward-counters.ts';
import { errorOf, statusOf } from './forward-errors.ts';
import { ForwardOutbox } from './forward-outbox.ts';
import { type GroupDirectory, GroupPath } from './forward-path.ts';
import { ForwardReceiver } from './forward-receiver.ts';
import {
  DEFAULT_PROXY_LIMITS,
  type Forward,
  type ForwardDone,
  type LeaderProxyOptions,
  type ProxyLimits,
  type ProxyStats,
} from './forward-types.ts';

/** Deadlines, and whether waiting requests may go on, are looked at this often. */
const SWEEP_MS: Millis = 25;
/** A look that comes so much too late says that this node was busy, and nothing of others. */
const LATE_MS: Millis = 25;
/** An answer of which a part has come is waited for so much longer. */
const ARRIVING_MS: Millis = 1000;

export class LeaderProxy {
  /** Nodes that stop in good order; those that leave are sent nothing. */
  readonly departures: Departures;
  private readonly network: PeerNetwork;
  private readonly directory: GroupDirectory;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly excuse: () => string | undefined;
  private readonly limits: ProxyLimits;
  private readonly outbox: ForwardOutbox<Forward>;
  private readonly budget: RetryBudget;
  private readonly receiver: ForwardReceiver;
  private readonly streams: AnswerStreams;
  private readonly streamsAnswers: () => boolean;
  private readonly paths = new Map<GroupId, GroupPath>();
  /** Requests that wait for a leader, in order, by group. */
  private readonly waiting = new Map<GroupPath, Forward[]>();
  /** Requests that were refused and pause before they are sent again, with what ends the pause, by group. */
  private readonly pausing = new Map<GroupPath, Map<Forward, Cancel>>();
  /** Every request that is not done: for deadlines and limits. */
  private readonly forwards = new FlowingMap<Forward, true>();
  /** Sent requests by id. */
  private readonly sent = new FlowingMap<number, Forward>();
  private forwardBytes = 0;
  private readonly epoch: number;
  private nextId = 1;
  private sweep: Cancel | undefined;
  private isClosed = false;
  private readonly counters = new ForwardCounters();
  private forwardCount = 0;
  private probeCount = 0;
  private heldBackCount = 0;
  private overBudgetCount = 0;

  constructor(options: LeaderProxyOptions) {
    const { network, clock, scheduler } = options;
    this.network = network;
    this.directory = options.directory;
    this.clock = clock;
    this.scheduler = scheduler;
    this.random = options.random;
    this.excuse = options.excuse ?? (() => undefined);
    this.limits = { ...DEFAULT_PROXY_LIMITS, ...options.limits };
    this.budget = new RetryBudget(clock.monotonicMs(), this.limits.retryBudget);
    this.epoch = options.random.bytes(4).readUInt32BE(0);
    this.outbox = new ForwardOutbox<Forward>({
      network,
      clock,
      scheduler,
      maxFrameBytes: this.limits.maxFrameBytes,
      gatherTurns: this.limits.gatherTurns,
      maxUnsentReplyBytes: this.limits.maxUnsentReplyBytes,
      message: (forward, remainingMs) => this.messageOf(forward, remainingMs),
      onSent: (forward, id, peer) => {
        this.counters.messages++;
        if (forward.asked.length === 0) this.budget.earn();
        else this.counters.repeats++;
        forward.asked.push(forward.target!.identity);
        forward.sentTo = peer;
        forward.sentMs = this.clock.monotonicMs();
        this.sent.set(id, forward);
      },
      onRefused: (forwards, peer) => this.refused(forwards, peer),
    });
    this.streamsAnswers = options.streamsAnswers ?? (() => false);
    this.streams = new AnswerStreams({
      network,
      maxBytes: this.limits.maxUnsentReplyBytes,
      onFailed: (peer, { epoch, id }) => {
        const lost = statusOf(new OutcomeUnknownError('the answer could not be sent'));
        this.outbox.reply(peer, { kind: 'reply', epoch, id, ...lost });
      },
      awaited: (from, request) => this.awaited(from, request),
    });
    this.receiver = new ForwardReceiver({
      self: network.self,
      clock,
      directory: options.directory,
      minRemainingMs: this.limits.minRemainingMs,
      counters: this.counters,
      leaderOf: (group) => this.leaderOf(group),
      reply: (peer, message) => this.outbox.reply(peer, message),
      answer: (peer, request, answer) => this.answer(peer, request, answer),
    });
    this.departures = new Departures({ network, clock, scheduler, unanswered: (peer) => this.unansweredBy(peer) });
    network.onFrame('forward', (from, frame) => this.receive(from, frame));
    network.onPeerLost((peer) => this.losePeer(peer));
  }

  /** Registers the leader-side handler of a service (Latin-1 name of at most 255 characters). */
  onForward(service: string, handler: ForwardHandler): void {
    this.receiver.onForward(service, handler);
  }

  stats(): ProxyStats {
    let openBreakers = 0;
    let breakerOpens = 0;
    for (const { breaker } of this.paths.values()) {
      if (breaker.isOpen) openBreakers += 1;
      breakerOpens += breaker.opens;
    }
    return {
      counters: this.counters,
      pending: this.forwards.size,
      breakers: this.paths.size,
      forwards: this.forwardCount,
      openBreakers,
      breakerOpens,
      probes: this.probeCount,
      heldBack: this.heldBackCount,
      overBudget: this.overBudgetCount,
    };
  }

  /** What says that nobody was reached, and why when that is known. */
  unavailable(what: string, cause?: unknown): LeaderUnavailableError {
    return new LeaderUnavailableError(what, { cause, because: this.excuse() });
  }

  /** Who leads a group that has no replica here, as far as its answers told. */
  leaderOf(group: GroupId): NodeId | undefined {
    return this.paths.get(group)?.hint();
  }

  /** Who leads a group, as far as this node knows it now. */
  witnessedLeaderOf(group: GroupId): NodeId | undefined {
    return this.path(group).witnessed(this.clock.monotonicMs());
  }

  /** See `KvService.forward`. */
  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: ForwardDone,
    workUntilMs: Millis = deadlineMs,
  ): void {
    if (this.isClosed) {
      done(this.unavailable('the node is stopping'), undefined);
      return;
    }
    if (payload.length > this.limits.maxForwardBytes) {
      done(new TooLargeError('the request is larger than what may be forwarded'), undefined);
      return;
    }
    const isOverBytes = this.forwardBytes + payload.length > this.limits.maxForwardBytes;
    if (this.forwards.size >= this.limits.maxForwards || isOverBytes) {
      this.counters.outcomes.busy++;
      done(new BusyError('too many requests are being forwarded; try again later'), undefined);
      return;
    }
    const forward: Forward = {
      path: this.path(group),
      service,
      payload,
      deadlineMs,
      workUntilMs,
      done,
      attempts: 0,
      hint: undefined,
      target: undefined,
      isProbe: false,
      arrivingUntilMs: 0,
      sentTo: undefined,
      sentMs: 0,
      asked: [],
      lastError: undefined,
      isDone: false,
    };
    this.forwards.set(forward, true);
    this.forwardBytes += payload.length;
    this.forwardCount += 1;
    this.lookLater();
    this.attempt(forward);
  }

  private path(group: GroupId): GroupPath {
    let path = this.paths.get(group);
    if (path === undefined) {
      path = new GroupPath(group, this.directory, this.network.self, this.limits.breaker);
      this.paths.set(group, path);
    }
    return path;
  }

  private finish(forward: Forward, error: Error | undefined, reply: Buffer | undefined): void {
    if (forward.isDone) return;
    forward.isDone = true;
    this.forwards.delete(forward);
    this.forwardBytes -= forward.payload.length;
    this.releaseProbe(forward);
    this.counters.finished(error, forward.asked.length);
    forward.done(error, reply);
  }

  /** A probe that ends without a verdict makes room for the next one. */
  private releaseProbe(forward: Forward): void {
    if (!forward.isProbe) return;
    forward.isProbe = false;
    forward.path.breaker.released(forward.target!.identity, this.clock.monotonicMs());
  }

  private attempt(forward: Forward): void {
    if (forward.isDone) return;
    const nowMs = this.clock.monotonicMs();
    if (nowMs >= forward.deadlineMs) {
      this.giveUp(forward, nowMs);
      return;
    }
    const { hint, path } = forward;
    forward.hint = undefined;
    if (path.isServing) {
      this.runLocally(forward);
      return;
    }
    const target = path.target(hint, nowMs);
    if (target === undefined || this.leaves(path, target.node)) {
      this.wait(forward);
      return;
    }
    // To wait for a range that is being handed over is not what the budget is about.
    const isRepetition = forward.asked.includes(target.identity) && !(forward.lastError instanceof RangeBusyError);
    if (isRepetition && !this.budget.take(nowMs)) {
      this.overBudgetCount += 1;
      this.retryLater(forward);
      return;
    }
    const admission = path.breaker.admit(target.identity, nowMs);
    if (admission === 'wait') {
      this.heldBackCount += 1;
      this.wait(forward);
      return;
    }
    forward.target = target;
    forward.isProbe = admission === 'probe';
    if (forward.isProbe) this.probeCount += 1;
    this.outbox.send(target.node, forward);
  }

  /** A node that stops in good order leads nothing any more: who does is soon heard here, or from somebody else. */
  private leaves(path: GroupPath, node: NodeId): boolean {
    const isLeaving = this.departures.isPeerLeaving(node);
    if (isLeaving) path.lost(node);
    return isLeaving;
  }

  private unansweredBy(peer: NodeId): number {
    let count = 0;
    for (const forward of this.sent.values()) if (forward.sentTo === peer && !forward.isDone) count++;
    return count;
  }

  /** Until the sweep finds somebody to ask. */
  private wait(forward: Forward): void {
    const waiting = this.waiting.get(forward.path);
    if (waiting === undefined) this.waiting.set(forward.path, [forward]);
    else waiting.push(forward);
  }

  private giveUp(forward: Forward, nowMs: Millis): void {
    if (forward.sentTo !== undefined) {
      if (forward.sentTo !== this.network.self && nowMs - forward.sentMs >= this.limits.minSilenceMs) {
        this.failed(forward, nowMs);
      }
      this.finish(forward, new OutcomeUnknownError('the leader did not answer in time'), undefined);
    } else if (forward.lastError instanceof BusyError || forward.lastError instanceof RangeBusyError) {
      this.finish(forward, forward.lastError, undefined);
    } else {
      const message = `no leader of group ${forward.path.groupId} could be reached in time; nothing happened`;
      this.finish(forward, this.unavailable(message, forward.lastError), undefined);
    }
  }

  private failed(forward: Forward, nowMs: Millis): void {
    const { path, target, isProbe } = forward;
    forward.isProbe = false;
    path.breaker.failed(target!.identity, nowMs, isProbe);
    path.lost(target!.node);
  }

  /** What shared a frame failed together: one sign, not many. */
  private refused(forwards: readonly Forward[], peer: NodeId): void {
    const nowMs = this.clock.monotonicMs();
    const told = new Set<GroupPath>();
    for (const forward of forwards) {
      if (forward.isProbe || !told.has(forward.path)) this.failed(forward, nowMs);
      told.add(forward.path);
      forward.lastError ??= new LeaderUnavailableError(`node ${peer} cannot be reached`);
      this.retryLater(forward);
    }
  }

  /** Full jitter, so that those who wait for the same election do not come back together. */
  private retryLater(forward: Forward): void {
    forward.sentTo = undefined;
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.limits;
    const delayMs = backoffMs({ baseMs, capMs, factor: 2, jitter: 'full' }, forward.attempts++, this.random);
    const { path } = forward;
    let pausing = this.pausing.get(path);
    if (pausing === undefined) {
      pausing = new Map();
      this.pausing.set(path, pausing);
    }
    const cancel = this.scheduler.after(Math.ceil(delayMs), () => {
      this.endPause(forward);
      this.attempt(forward);
    });
    pausing.set(forward, cancel);
  }

  private endPause(forward: Forward): void {
    const pausing = this.pausing.get(forward.path);
    pausing?.delete(forward);
    if (pausing?.size === 0) this.pausing.delete(forward.path);
  }

  /** The replica here knows another leader, or none any more, or begins to serve: whoever waits for that goes on at once. */
  leaderChanged(group: GroupId): void {
    if (this.isClosed) return;
    this.receiver.release(group);
    const path = this.paths.get(group);
    if (path === undefined) return;
    const nowMs = this.clock.monotonicMs();
    const waiting = this.waiting.get(path);
    if (waiting !== undefined) this.goOn(path, waiting, nowMs);
    const pausing = this.pausing.get(path);
    if (pausing === undefined || this.isStuck(path, nowMs)) return;
    this.pausing.delete(path);
    for (const [forward, cancel] of pausing) {
      cancel();
      this.attempt(forward);
    }
  }

  private runLocally(forward: Forward): void {
    forward.sentTo = this.network.self;
    forward.sentMs = this.clock.monotonicMs();
    this.receiver.run(forward.service, forward.payload, (error, reply) =>
      this.conclude(forward, error, reply === undefined ? undefined : wholeAnswer(reply), undefined),
    );
  }

  /** An answer came: done, or certainly not proposed and therefore tried again. */
  private conclude(
    forward: Forward,
    error: Error | undefined,
    reply: Buffer | undefined,
    from: NodeId | undefined,
  ): void {
    if (forward.isDone) return;
    if (from !== undefined) this.answered(forward, error, from);
    // Who owns a key is for the caller to find out: it may be more than one group now.
    const isRetryable =
      error instanceof KvorumError &&
      !(error instanceof NotOwnerError) &&
      // Whoever wrote is to hear of it, and of when to come again.
      !isHeldBack(error) &&
      (error.disposition === 'redirect' || error.disposition === 'wait');
    if (!isRetryable) {
      this.finish(forward, error, reply);
      return;
    }
    forward.sentTo = undefined;
    forward.lastError = error;
    const workedMs = this.clock.monotonicMs() - forward.sentMs;
    forward.deadlineMs = Math.max(forward.deadlineMs, Math.min(forward.deadlineMs + workedMs, forward.workUntilMs));
    const hint = error instanceof NotLeaderError ? error.leaderHint : undefined;
    // A fresh hint is followed at once, but not in circles: every second attempt backs off.
    if (hint !== undefined && hint !== from && hint !== this.network.self && forward.attempts % 2 === 0) {
      forward.attempts++;
      forward.hint = hint;
      this.attempt(forward);
    } else this.retryLater(forward);
  }

  /** Any answer shows that the node is alive; one that is not "not me" shows who leads. */
  private answered(forward: Forward, error: Error | undefined, from: NodeId): void {
    const { path } = forward;
    forward.isProbe = false;
    path.breaker.answered(forward.target!.identity);
    if (error instanceof NotLeaderError) path.refused(from, error.leaderHint);
    else path.served(from, this.clock.monotonicMs());
  }

  private messageOf(forward: Forward, remainingMs: Millis): ForwardRequest {
    const id = this.nextId;
    this.nextId = this.nextId === 0xffff_ffff ? 1 : this.nextId + 1;
    const { service, payload, path } = forward;
    return { kind: 'request', epoch: this.epoch, id, hops: 1, remainingMs, group: path.groupId, service, payload };
  }

  /** Everything that comes in on the lane, whatever it is. A damaged frame is dropped as a whole. */
  private receive(from: NodeId, frame: Buffer): void {
    const messages: ForwardMessage[] | undefined = decodeFrame(frame);
    if (messages === undefined || this.isClosed) return;
    for (const message of messages) {
      if (message.kind === 'request') this.receiver.receive(from, message);
      else this.receiveReply(from, message);
    }
  }

  private answer(peer: NodeId, { epoch, id }: AnsweredRequest, answer: AnswerBytes): void {
    if (answerLength(answer) > this.limits.streamFromBytes && this.streamsAnswers()) {
      this.streams.send(peer, { epoch, id }, answer);
      return;
    }
    const ok = { status: ForwardStatus.Ok, leaderHint: undefined };
    this.outbox.reply(peer, { kind: 'reply', epoch, id, ...ok, body: wholeAnswer(answer) });
  }

  /** The request that an answer is for, if it waits for one of that node. */
  private answeredBy(from: NodeId, { epoch, id }: AnsweredRequest): Forward | undefined {
    const forward = epoch === this.epoch ? this.sent.get(id) : undefined;
    return forward?.sentTo === from ? forward : undefined;
  }

  private awaited(from: NodeId, request: AnsweredRequest): AwaitedAnswer | undefined {
    const forward = this.answeredBy(from, request);
    if (forward === undefined || forward.isDone) return undefined;
    return {
      arriving: () => {
        forward.arrivingUntilMs = this.clock.monotonicMs() + ARRIVING_MS;
        return !forward.isDone;
      },
      arrived: (answer) => {
        this.sent.delete(request.id);
        this.conclude(forward, undefined, answer, from);
      },
    };
  }

  private receiveReply(from: NodeId, reply: ForwardReply): void {
    const forward = this.answeredBy(from, reply);
    if (forward === undefined) return;
    this.sent.delete(reply.id);
    const error = errorOf(reply);
    this.conclude(forward, error, error === undefined ? reply.body : undefined, from);
  }

  /** Requests that were sent and not answered may have happened; those not sent yet are not touched. */
  private losePeer(peer: NodeId): void {
    const nowMs = this.clock.monotonicMs();
    const told = new Set<GroupPath>();
    for (const id of this.sent.keys()) {
      const forward = this.sent.get(id);
      if (forward?.sentTo !== peer) continue;
      this.sent.delete(id);
      if (forward.isDone) continue;
      if (forward.isProbe || !told.has(forward.path)) this.failed(forward, nowMs);
      told.add(forward.path);
      const message = `the connection to node ${peer} broke before it answered`;
      this.finish(forward, new OutcomeUnknownError(message), undefined);
    }
  }

  private lookLater(): void {
    if (this.sweep !== undefined) return;
    const dueMs = this.clock.monotonicMs() + SWEEP_MS;
    this.sweep = this.scheduler.after(SWEEP_MS, () => {
      // Answers may have come while the node itself stood still: they are read before anybody is given up.
      if (this.clock.monotonicMs() - dueMs > LATE_MS) this.scheduler.nextTurn(() => this.lookAround());
      else this.lookAround();
    });
  }

  private lookAround(): void {
    this.sweep = undefined;
    const nowMs = this.clock.monotonicMs();
    for (const forward of this.forwards.keys()) {
      const isLate = nowMs >= forward.deadlineMs && nowMs >= forward.arrivingUntilMs;
      if (isLate && !forward.isDone && !this.isAtWork(forward, nowMs)) this.giveUp(forward, nowMs);
    }
    for (const id of this.sent.keys()) if (this.sent.get(id)?.isDone === true) this.sent.delete(id);
    for (const [path, waiting] of [...this.waiting]) this.goOn(path, waiting, nowMs);
    if (this.forwards.size > 0) this.lookLater();
  }

  /** It may take long, and who was asked leads the group as far as is known here: nobody else could answer sooner. */
  private isAtWork({ path, sentTo, target, workUntilMs }: Forward, nowMs: Millis): boolean {
    if (sentTo === undefined || nowMs >= workUntilMs) return false;
    if (sentTo === this.network.self) return path.isServing;
    const leader = path.target(undefined, nowMs);
    return leader !== undefined && leader.node === sentTo && leader.identity === target!.identity;
  }

  /** Tries those that wait for a leader again, when there is one to try. */
  private goOn(path: GroupPath, waiting: readonly Forward[], nowMs: Millis): void {
    if (this.isStuck(path, nowMs)) {
      const left = waiting.filter((forward) => !forward.isDone);
      if (left.length > 0) this.waiting.set(path, left);
      else this.waiting.delete(path);
      return;
    }
    this.waiting.delete(path);
    for (const forward of waiting) this.attempt(forward);
  }

  /** There is nobody whom a request could be sent to now. */
  private isStuck(path: GroupPath, nowMs: Millis): boolean {
    if (path.isServing) return false;
    const target = path.target(undefined, nowMs);
    return target === undefined || this.leaves(path, target.node) || path.breaker.wouldWait(target.identity, nowMs);
  }

  /** Gives up everything; sent requests have an unknown outcome. */
  close(): void {
    this.isClosed = true;
    this.sweep?.();
    const nowMs = this.clock.monotonicMs();
    for (const forward of this.forwards.keys()) if (!forward.isDone) this.giveUp(forward, nowMs);
    for (const pausing of this.pausing.values()) for (const cancel of pausing.values()) cancel();
    this.pausing.clear();
    this.waiting.clear();
    this.sent.clear();
  }
}
