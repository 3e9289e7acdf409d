/**
 * The leader's end of commands that wait: takes them in from the nodes of their clients, keeps what has become of them until those have heard of it,
 * and ends them when nobody asks for them any more. A node whose connection is lost keeps its places for a while, but is not served meanwhile.
 */
import { TooManyWaitersError, WaitEndedError } from '../../../kv/index.ts';
import {
  assertNever,
  type Clock,
  type GroupId,
  type Millis,
  type NodeId,
  type Scheduler,
} from '../../../platform/index.ts';
import type { CommandSpec, EvaluationSettings, ScriptCaller } from '../command/index.ts';
import { ErrorReply, encodeReply, errorText, type Reply } from '../protocol/index.ts';
import { CommandRequest, decodeMessage, type GroupRequest, isReturnable, type RequestOwner } from '../request/index.ts';
import {
  decodeWaitMessage,
  encodeWaitAnswer,
  WAITING_SERVICE,
  type WaitAnswer,
  type WaiterId,
  type WaitingKv,
  type WaitMessage,
} from './waiting-messages.ts';
import { WaitingOperation } from './waiting-operation.ts';

/** A question stays open so long; then the answer is that it still waits. */
export const ASK_MS: Millis = 20_000;
/** Who is not asked for in this time is ended; what has become of it is forgotten then. */
const FORGET_MS: Millis = 10_000;
/** Outcomes that are kept for nodes that may not have heard of them; the oldest go first. Bytes. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;
const SWEEP_MS: Millis = 1_000;

export interface WaitingDeskEnvironment {
  readonly kv: WaitingKv;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  settings(): EvaluationSettings;
  findData(args: readonly Buffer[]): CommandSpec | undefined;
  readCaller(bytes: Buffer): ScriptCaller;
  /** Told about errors that no layer declares. */
  unexpected(error: unknown): void;
}

type Answer = (error: Error | undefined, reply: Buffer | undefined) => void;

const nameOf = ({ node, life, serial }: WaiterId): string => `${node}/${life.toString('hex')}/${serial}`;

/** See the top of the file. */
export class WaitingDesk {
  private readonly environment: WaitingDeskEnvironment;
  /** By name; what has an outcome is in the order in which it got it, behind the others. */
  private readonly waiters = new Map<string, DeskWaiter>();
  private keptBytes = 0;
  private cancelSweep: (() => void) | undefined;

  constructor(environment: WaitingDeskEnvironment) {
    this.environment = environment;
  }

  /** Starts to serve. */
  open(): void {
    const { kv, unexpected } = this.environment;
    kv.onPeerLost((node) => this.peerLost(node));
    kv.onForward(WAITING_SERVICE, (payload, answer) => {
      try {
        this.take(decodeWaitMessage(payload), answer);
      } catch (error) {
        unexpected(error);
        answer(error as Error, undefined);
      }
    });
  }

  private take(message: WaitMessage, answer: Answer): void {
    const name = nameOf(message.id);
    const known = this.waiters.get(name);
    switch (message.kind) {
      case 'begin':
        if (known !== undefined) known.ask(answer);
        else this.begin(name, message, answer);
        break;
      case 'ask':
        if (known === undefined) answer(undefined, encodeWaitAnswer({ kind: 'notKnown' }));
        else known.ask(answer);
        break;
      case 'end':
        if (known === undefined) this.endUnknown(name, message.id, answer);
        else known.end(answer);
        break;
      default:
        assertNever(message);
    }
  }

  private begin(name: string, { id, terms, batch }: Extract<WaitMessage, { kind: 'begin' }>, answer: Answer): void {
    const { kv, findData, readCaller, settings } = this.environment;
    const waiter = new DeskWaiter(name, id.node, this);
    // A copy: the frame that it came in may be a thousand times as long.
    const message = decodeMessage(Buffer.from(batch), { settings: settings(), owner: waiter, findData, readCaller });
    const request = message.kind === 'batch' ? message.requests[0] : undefined;
    if (message.kind !== 'batch' || !(request instanceof CommandRequest))
      throw new RangeError('only a command may wait');
    this.waiters.set(name, waiter);
    this.sweepLater();
    waiter.begin(message.group, new WaitingOperation(request, terms, (operation) => waiter.waits(operation)), answer);
    kv.submit(message.group, waiter.operation!);
  }

  /** What is said to be at its end before it has come must not begin any more. */
  private endUnknown(name: string, id: WaiterId, answer: Answer): void {
    const waiter = new DeskWaiter(name, id.node, this);
    this.waiters.set(name, waiter);
    this.sweepLater();
    waiter.settle({ kind: 'ended' });
    answer(undefined, encodeWaitAnswer({ kind: 'notKnown' }));
  }

  get nowMs(): Millis {
    return this.environment.clock.monotonicMs();
  }

  get kv(): WaitingKv {
    return this.environment.kv;
  }

  unexpected(error: unknown): void {
    this.environment.unexpected(error);
  }

