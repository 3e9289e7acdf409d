/**
 * Leader proxy: any node takes any request and the group's leader runs it. A request crosses one node boundary at most.
 * It is sent again only while it is certain that nothing was proposed: the frame was not taken by the network, or the
 * other side said so. When the connection breaks after sending, the outcome is unknown and is reported as that.
 */
import {
  type Cancel,
  type Clock,
  type GroupId,
  KvorumError,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
} from '../platform/index.ts';
import { BusyError, LeaderUnavailableError, NotLeaderError, OutcomeUnknownError, TooLargeError } from './errors.ts';
import {
  decodeFrame,
  encodeFrame,
  type ForwardMessage,
  type ForwardReply,
  type ForwardRequest,
  ForwardStatus,
  messageBytes,
} from './forward-codec.ts';
import { errorOf, statusOf } from './forward-errors.ts';
import type { ForwardHandler } from './types.ts';

/** Bounds of the proxy of one node. */
export interface ProxyLimits {
  /** Requests that this node forwards at a time, waiting ones included; more are refused with `BusyError`. */
  readonly maxForwards: number;
  readonly maxForwardBytes: number;
  /** Replies that wait because a connection's queue is full; older ones are then dropped and time out at the other side. */
  readonly maxUnsentReplyBytes: number;
  /** Several messages share a frame up to this size; a larger message has its own. */
  readonly maxFrameBytes: number;
  readonly backoffBaseMs: Millis;
  readonly backoffCapMs: Millis;
  /** A leader refuses what has less time left. */
  readonly minRemainingMs: Millis;
}

export const DEFAULT_PROXY_LIMITS: ProxyLimits = {
  maxForwards: 65_536,
  maxForwardBytes: 1024 * 1024 * 1024,
  maxUnsentReplyBytes: 256 * 1024 * 1024,
  maxFrameBytes: 1024 * 1024,
  backoffBaseMs: 25,
  backoffCapMs: 250,
  minRemainingMs: 10,
};

/** Deadlines are looked at this often. */
const SWEEP_MS: Millis = 25;
const REPLY_RETRY_MS: Millis = 5;
/** Lives of one peer that request ids are remembered of, against duplicated frames. */
const MAX_EPOCHS_PER_PEER = 4;
const NO_BYTES = Buffer.alloc(0);

/** What the proxy must know about a group. */
export interface ProxiedGroup {
  readonly groupId: GroupId;
  isServing(): boolean;
  leader(): NodeId | undefined;
}

export interface LeaderProxyOptions {
  readonly network: PeerNetwork;
  readonly groups: readonly ProxiedGroup[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<ProxyLimits>;
}

type Done = (error: Error | undefined, reply: Buffer | undefined) => void;

/** One request that this node takes care of. */
interface Forward {
  readonly group: ProxiedGroup;
  readonly service: string;
  readonly payload: Buffer;
  readonly deadlineMs: Millis;
  readonly done: Done;
  attempts: number;
  /** Set by a redirect, used once. */
  hint: NodeId | undefined;
  /** Where it was sent, while an answer is awaited. */
  sentTo: NodeId | undefined;
  /** What went wrong last, all of it without effects. */
  lastError: Error | undefined;
  isDone: boolean;
}

/** What goes to one peer at the end of the turn. */
interface Outbox {
  requests: Forward[];
  replies: ForwardReply[];
  unsentReplyBytes: number;
  isFlushScheduled: boolean;
}

export class LeaderProxy {
  private readonly network: PeerNetwork;
  private readonly groups = new Map<GroupId, ProxiedGroup>();
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly limits: ProxyLimits;
  private readonly handlers = new Map<string, ForwardHandler>();
  private readonly outboxes = new Map<NodeId, Outbox>();
  /** Every request that is not done: for deadlines and limits. */
  private readonly forwards = new Set<Forward>();
  /** Sent requests by id. */
  private readonly sent = new Map<number, Forward>();
  private forwardBytes = 0;
  private readonly epoch: number;
  private nextId = 1;
  /** Highest request id seen of each life of each peer. */
  private readonly seen = new Map<NodeId, Map<number, number>>();
  private sweep: Cancel | undefined;
  private isClosed = false;

