/**
 * Requests and replies on their way to other nodes: everything of a turn to one node shares a frame. Replies leave at the end of their turn;
 * requests that are fewer than usual wait some turns for the rest.
 */
import {
  type Clock,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Scheduler,
  TurnGathering,
} from '../../platform/index.ts';
import { encodeFrame, type ForwardReply, type ForwardRequest, messageBytes } from './forward-codec.ts';

const REPLY_RETRY_MS: Millis = 5;

/** A request that waits for the end of the turn. */
export interface Outgoing {
  readonly isDone: boolean;
  readonly deadlineMs: Millis;
}

export interface ForwardOutboxOptions<Request extends Outgoing> {
  readonly network: PeerNetwork;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly maxFrameBytes: number;
  /** See `ProxyLimits`. */
  readonly gatherTurns: number;
  /** Replies that wait because a connection's queue is full; older ones are then dropped. */
  readonly maxUnsentReplyBytes: number;
  /** The message of a request, with a fresh id. */
  readonly message: (request: Request, remainingMs: Millis) => ForwardRequest;
  /** The network took the frame: from now on the request may happen. */
  readonly onSent: (request: Request, id: number, peer: NodeId) => void;
  /** The network did not take it: it certainly did not happen. */
  readonly onRefused: (requests: readonly Request[], peer: NodeId) => void;
}

interface Box<Request> {
  readonly gathering: TurnGathering;
  requests: Request[];
  replies: ForwardReply[];
  unsentReplyBytes: number;
  /** The requests leave by themselves. */
  areRequestsLeaving: boolean;
  /** And so do the replies. */
  areRepliesLeaving: boolean;
}

export class ForwardOutbox<Request extends Outgoing> {
  private readonly options: ForwardOutboxOptions<Request>;
  private readonly boxes = new Map<NodeId, Box<Request>>();

  constructor(options: ForwardOutboxOptions<Request>) {
    this.options = options;
  }

  send(peer: NodeId, request: Request): void {
    const box = this.box(peer);
    box.requests.push(request);
    if (box.areRequestsLeaving) return;
    box.areRequestsLeaving = true;
    this.awaitEndOfTurn(peer, box);
  }

  reply(peer: NodeId, reply: ForwardReply): void {
    const box = this.box(peer);
    box.replies.push(reply);
    box.unsentReplyBytes += messageBytes(reply);
    while (box.unsentReplyBytes > this.options.maxUnsentReplyBytes && box.replies.length > 1) {
      box.unsentReplyBytes -= messageBytes(box.replies.shift()!);
    }
    if (box.areRepliesLeaving) return;
    box.areRepliesLeaving = true;
    this.options.scheduler.endOfTurn(() => this.flushReplies(peer, box));
  }

  private box(peer: NodeId): Box<Request> {
    let box = this.boxes.get(peer);
    if (box === undefined) {
      box = {
        gathering: new TurnGathering(this.options.gatherTurns),
        requests: [],
        replies: [],
        unsentReplyBytes: 0,
        areRequestsLeaving: false,
        areRepliesLeaving: false,
      };
      this.boxes.set(peer, box);
    }
    return box;
  }

  private awaitEndOfTurn(peer: NodeId, box: Box<Request>): void {
    this.options.scheduler.endOfTurn(() => {
      if (box.gathering.waitsFor(box.requests.length)) {
        this.options.scheduler.nextTurn(() => this.awaitEndOfTurn(peer, box));
        return;
      }
      box.gathering.begin();
      box.areRequestsLeaving = false;
      this.flushRequests(peer, box);
    });
  }

  private flushRequests(peer: NodeId, box: Box<Request>): void {
    const { clock, maxFrameBytes } = this.options;
    const requests = box.requests;
    box.requests = [];
    const nowMs = clock.monotonicMs();
    let batch: Request[] = [];
    let messages: ForwardRequest[] = [];
    let bytes = 0;
    for (const request of requests) {
      if (request.isDone) continue;
      const remainingMs = Math.min(0xffff_ffff, Math.max(0, Math.floor(request.deadlineMs - nowMs)));
      const message = this.options.message(request, remainingMs);
      const size = messageBytes(message);
      if (messages.length > 0 && bytes + size > maxFrameBytes) {
        this.sendRequests(peer, batch, messages);
        batch = [];
        messages = [];
        bytes = 0;
      }
      batch.push(request);
      messages.push(message);
      bytes += size;
    }
    if (messages.length > 0) this.sendRequests(peer, batch, messages);
  }

  private sendRequests(peer: NodeId, batch: readonly Request[], messages: readonly ForwardRequest[]): void {
    if (!this.options.network.send(peer, 'forward', encodeFrame(messages))) {
      this.options.onRefused(batch, peer);
      return;
    }
    for (let at = 0; at < batch.length; at++) this.options.onSent(batch[at]!, messages[at]!.id, peer);
  }

  private flushReplies(peer: NodeId, box: Box<Request>): void {
    const { network, scheduler, maxFrameBytes } = this.options;
    let from = 0;
    while (from < box.replies.length) {
      let bytes = messageBytes(box.replies[from]!);
      let to = from + 1;
      while (to < box.replies.length && bytes + messageBytes(box.replies[to]!) <= maxFrameBytes) {
        bytes += messageBytes(box.replies[to++]!);
      }
      if (!network.send(peer, 'forward', encodeFrame(box.replies.slice(from, to)))) break;
      for (; from < to; from++) box.unsentReplyBytes -= messageBytes(box.replies[from]!);
    }
    box.replies = box.replies.slice(from);
    box.areRepliesLeaving = box.replies.length > 0;
    if (box.areRepliesLeaving) scheduler.after(REPLY_RETRY_MS, () => this.flushReplies(peer, box));
  }
}