  /** A waiter has its outcome. */
  settled(waiter: DeskWaiter): void {
    this.waiters.delete(waiter.name);
    // The client's node is this one: it has heard.
    if (waiter.node === this.kv.nodeId && waiter.isTold) return;
    this.waiters.set(waiter.name, waiter);
    this.keptBytes += waiter.outcomeBytes;
    if (this.keptBytes <= MAX_KEPT_BYTES) return;
    for (const one of this.waiters.values()) {
      if (one.isDone && one !== waiter) this.forget(one);
      if (this.keptBytes <= MAX_KEPT_BYTES) return;
    }
  }

  private forget(waiter: DeskWaiter): void {
    this.waiters.delete(waiter.name);
    this.keptBytes -= waiter.outcomeBytes;
  }

  private peerLost(node: NodeId): void {
    for (const waiter of this.waiters.values()) if (waiter.node === node) waiter.linkLost();
  }

  private sweepLater(): void {
    this.cancelSweep ??= this.environment.scheduler.after(SWEEP_MS, () => this.sweep());
  }

  private sweep(): void {
    this.cancelSweep = undefined;
    const { nowMs } = this;
    for (const waiter of [...this.waiters.values()]) {
      if (waiter.isDone) {
        if (nowMs - waiter.doneMs > FORGET_MS) this.forget(waiter);
      } else waiter.look(nowMs);
    }
    if (this.waiters.size > 0) this.sweepLater();
  }
}

/** One command that waits, or has waited, for the client of a node. */
class DeskWaiter implements RequestOwner {
  firstRefused = Number.POSITIVE_INFINITY;
  readonly name: string;
  readonly node: NodeId;
  private readonly desk: WaitingDesk;
  private group: GroupId | undefined;
  operation: WaitingOperation | undefined;
  /** The questions that are open. */
  private questions: Answer[] = [];
  /** Since when the last one is, or since when there is none. */
  private sinceMs: Millis;
  private outcome: Buffer | undefined;
  doneMs: Millis = 0;
  /** Somebody was told the outcome, who may not have got it. */
  isTold = false;

  constructor(name: string, node: NodeId, desk: WaitingDesk) {
    this.name = name;
    this.node = node;
    this.desk = desk;
    this.sinceMs = desk.nowMs;
  }

  get isDone(): boolean {
    return this.outcome !== undefined;
  }

  get outcomeBytes(): number {
    return this.outcome?.length ?? 0;
  }

  begin(group: GroupId, operation: WaitingOperation, question: Answer): void {
    this.group = group;
    this.operation = operation;
    this.questions.push(question);
  }

  /** It has begun to wait, or waits again: whoever sent it is told at once, with what it waits with. */
  waits(operation: WaitingOperation): void {
    const { args } = operation.request;
    this.answer({ kind: 'waiting', args: operation.isRewritten ? args : undefined });
  }

  ask(question: Answer): void {
    if (this.outcome !== undefined) {
      this.isTold = true;
      question(undefined, this.outcome);
      return;
    }
    this.questions.push(question);
    this.sinceMs = this.desk.nowMs;
    if (this.operation!.isSuspended) this.desk.kv.suspendWait(this.group!, this.operation!, false);
  }

  end(question: Answer): void {
    this.ask(question);
    if (!this.isDone) this.desk.kv.endWait(this.group!, this.operation!);
  }

  /** Nobody can be told anything: an answer would be lost. */
  linkLost(): void {
    if (this.isDone) return;
    this.questions = [];
    this.sinceMs = this.desk.nowMs;
    this.desk.kv.suspendWait(this.group!, this.operation!, true);
  }

  look(nowMs: Millis): void {
    const openMs = nowMs - this.sinceMs;
    const isAsked = this.questions.length > 0;
    if (isAsked && openMs > ASK_MS) this.answer({ kind: 'waiting', args: undefined });
    else if (!isAsked && openMs > FORGET_MS) this.desk.kv.endWait(this.group!, this.operation!);
  }

  private answer(answer: WaitAnswer): void {
    this.tell(encodeWaitAnswer(answer));
  }

  private tell(bytes: Buffer): void {
    const { questions } = this;
    this.questions = [];
    this.sinceMs = this.desk.nowMs;
    for (const question of questions) question(undefined, bytes);
  }

  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    this.settle(this.outcomeOf(request, error, reply));
  }

  private outcomeOf(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): WaitAnswer {
    if (error instanceof WaitEndedError) return { kind: 'ended' };
    if (isReturnable(error)) return { kind: 'returned', error };
    if (error !== undefined) {
      this.desk.unexpected(error);
      const text =
        error instanceof TooManyWaitersError ? `BUSY ${error.message}` : errorText(error, !request.isRepeatable);
      return { kind: 'reply', bytes: encodeReply(new ErrorReply(text), request.resp) };
    }
    if (this.operation!.foundNothing) return { kind: 'nothing' };
    return { kind: 'reply', bytes: encodeReply(reply ?? null, request.resp) };
  }

  settle(outcome: WaitAnswer): void {
    this.outcome = encodeWaitAnswer(outcome);
    this.doneMs = this.desk.nowMs;
    this.isTold = this.questions.length > 0;
    this.operation = undefined;
    this.tell(this.outcome);
    this.desk.settled(this);
  }
}