  constructor(options: LeaderProxyOptions) {
    this.network = options.network;
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.random = options.random;
    this.limits = { ...DEFAULT_PROXY_LIMITS, ...options.limits };
    for (const group of options.groups) this.groups.set(group.groupId, group);
    this.epoch = options.random.bytes(4).readUInt32BE(0);
    this.network.onFrame('forward', (from, frame) => this.receive(from, frame));
    this.network.onPeerLost((peer) => this.losePeer(peer));
  }

  /** Registers the leader-side handler of a service (Latin-1 name of at most 255 characters). */
  onForward(service: string, handler: ForwardHandler): void {
    this.handlers.set(service, handler);
  }

  /** See `KvService.forward`. */
  forward(group: GroupId, service: string, payload: Buffer, deadlineMs: Millis, done: Done): void {
    const proxied = this.groups.get(group);
    if (proxied === undefined || this.isClosed) {
      done(new LeaderUnavailableError(`group ${group} is not served here`), undefined);
      return;
    }
    if (payload.length > this.limits.maxForwardBytes) {
      done(new TooLargeError('the request is larger than what may be forwarded'), undefined);
      return;
    }
    const isOverBytes = this.forwardBytes + payload.length > this.limits.maxForwardBytes;
    if (this.forwards.size >= this.limits.maxForwards || isOverBytes) {
      done(new BusyError('too many requests are being forwarded; try again later'), undefined);
      return;
    }
    const forward: Forward = {
      group: proxied,
      service,
      payload,
      deadlineMs,
      done,
      attempts: 0,
      hint: undefined,
      sentTo: undefined,
      lastError: undefined,
      isDone: false,
    };
    this.forwards.add(forward);
    this.forwardBytes += payload.length;
    this.sweep ??= this.scheduler.after(SWEEP_MS, () => this.checkDeadlines());
    this.attempt(forward);
  }

  private finish(forward: Forward, error: Error | undefined, reply: Buffer | undefined): void {
    if (forward.isDone) return;
    forward.isDone = true;
    this.forwards.delete(forward);
    this.forwardBytes -= forward.payload.length;
    forward.done(error, reply);
  }

  private attempt(forward: Forward): void {
    if (forward.isDone) return;
    if (this.clock.monotonicMs() >= forward.deadlineMs) {
      this.giveUp(forward);
      return;
    }
    const hint = forward.hint;
    forward.hint = undefined;
    if (forward.group.isServing()) {
      this.runLocally(forward);
      return;
    }
    const leader = hint ?? forward.group.leader();
    if (leader === undefined || leader === this.network.self) this.retryLater(forward);
    else this.enqueue(leader, forward);
  }

  private giveUp(forward: Forward): void {
    if (forward.sentTo !== undefined) {
      this.finish(forward, new OutcomeUnknownError('the leader did not answer in time'), undefined);
    } else if (forward.lastError instanceof BusyError) {
      this.finish(forward, forward.lastError, undefined);
    } else {
      const message = 'no leader could be reached in time; nothing happened';
      this.finish(forward, new LeaderUnavailableError(message, { cause: forward.lastError }), undefined);
    }
  }

  /** Full jitter, so that those who wait for the same election do not come back together. */
  private retryLater(forward: Forward): void {
    forward.sentTo = undefined;
    const bound = Math.min(this.limits.backoffCapMs, this.limits.backoffBaseMs * 2 ** Math.min(forward.attempts, 10));
    forward.attempts++;
    this.scheduler.after(Math.ceil(this.random.next() * bound), () => this.attempt(forward));
  }

  private runLocally(forward: Forward): void {
    forward.sentTo = this.network.self;
    this.run(forward.service, forward.payload, (error, reply) => this.conclude(forward, error, reply, undefined));
  }

  /** Runs a handler; whatever it throws is an answer. */
  private run(service: string, payload: Buffer, answer: Done): void {
    const handler = this.handlers.get(service);
    if (handler === undefined) {
      answer(new LeaderUnavailableError(`the leader has no service ${service}`), undefined);
      return;
    }
    let isAnswered = false;
    const once: Done = (error, reply) => {
      if (isAnswered) return;
      isAnswered = true;
      answer(error, reply);
    };
    try {
      handler(payload, once);
    } catch (thrown) {
      once(thrown instanceof Error ? thrown : new Error(String(thrown)), undefined);
    }
  }

