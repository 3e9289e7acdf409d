/**
 * One command in the line of one group, seen from the node of its client: sent to the group's leader, asked for until it has an outcome. Whatever
 * breaks in between, the outcome is the leader's word: nobody here says that a command has done nothing because a time is over.
 */
import { type GroupId, isOutcomeUnknown, KvorumError, type Millis } from '../../../platform/index.ts';
import { EncodedReply } from '../protocol/index.ts';
import { type CommandRequest, encodeBatch } from '../request/index.ts';
import { ASK_MS } from './waiting-desk.ts';
import type { WaitingEnvironment } from './waiting-environment.ts';
import {
  decodeWaitAnswer,
  encodeWaitMessage,
  WAITING_SERVICE,
  type WaitAnswer,
  type WaiterId,
} from './waiting-messages.ts';
import type { WaitTerms } from './waiting-operation.ts';

/** How long a leader may take to say that it has ended a wait. */
export const END_MS: Millis = 5_000;
/** An open question is given up after so long: its leader has answered before. */
const ASK_DEADLINE_MS: Millis = ASK_MS + 10_000;
/** Before something is said again. */
const PAUSE_MS: Millis = 50;
/** Times that a leader is told of an end that nobody waits for any more. */
const MAX_LATE_ENDS = 20;

/** What becomes of a command in line. */
export type WaitOutcome =
  | { readonly kind: 'reply'; readonly reply: EncodedReply }
  /** It was only tried, and there was nothing. */
  | { readonly kind: 'nothing' }
  /** It was ended: nothing happened. */
  | { readonly kind: 'ended' }
  /** Nothing happened, and it may come again. */
  | { readonly kind: 'returned'; readonly error: KvorumError }
  /** Nobody knows whether it has done something. */
  | { readonly kind: 'unknown' }
  /** Nothing happened, and it will not. */
  | { readonly kind: 'failed'; readonly error: Error };

/** See the top of the file. */
export class WaitingPlace {
  private readonly environment: WaitingEnvironment;
  private readonly group: GroupId;
  private readonly id: WaiterId;
  readonly outcome: Promise<WaitOutcome>;
  /** Settles when the leader has said that the command waits, or with its outcome. */
  readonly begun: Promise<void>;
  private resolveOutcome!: (outcome: WaitOutcome) => void;
  private resolveBegun!: () => void;
  private isSettled = false;
  /** The leader has said that it waits. */
  hasWaited = false;
  /** What the command goes on with, when that is not what it was sent with. */
  args: readonly Buffer[] | undefined;
  /** The first message has been answered. */
  private isBeginOver = false;
  private isEnding = false;
  /** It ends when the first message has been answered. */
  private isEndDue = false;
  /** The leader has said what has become of it, or that it knows nothing. */
  private isOver = false;
  /** Times that the leader was told of the end when nobody waited for it any more. */
  private lateEnds = 0;

  constructor(environment: WaitingEnvironment, group: GroupId) {
    this.environment = environment;
    this.group = group;
    this.id = environment.nextWaiter();
    this.outcome = new Promise((resolve) => {
      this.resolveOutcome = resolve;
    });
    this.begun = new Promise((resolve) => {
      this.resolveBegun = resolve;
    });
  }

  /** Sends the command to the leader, whoever that is. */
  begin(request: CommandRequest, terms: WaitTerms): void {
    const { clock, commandTimeoutMs } = this.environment;
    const batch = encodeBatch(this.group, [request]);
    const message = encodeWaitMessage({ kind: 'begin', id: this.id, terms, batch });
    this.send(message, clock.monotonicMs() + commandTimeoutMs, (error, answer) => {
      this.isBeginOver = true;
      if (this.isEndDue) this.endNow();
      if (answer !== undefined) this.taken(answer);
      else if (isOutcomeUnknown(error)) this.askLater();
      else if (error instanceof KvorumError && error.disposition !== 'final') this.settle({ kind: 'returned', error });
      else this.settle({ kind: 'failed', error: error! });
    });
  }

  private send(
    message: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, answer: WaitAnswer | undefined) => void,
  ): void {
    this.environment.kv.forward(this.group, WAITING_SERVICE, message, deadlineMs, (error, bytes) => {
      done(error, bytes === undefined ? undefined : decodeWaitAnswer(bytes));
    });
  }

  private taken(answer: WaitAnswer): void {
    switch (answer.kind) {
      case 'reply':
        this.isOver = true;
        this.settle({ kind: 'reply', reply: new EncodedReply(answer.bytes) });
        break;
      case 'waiting':
        this.hasWaited = true;
        this.args = answer.args ?? this.args;
        this.resolveBegun();
        this.ask();
        break;
      case 'notKnown':
        this.leaderHasNothing();
        break;
      default:
        this.isOver = true;
        this.settle(answer);
    }
  }

  /** A question that stays open until there is something to say. */
  private ask(): void {
    if (this.isSettled) return;
    const deadlineMs = this.environment.clock.monotonicMs() + ASK_DEADLINE_MS;
    this.send(encodeWaitMessage({ kind: 'ask', id: this.id }), deadlineMs, (_error, answer) => {
      if (answer !== undefined) this.taken(answer);
      else this.askLater();
    });
  }

  private askLater(): void {
    if (!this.isSettled) this.environment.scheduler.after(PAUSE_MS, () => this.ask());
  }

  private settle(outcome: WaitOutcome): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.resolveOutcome(outcome);
    this.resolveBegun();
  }

  /**
   * The command is not wanted any more: its outcome comes soon, `unknown` when the leader says nothing.
   * @param mayBeUnseen it may end before a leader has looked whether there is something
   */
  end(mayBeUnseen: boolean): void {
    if (mayBeUnseen || this.isBeginOver) this.endNow();
    else this.isEndDue = true;
  }

  private endNow(): void {
    if (this.isEnding || this.isSettled) return;
    this.isEnding = true;
    this.environment.scheduler.after(END_MS, () => this.settle({ kind: 'unknown' }));
    this.sendEnd();
  }

  /** Said until somebody has heard it, also when nobody waits for the answer any more: who stays in line takes what others could have. */
  private sendEnd(): void {
    const deadlineMs = this.environment.clock.monotonicMs() + END_MS;
    this.send(encodeWaitMessage({ kind: 'end', id: this.id }), deadlineMs, (_error, answer) => {
      if (answer !== undefined && answer.kind !== 'notKnown') this.taken(answer);
      // A leader that knows nothing of what has begun is another than the one that it began with.
      else if (answer !== undefined && this.isBeginOver) this.leaderHasNothing();
      else this.environment.scheduler.after(PAUSE_MS, () => this.endAgain());
    });
  }

  private endAgain(): void {
    if (this.isOver || (this.isSettled && this.lateEnds++ >= MAX_LATE_ENDS)) return;
    this.sendEnd();
  }

  private leaderHasNothing(): void {
    this.isOver = true;
    this.settle({ kind: 'unknown' });
  }
}
