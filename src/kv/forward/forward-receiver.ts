/**
 * The leader's end of the proxy: takes requests of other nodes, each once, runs them where this node leads and serves, and says
 * why where it does not. It never sends a request on: one that has crossed a node is answered here, so nothing can go in circles.
 *
 * A node that has been elected serves some milliseconds later. What comes meanwhile is kept until then: sent back, it would come again after a
 * pause that is longer than that.
 */
import type { Clock, GroupId, Millis, NodeId } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { type AnswerBytes, type ForwardHandler, LeaderUnavailableError } from '../contract/index.ts';
import type { AnsweredRequest } from './answer-streams.ts';
import type { ForwardReply, ForwardRequest } from './forward-codec.ts';
import type { ForwardCounters } from './forward-counters.ts';
import { statusOf } from './forward-errors.ts';
import type { GroupDirectory, LocalReplica } from './forward-path.ts';

/** Nodes that a request may have crossed when it comes in: the one that took it from its client. */
const MAX_HOPS = 1;
/** Lives of one peer that request ids are remembered of, against duplicated frames. */
const MAX_EPOCHS_PER_PEER = 4;
/** Requests and their bytes that are kept for a group that is about to serve; more are refused, and come again. */
const MAX_KEPT = 4096;
const MAX_KEPT_BYTES = 64 * 1024 * 1024;
const NO_BYTES = Buffer.alloc(0);

/** A request that waits until its group serves here. */
interface Kept {
  readonly from: NodeId;
  readonly request: ForwardRequest;
  /** On the monotonic clock: later its client would not hear the answer. */
  readonly untilMs: Millis;
}

export interface ForwardReceiverOptions {
  readonly self: NodeId;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly directory: Pick<GroupDirectory, 'replica'>;
  /** What has less time left is refused: its client would not hear the answer. */
  readonly minRemainingMs: Millis;
  readonly counters: ForwardCounters;
  /** Who leads a group that has no replica here, as far as is known. */
  readonly leaderOf: (group: GroupId) => NodeId | undefined;
  readonly reply: (peer: NodeId, reply: ForwardReply) => void;
  /** The same with the bytes of a handler. */
  readonly answer: (peer: NodeId, request: AnsweredRequest, answer: AnswerBytes) => void;
}

/** How a handler ends. */
type HandlerDone = (error: Error | undefined, answer: AnswerBytes | undefined) => void;

export class ForwardReceiver {
  private readonly options: ForwardReceiverOptions;
  private readonly handlers = new Map<string, ForwardHandler>();
  /** Highest request id seen of each life of each peer. */
  private readonly seen = new Map<NodeId, Map<number, number>>();
  /** In the order in which they came. */
  private readonly kept = new Map<GroupId, Kept[]>();
  private keptCount = 0;
  private keptBytes = 0;

  constructor(options: ForwardReceiverOptions) {
    this.options = options;
  }

  /** Registers the handler of a service. */
  onForward(service: string, handler: ForwardHandler): void {
    this.handlers.set(service, handler);
  }

  /** Runs a handler; whatever it throws is an answer. */
  run(service: string, payload: Buffer, answer: HandlerDone): void {
    const handler = this.handlers.get(service);
    if (handler === undefined) {
      answer(new LeaderUnavailableError(`the leader has no service ${service}`), undefined);
      return;
    }
    let isAnswered = false;
    const once: HandlerDone = (error, reply) => {
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

  /** Answers a request of another node; one that was received before is dropped. */
  receive(from: NodeId, request: ForwardRequest): void {
    const { clock, minRemainingMs } = this.options;
    const { received } = this.options.counters;
    if (this.isDuplicate(from, request)) {
      received.duplicate++;
      return;
    }
    if (request.hops > MAX_HOPS) {
      received.tooManyHops++;
      this.refuse(from, request, new LeaderUnavailableError('a request crosses one node and no more'));
    } else if (request.remainingMs < minRemainingMs) {
      received.tooLate++;
      this.refuse(from, request, new LeaderUnavailableError('too little time is left for the request'));
    } else {
      this.release(request.group);
      this.place({ from, request, untilMs: clock.monotonicMs() + request.remainingMs - minRemainingMs });
    }
  }

  /** Another node leads the group, or this one has begun to serve it: what was kept for that is run or refused. */
  release(group: GroupId): void {
    const kept = this.kept.get(group);
    if (kept === undefined || this.isComing(this.options.directory.replica(group))) return;
    this.kept.delete(group);
    this.keptCount -= kept.length;
    for (const { request } of kept) this.keptBytes -= request.payload.length;
    const nowMs = this.options.clock.monotonicMs();
    for (const one of kept) {
      if (nowMs < one.untilMs) this.place(one);
      else {
        this.options.counters.received.tooLate++;
        this.refuse(one.from, one.request, new LeaderUnavailableError('the leader did not serve in time'));
      }
    }
  }

  /** This node leads the group, and will serve it as soon as an entry of its term is applied. */
  private isComing(replica: LocalReplica | undefined): boolean {
    return replica !== undefined && !replica.isServing() && replica.leader()?.nodeId === this.options.self;
  }

  private place(one: Kept): void {
    const { directory, self, leaderOf, answer } = this.options;
    const { received } = this.options.counters;
    const { from, request } = one;
    const replica = directory.replica(request.group);
    if (replica?.isServing() === true) {
      received.run++;
      this.run(request.service, request.payload, (error, bytes) => {
        if (error !== undefined) this.refuse(from, request, error);
        else answer(from, request, bytes ?? NO_BYTES);
      });
    } else if (this.isComing(replica) && this.hasRoom(request)) this.keep(one);
    else {
      received.notLeader++;
      const leader = replica?.leader()?.nodeId ?? leaderOf(request.group);
      this.refuse(from, request, new NotLeaderError(leader === self ? undefined : leader));
    }
  }

  private hasRoom({ payload }: ForwardRequest): boolean {
    return this.keptCount < MAX_KEPT && this.keptBytes + payload.length <= MAX_KEPT_BYTES;
  }

  private keep(one: Kept): void {
    const { group, payload } = one.request;
    this.keptCount++;
    this.keptBytes += payload.length;
    const kept = this.kept.get(group);
    if (kept === undefined) this.kept.set(group, [one]);
    else kept.push(one);
  }

  private refuse(from: NodeId, { epoch, id }: ForwardRequest, error: Error): void {
    this.options.reply(from, { kind: 'reply', epoch, id, ...statusOf(error) });
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
}
