/** A command that may wait, as an operation of its group. */
import { AwaitedKeys, type KeyView, type LiveValue, type Operation, type WaitState } from '../../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../../platform/index.ts';
import type { WaitingCommand } from '../command/index.ts';
import { headLengthOf } from '../keys/index.ts';
import { OK, RedisError, type Reply } from '../protocol/index.ts';
import type { CommandRequest } from '../request/index.ts';

/**
 * What is done with a command that may wait: `wait` until it has an answer, `notice` until it would have one and do nothing, `try` it and do not wait.
 */
export type WaitMode = 'wait' | 'notice' | 'try';

/** How a command waits. */
export interface WaitTerms {
  readonly mode: WaitMode;
  /** How long it has waited elsewhere. */
  readonly waitedMs: Millis;
  /** It has waited before, so that keys of other types are passed over. */
  readonly hasWaited: boolean;
  /** The keys that it looks at and waits for, of those that the command names; undefined: all of them. */
  readonly only: readonly Buffer[] | undefined;
}

/** What the handler of a command says about waiting, in one evaluation. */
export class WaitingEvaluation implements WaitingCommand {
  readonly hasWaited: boolean;
  private readonly only: ReadonlySet<string> | undefined;
  private readonly readyKey: Buffer | undefined;
  /** What the command waits for; undefined: it has an answer. */
  awaited: AwaitedKeys | undefined;
  /** What it goes on with, when that is not what it was called with. */
  args: readonly Buffer[] | undefined;

  /** @param only names of storage keys */
  constructor(hasWaited: boolean, only: ReadonlySet<string> | undefined, readyKey: Buffer | undefined) {
    this.hasWaited = hasWaited;
    this.only = only;
    this.readyKey = readyKey;
  }

  looksAt(storageKey: Buffer): boolean {
    if (this.readyKey !== undefined) return this.readyKey.equals(storageKey);
    return this.concerns(storageKey);
  }

  private concerns(storageKey: Buffer): boolean {
    return this.only === undefined || this.only.has(storageKey.toString('latin1'));
  }

  awaits(...[keys, line, args]: Parameters<WaitingCommand['awaits']>): void {
    // Copies: what the keys lie in may be a whole packet.
    const own = keys.filter((key) => this.concerns(key)).map((key) => Buffer.from(key));
    this.awaited = new AwaitedKeys(own, line);
    this.args = args;
  }
}

/** Names of the storage keys that a command is to look at. */
function namesOfOnly(request: CommandRequest, only: readonly Buffer[] | undefined): Set<string> | undefined {
  if (only === undefined) return undefined;
  return new Set(only.map((key) => request.keyspace.storageKey(key).toString('latin1')));
}

/** Stops an evaluation that was only to find out whether there is something. */
class SomethingThere extends Error {}

/** What a notice sees: it stops at the first thing that the command would do, and at keys of other groups. */
class NoticeView implements KeyView {
  private readonly view: KeyView;
  private readonly heads: ReadonlySet<string>;

  constructor(view: KeyView, heads: ReadonlySet<string>) {
    this.view = view;
    this.heads = heads;
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get(key: Buffer): LiveValue | undefined {
    if (!this.heads.has(key.toString('latin1', 0, headLengthOf(key)))) throw new SomethingThere();
    return this.view.get(key);
  }

  put(): void {
    throw new SomethingThere();
  }

  delete(): void {
    throw new SomethingThere();
  }

  deleteRange(): void {
    throw new SomethingThere();
  }
}

/** See the top of the file. */
export class WaitingOperation implements Operation<Reply>, WaitState {
  readonly wait: WaitState = this;
  readonly waitedMs: Millis;
  readonly isNotice: boolean;
  readyKey: Buffer | undefined;
  isSuspended = false;
  isEnded = false;
  /** The command; another one when it goes on with other arguments. */
  request: CommandRequest;
  private readonly mode: WaitMode;
  private readonly only: ReadonlySet<string> | undefined;
  private hasWaited: boolean;
  /** It goes on with other arguments than it came with. */
  isRewritten = false;
  private last: WaitingEvaluation | undefined;
  private readonly told: (operation: WaitingOperation) => void;

  /** @param told called when the operation has begun to wait, see `WaitState.begins` */
  constructor(request: CommandRequest, terms: WaitTerms, told: (operation: WaitingOperation) => void) {
    this.request = request;
    this.mode = terms.mode;
    this.waitedMs = terms.waitedMs;
    this.isNotice = terms.mode === 'notice';
    this.hasWaited = terms.hasWaited;
    this.only = namesOfOnly(request, terms.only);
    this.told = told;
  }

  get isWrite(): boolean {
    return this.request.isWrite && !this.isNotice;
  }

  storageKeys(): Buffer[] {
    return this.request.storageKeys();
  }

  namedCount(): number {
    return this.request.namedCount();
  }

  evaluate(view: KeyView): Reply | AwaitedKeys {
    const { request } = this;
    const waiting = new WaitingEvaluation(this.hasWaited, this.only, this.readyKey);
    request.waiting = waiting;
    this.last = waiting;
    let reply: Reply;
    if (this.isNotice) reply = this.look(view);
    else reply = request.evaluate(view);
    const { awaited, args } = waiting;
    if (awaited === undefined || this.mode === 'try') return reply;
    if (args !== undefined) {
      this.request = request.withArgs(args);
      this.isRewritten = true;
    }
    this.hasWaited = true;
    return awaited;
  }

  begins(): void {
    this.told(this);
  }

  /** True when the last evaluation has found nothing. */
  get foundNothing(): boolean {
    return this.last?.awaited !== undefined;
  }

  private look(view: KeyView): Reply {
    try {
      return this.request.evaluate(new NoticeView(view, this.only!));
    } catch (error) {
      // What the command would fail with is something, too.
      if (error instanceof SomethingThere || error instanceof RedisError) return OK;
      throw error;
    }
  }

  complete(error: Error | undefined, reply: Reply | undefined): void {
    this.request.complete(error, reply);
  }
}