  /** An answer came: done, or certainly not proposed and therefore tried again. */
  private conclude(
    forward: Forward,
    error: Error | undefined,
    reply: Buffer | undefined,
    from: NodeId | undefined,
  ): void {
    if (forward.isDone) return;
    const isRetryable =
      error instanceof KvorumError && (error.disposition === 'redirect' || error.disposition === 'wait');
    if (!isRetryable) {
      this.finish(forward, error, reply);
      return;
    }
    forward.sentTo = undefined;
    forward.lastError = error;
    const hint = error instanceof NotLeaderError ? error.leaderHint : undefined;
    // A fresh hint is followed at once, but not in circles: every second attempt backs off.
    if (hint !== undefined && hint !== from && hint !== this.network.self && forward.attempts % 2 === 0) {
      forward.attempts++;
      forward.hint = hint;
      this.attempt(forward);
    } else this.retryLater(forward);
  }

  private outbox(peer: NodeId): Outbox {
    let outbox = this.outboxes.get(peer);
    if (outbox === undefined) {
      outbox = { requests: [], replies: [], unsentReplyBytes: 0, isFlushScheduled: false };
      this.outboxes.set(peer, outbox);
    }
    return outbox;
  }

  private scheduleFlush(peer: NodeId, outbox: Outbox): void {
    if (outbox.isFlushScheduled) return;
    outbox.isFlushScheduled = true;
    this.scheduler.endOfTurn(() => {
      outbox.isFlushScheduled = false;
      this.flushRequests(peer, outbox);
      this.flushReplies(peer, outbox);
    });
  }

  private enqueue(peer: NodeId, forward: Forward): void {
    const outbox = this.outbox(peer);
    outbox.requests.push(forward);
    this.scheduleFlush(peer, outbox);
  }

  private flushRequests(peer: NodeId, outbox: Outbox): void {
    const forwards = outbox.requests;
    outbox.requests = [];
    const nowMs = this.clock.monotonicMs();
    let batch: Forward[] = [];
    let messages: ForwardRequest[] = [];
    let bytes = 0;
    for (const forward of forwards) {
      if (forward.isDone) continue;
      const id = this.nextId;
      this.nextId = this.nextId === 0xffff_ffff ? 1 : this.nextId + 1;
      const message: ForwardRequest = {
        kind: 'request',
        epoch: this.epoch,
        id,
        hops: 1,
        remainingMs: Math.min(0xffff_ffff, Math.max(0, Math.floor(forward.deadlineMs - nowMs))),
        group: forward.group.groupId,
        service: forward.service,
        payload: forward.payload,
      };
      if (messages.length > 0 && bytes + messageBytes(message) > this.limits.maxFrameBytes) {
        this.sendRequests(peer, batch, messages);
        batch = [];
        messages = [];
        bytes = 0;
      }
      batch.push(forward);
      messages.push(message);
      bytes += messageBytes(message);
    }
    if (messages.length > 0) this.sendRequests(peer, batch, messages);
  }

  private sendRequests(peer: NodeId, batch: readonly Forward[], messages: readonly ForwardRequest[]): void {
    if (this.network.send(peer, 'forward', encodeFrame(messages))) {
      for (let at = 0; at < batch.length; at++) {
        batch[at]!.sentTo = peer;
        this.sent.set(messages[at]!.id, batch[at]!);
      }
    } else for (const forward of batch) this.retryLater(forward);
  }

  private flushReplies(peer: NodeId, outbox: Outbox): void {
    let from = 0;
    while (from < outbox.replies.length) {
      let bytes = messageBytes(outbox.replies[from]!);
      let to = from + 1;
      while (to < outbox.replies.length && bytes + messageBytes(outbox.replies[to]!) <= this.limits.maxFrameBytes) {
        bytes += messageBytes(outbox.replies[to++]!);
      }
      if (!this.network.send(peer, 'forward', encodeFrame(outbox.replies.slice(from, to)))) break;
      for (; from < to; from++) outbox.unsentReplyBytes -= messageBytes(outbox.replies[from]!);
    }
    outbox.replies = outbox.replies.slice(from);
    if (outbox.replies.length > 0) {
      this.scheduler.after(REPLY_RETRY_MS, () => this.flushReplies(peer, outbox));
    }
  }

