/**
 * The leader's end of the proxy: takes requests of other nodes, each once, runs them where this node leads and serves, and says
 * why where it does not. It never sends a request on: one that has crossed a node is answered here, so nothing can go in circles.
 */
import type { GroupId, Millis, NodeId } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { type AnswerBytes, type ForwardHandler, LeaderUnavailableError } from '../contract/index.ts';
import type { AnsweredRequest } from './answer-streams.ts';
import type { ForwardReply, ForwardRequest } from './forward-codec.ts';
import type { ForwardCounters } from './forward-counters.ts';
import { statusOf } from './forward-errors.ts';
import type { GroupDirectory } from './forward-path.ts';

/** Nodes that a request may have crossed when it comes in: the one that took it from its client. */
const MAX_HOPS = 1;
/** Lives of one peer that request ids are remembered of, against duplicated frames. */
const MAX_EPOCHS_PER_PEER = 4;
const NO_BYTES = Buffer.alloc(0);

export interface ForwardReceiverOptions {
  readonly self: NodeId;
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
    const { directory, self, minRemainingMs, leaderOf, reply, answer } = this.options;
    const { received } = this.options.counters;
    if (this.isDuplicate(from, request)) {
      received.duplicate++;
      return;
    }
    const { epoch, id } = request;
    const refuse = (error: Error): void => reply(from, { kind: 'reply', epoch, id, ...statusOf(error) });
    const replica = directory.replica(request.group);
    if (request.hops > MAX_HOPS) {
      received.tooManyHops++;
      refuse(new LeaderUnavailableError('a request crosses one node and no more'));
    } else if (request.remainingMs < minRemainingMs) {
      received.tooLate++;
      refuse(new LeaderUnavailableError('too little time is left for the request'));
    } else if (replica?.isServing() !== true) {
      received.notLeader++;
      const leader = replica?.leader()?.nodeId ?? leaderOf(request.group);
      refuse(new NotLeaderError(leader === self ? undefined : leader));
    } else {
      received.run++;
      this.run(request.service, request.payload, (error, bytes) => {
        if (error !== undefined) refuse(error);
        else answer(from, request, bytes ?? NO_BYTES);
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
}
