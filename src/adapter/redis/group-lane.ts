/**
 * The way of one connection's requests to one group, in order. While this node leads the group they go straight to it.
 * Otherwise they are forwarded in batches, one batch under way at a time: two batches could overtake each other when one
 * is redirected, and a pipelined `SET a 1`, `SET a 2` would end as 1.
 */
import { type KvService, NotLeaderError } from '../../kv/index.ts';
import { type Clock, type GroupId, KvorumError, type Millis } from '../../platform/index.ts';
import { decodeAnswers, encodeBatch, FORWARD_SERVICE } from './forwarded-command.ts';
import { CommandRequest, type GroupRequest, type RequestOwner, TransactionRequest } from './group-request.ts';
import { EncodedReply, type Reply } from './reply.ts';

/** Most requests and roughly most argument bytes of a batch: large enough to fill a frame, small enough to share a link. */
const MAX_BATCH_REQUESTS = 1024;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Large commands get more time than others, at the rate that a busy disk and a shared link keep up with. */
const MIN_BYTES_PER_MS = (16 * 1024 * 1024) / 1000;

/** What a lane needs from its connection. */
export interface LaneOwner {
  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void;
}

export interface LaneEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
}

export class GroupLane implements RequestOwner {
  private readonly group: GroupId;
  private readonly environment: LaneEnvironment;
  private readonly owner: LaneOwner;
  /** Requests to forward, oldest first. */
  private queue: GroupRequest[] = [];
  /** A batch is under way, or about to leave at the end of this turn. */
  private forwarding = false;

  constructor(group: GroupId, environment: LaneEnvironment, owner: LaneOwner) {
    this.group = group;
    this.environment = environment;
    this.owner = owner;
  }

  /** Runs a request after all earlier ones of this lane; its owner must be this lane. */
  submit(request: GroupRequest): void {
    if (!this.forwarding && this.environment.kv.servesLocally(this.group)) {
      this.environment.kv.submit(this.group, request);
    } else {
      this.enqueue(request);
    }
  }

  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    if (error instanceof NotLeaderError) this.enqueue(request);
    else this.owner.requestSettled(request, error, reply);
  }

  private enqueue(request: GroupRequest): void {
    if (request.deadlineMs === 0) {
      const { clock, commandTimeoutMs } = this.environment;
      request.deadlineMs = clock.monotonicMs() + commandTimeoutMs + argumentBytes(request) / MIN_BYTES_PER_MS;
    }
    this.queue.push(request);
    if (this.forwarding) return;
    this.forwarding = true;
    // Everything that the connection received in this turn goes into one batch.
    queueMicrotask(() => this.forwardBatch());
  }

  private forwardBatch(): void {
    const batch = this.takeBatch();
    if (batch.length === 0) {
      this.forwarding = false;
      return;
    }
    this.environment.kv.forward(
      this.group,
      FORWARD_SERVICE,
      encodeBatch(this.group, batch),
      Math.max(...batch.map((request) => request.deadlineMs)),
      (error, answer) => {
        this.batchAnswered(batch, error, answer);
        this.forwardBatch();
      },
    );
  }

  private takeBatch(): GroupRequest[] {
    let bytes = 0;
    let count = 0;
    while (count < this.queue.length && count < MAX_BATCH_REQUESTS && bytes < MAX_BATCH_BYTES) {
      const request = this.queue[count++]!;
      bytes += argumentBytes(request);
    }
    return this.queue.splice(0, count);
  }

  private batchAnswered(batch: readonly GroupRequest[], error: Error | undefined, answer: Buffer | undefined): void {
    const again: GroupRequest[] = [];
    const nowMs = this.environment.clock.monotonicMs();
    if (answer === undefined) {
      for (const request of batch) {
        if (!request.isWrite && isUnknown(error) && nowMs < request.deadlineMs) again.push(request);
        else this.owner.requestSettled(request, error, undefined);
      }
    } else {
      const answers = decodeAnswers(answer);
      batch.forEach((request, position) => {
        const bytes = answers[position];
        if (bytes !== undefined) this.owner.requestSettled(request, undefined, new EncodedReply(bytes));
        else if (nowMs < request.deadlineMs) again.push(request);
        else this.owner.requestSettled(request, new NotLeaderError(undefined), undefined);
      });
    }
    if (again.length > 0) this.queue = [...again, ...this.queue];
  }
}

function argumentBytes(request: GroupRequest): number {
  let bytes = 0;
  const commands =
    request instanceof CommandRequest ? [request] : request instanceof TransactionRequest ? request.commands : [];
  for (const { args } of commands) for (const arg of args) bytes += arg.length;
  return bytes;
}

/** A read whose outcome is unknown has no outcome: it is simply asked again. */
const isUnknown = (error: Error | undefined): boolean =>
  error instanceof KvorumError && error.disposition === 'unknown';
