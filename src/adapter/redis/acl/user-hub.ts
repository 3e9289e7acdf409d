/**
 * The leader's end of the users: it stores them, tells nodes about changes, and answers a change when every node goes by it.
 *
 * A node may go by the users that it has for `LEASE_MS` from the moment at which it asked whether they are still the stored ones, and asks again and
 * again. A question about the newest users is held until there are newer ones, so a change is with the nodes as soon as a message can be. A node
 * that says nothing has lost its right to the old users when `LEASE_MS` are over, counted from the change: every answer that was given before it
 * belongs to a question that was asked before it. So a hub need not know what other hubs have answered.
 */
import type { KvService } from '../../../kv/index.ts';
import { type Clock, type GroupId, type Millis, NEVER, type NodeId, type Scheduler } from '../../../platform/index.ts';
import { readString } from '../bodies/index.ts';
import { Effects, EvaluationContext, type EvaluationSettings } from '../command/index.ts';
import { USERS_DB } from '../keys/index.ts';
import { writeString } from '../values/index.ts';
import {
  decodeUserRequest,
  encodeUserAnswer,
  isRowElsewhere,
  USER_SERVICE,
  type UserAnswer,
  type UserRequest,
} from './user-wire.ts';

/** How long a node may go by users without asking again. */
export const LEASE_MS: Millis = 4_000;
/** Beyond it the hub may believe that a lease is over: clocks of two nodes do not run equally fast. */
const DRIFT_MS: Millis = 400;

/** The key under which all users lie. */
export const USERS_KEY = Buffer.from('users', 'latin1');

export interface UserHubOptions {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly settings: () => EvaluationSettings;
  /** Nodes of the cluster as far as they are known. */
  readonly members: () => readonly NodeId[];
  /** The revision of stored users. */
  readonly revisionOf: (users: Buffer) => number;
  readonly unexpected: (error: unknown) => void;
}

type Answer = (answer: UserAnswer) => void;

/** A change that is stored, and waits for nodes. */
interface Spreading {
  readonly revision: number;
  readonly answer: Answer;
}

/** A question that is held until there is another revision. */
interface Held {
  readonly request: UserRequest;
  readonly answer: Answer;
}

interface Heard {
  readonly revision: number;
  readonly atMs: Millis;
}

/** What became of an operation on the row. */
type Outcome = { readonly users: Buffer | undefined; readonly isDone: boolean };

/** See the top of the file. Serves the nodes from when it is made. */
export class UserHub {
  private readonly options: UserHubOptions;
  private readonly held = new Set<Held>();
  private readonly spreading = new Set<Spreading>();
  /** What nodes said last that they go by. */
  private readonly heard = new Map<NodeId, Heard>();

  constructor(options: UserHubOptions) {
    this.options = options;
    options.kv.onForward(USER_SERVICE, (payload, answer) => {
      const request = decodeUserRequest(payload);
      const reply = (message: UserAnswer) => answer(undefined, encodeUserAnswer(message));
      const failed = (error: Error): void => {
        if (isRowElsewhere(error)) reply({ kind: 'refused' });
        else answer(error, undefined);
      };
      const work = request.kind === 'watch' ? this.watch(request, reply) : this.change(request, reply);
      work.catch(failed);
    });
  }

  private async watch(request: UserRequest & { readonly kind: 'watch' }, answer: Answer): Promise<void> {
    const { clock, scheduler } = this.options;
    this.heard.set(request.node, { revision: request.revision, atMs: clock.monotonicMs() });
    this.settleSpread();
    if (request.holdMs === 0) {
      if (!(await this.answerIfOther(request, answer))) answer({ kind: 'same' });
      return;
    }
    // Held before the row is read, so that no change comes between.
    const held: Held = { request, answer };
    this.held.add(held);
    const once: Answer = (message) => {
      if (this.held.delete(held)) answer(message);
    };
    try {
      if (await this.answerIfOther(request, once)) return;
    } catch (error) {
      this.held.delete(held);
      throw error;
    }
    scheduler.after(request.holdMs, () => {
      if (this.held.delete(held)) this.release(held);
    });
  }

  /** Asks the row once more: this node may have stopped to lead, and know nothing of a change. */
  private release({ request, answer }: Held): void {
    this.answerIfOther(request, answer).then(
      (isAnswered) => {
        if (!isAnswered) answer({ kind: 'same' });
      },
      (error: unknown) => {
        // The node asks again, and is led to whoever leads now.
        this.options.unexpected(error);
        answer({ kind: 'refused' });
      },
    );
  }

  /** @returns true when the row has another revision, which was answered */
  private async answerIfOther({ group, revision }: UserRequest, answer: Answer): Promise<boolean> {
    const { users } = await this.run(group, undefined);
    const stored = users === undefined ? 0 : this.options.revisionOf(users);
    if (stored === revision) return false;
    answer({ kind: 'users', users });
    return true;
  }

  private async change(request: UserRequest & { readonly kind: 'change' }, answer: Answer): Promise<void> {
    const { group, revision, users } = request;
    const { isDone } = await this.run(group, { expected: revision, users });
    if (!isDone) {
      answer({ kind: 'overtaken' });
      return;
    }
    const waiting = [...this.held];
    this.held.clear();
    for (const held of waiting) this.release(held);
    const spreading: Spreading = { revision: this.options.revisionOf(users), answer };
    this.spreading.add(spreading);
    this.settleSpread();
    this.options.scheduler.after(LEASE_MS + DRIFT_MS, () => {
      if (this.spreading.delete(spreading)) answer({ kind: 'stored', unheard: this.unheardOf(spreading.revision) });
    });
  }

  /** Answers the changes that every node goes by. */
  private settleSpread(): void {
    for (const spreading of this.spreading) {
      if (this.unheardOf(spreading.revision).length > 0) continue;
      this.spreading.delete(spreading);
      spreading.answer({ kind: 'stored', unheard: [] });
    }
  }

  /** Nodes that have not said that they go by a revision: the members, and whoever asked lately. */
  private unheardOf(revision: number): NodeId[] {
    const sinceMs = this.options.clock.monotonicMs() - LEASE_MS - DRIFT_MS;
    const nodes = new Set(this.options.members());
    for (const [node, { atMs }] of this.heard) {
      if (atMs >= sinceMs) nodes.add(node);
      else if (!nodes.has(node)) this.heard.delete(node);
    }
    return [...nodes].filter((node) => (this.heard.get(node)?.revision ?? -1) < revision);
  }

  /** Reads the row at its leader, or writes it when it has the revision that is expected. */
  private run(
    group: GroupId,
    change: { readonly expected: number; readonly users: Buffer } | undefined,
  ): Promise<Outcome> {
    const { kv, settings, revisionOf } = this.options;
    return new Promise((resolve, reject) => {
      kv.submit<Outcome>(group, {
        isWrite: change !== undefined,
        evaluate: (view) => {
          const ctx = new EvaluationContext(view, USERS_DB, 2, settings(), new Effects());
          const users = readString(ctx, USERS_KEY)?.payload;
          if (change === undefined) return { users, isDone: true };
          const isDone = (users === undefined ? 0 : revisionOf(users)) === change.expected;
          if (isDone) writeString(ctx, USERS_KEY, change.users, NEVER);
          return { users, isDone };
        },
        complete: (error, outcome) => {
          if (outcome === undefined) reject(error);
          else resolve(outcome);
        },
      });
    });
  }
}