  private answer(peer: NodeId, reply: ForwardReply): void {
    const outbox = this.outbox(peer);
    outbox.replies.push(reply);
    outbox.unsentReplyBytes += messageBytes(reply);
    while (outbox.unsentReplyBytes > this.limits.maxUnsentReplyBytes && outbox.replies.length > 1) {
      outbox.unsentReplyBytes -= messageBytes(outbox.replies.shift()!);
    }
    this.scheduleFlush(peer, outbox);
  }

  /** Everything that comes in on the lane, whatever it is. A damaged frame is dropped as a whole. */
  private receive(from: NodeId, frame: Buffer): void {
    const messages: ForwardMessage[] | undefined = decodeFrame(frame);
    if (messages === undefined || this.isClosed) return;
    for (const message of messages) {
      if (message.kind === 'request') this.receiveRequest(from, message);
      else this.receiveReply(from, message);
    }
  }

  private receiveRequest(from: NodeId, request: ForwardRequest): void {
    if (this.isDuplicate(from, request)) return;
    const { epoch, id } = request;
    const refuse = (error: Error): void => this.answer(from, { kind: 'reply', epoch, id, ...statusOf(error) });
    const group = this.groups.get(request.group);
    if (group === undefined || request.hops !== 1) {
      refuse(new LeaderUnavailableError(`group ${request.group} is not served here`));
    } else if (request.remainingMs < this.limits.minRemainingMs) {
      refuse(new LeaderUnavailableError('too little time is left for the request'));
    } else if (!group.isServing()) {
      refuse(new NotLeaderError(group.leader()));
    } else {
      this.run(request.service, request.payload, (error, reply) => {
        if (error !== undefined) refuse(error);
        else {
          const body = reply ?? NO_BYTES;
          this.answer(from, { kind: 'reply', epoch, id, status: ForwardStatus.Ok, leaderHint: undefined, body });
        }
      });
    }
  }

  /** Ids of one life of a peer only rise, so whatever is not above the highest was seen, or overtaken and given up. */
  private isDuplicate(from: NodeId, request: ForwardRequest): boolean {
    let lives = this.seen.get(from);
    if (lives === undefined) {
      lives = new Map();
      this.seen.set(from, lives);
    }
    const highest = lives.get(request.epoch);
    // The counter wraps after four billion requests: compare on the circle.
    if (highest !== undefined && ((request.id - highest) | 0) <= 0) return true;
    lives.set(request.epoch, request.id);
    if (lives.size > MAX_EPOCHS_PER_PEER) lives.delete(lives.keys().next().value!);
    return false;
  }

  private receiveReply(from: NodeId, reply: ForwardReply): void {
    if (reply.epoch !== this.epoch) return;
    const forward = this.sent.get(reply.id);
    if (forward === undefined || forward.sentTo !== from) return;
    this.sent.delete(reply.id);
    const error = errorOf(reply);
    this.conclude(forward, error, error === undefined ? reply.body : undefined, from);
  }

  /** Requests that were sent and not answered may have happened; those not sent yet are not touched. */
  private losePeer(peer: NodeId): void {
    for (const [id, forward] of this.sent) {
      if (forward.sentTo !== peer) continue;
      this.sent.delete(id);
      this.finish(
        forward,
        new OutcomeUnknownError(`the connection to node ${peer} broke before it answered`),
        undefined,
      );
    }
  }

  private checkDeadlines(): void {
    this.sweep = undefined;
    const nowMs = this.clock.monotonicMs();
    for (const forward of this.forwards) if (nowMs >= forward.deadlineMs) this.giveUp(forward);
    for (const [id, forward] of this.sent) if (forward.isDone) this.sent.delete(id);
    if (this.forwards.size > 0) this.sweep = this.scheduler.after(SWEEP_MS, () => this.checkDeadlines());
  }

  /** Gives up everything; sent requests have an unknown outcome. */
  close(): void {
    this.isClosed = true;
    this.sweep?.();
    for (const forward of [...this.forwards]) this.giveUp(forward);
    this.sent.clear();
  }
}
