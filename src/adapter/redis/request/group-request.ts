/**
 * What a connection asks of one group: a command, a transaction, the versions of watched keys, or a flush. Each is an
 * `Operation` that runs on the group's leader, here or there; `forwarded-command.ts` carries it from one to the other.
 */
import {
  EvaluationTooLongError,
  type KeyView,
  NotOwnerError,
  type Operation,
  RangeBusyError,
  WriteBackpressureError,
} from '../../../kv/index.ts';
import type { KvorumError, Millis } from '../../../platform/index.ts';
import { TooLargeError } from '../../../raftengine/index.ts';
import { BuildAsideError, type FreshRow, isBuildAside } from '../aside/index.ts';
import type { CopyRows } from '../bodies/index.ts';
import {
  type CommandSpec,
  type Effect,
  type EffectKeeper,
  Effects,
  EvaluationContext,
  type EvaluationMeter,
  type EvaluationSettings,
  LibrariesLentError,
  LibrariesUnknownError,
  mayWrite,
  RunAloneError,
  type WaitingCommand,
} from '../command/index.ts';
import { KEYSPACES, type KeyRange, type Keyspace } from '../keys/index.ts';
import { BEHIND, FeatureInactiveError, OK, RedisError, type Reply, readAgain } from '../protocol/index.ts';
import { NOBODY } from '../tracking/index.ts';
import { Journey } from './journey.ts';
import type { OutsideCalls } from './outside-calls.ts';
import { RepeatedDraws } from './repeated-draws.ts';
import { type QueuedData, storageKeysOf } from './storage-keys.ts';
import { WrittenRowsView } from './written-rows-view.ts';
import { viewForWriting } from './written-whole.ts';

/** Who is told about a request's outcome. */
export interface RequestOwner {
  /**
   * Order of the earliest of its requests that the group refused when it was evaluated; Infinity while there is none. What
   * comes behind it is refused without being evaluated, so that nothing overtakes it.
   */
  firstRefused: number;
  /** What its requests are in order with; left out: with each other. */
  readonly source?: object;
  /** Called exactly once a submission. */
  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void;
}

/** True for the errors with which a group refuses a whole request when it is evaluated: what touches its keys may run elsewhere, or later. */
export const isRefusal = (error: unknown): error is KvorumError =>
  error instanceof NotOwnerError ||
  error instanceof RangeBusyError ||
  error instanceof WriteBackpressureError ||
  error instanceof FeatureInactiveError ||
  error instanceof BuildAsideError ||
  error instanceof RunAloneError ||
  error instanceof LibrariesUnknownError ||
  error instanceof LibrariesLentError;

/** A command of a request that took long to evaluate. */
export interface SlowEvaluation {
  /** Which of the request's commands it is. */
  readonly at: number;
  readonly tookMs: Millis;
}

/** Where a request is on its way, see `GroupPipeline`; `Writing` is a write that has left. */
export const Fate = { Pending: 0, Settled: 1, Returned: 2, Writing: 3 } as const;
export type Fate = (typeof Fate)[keyof typeof Fate];

/** What all requests are made from. */
export interface RequestOptions {
  /** Protocol version of the reply. */
  readonly resp: 2 | 3;
  readonly settings: EvaluationSettings;
  readonly owner: RequestOwner;
  /** The owner's own name for the request. */
  readonly token: number;
}

/** What an evaluation leaves beside its reply; most leave nothing. */
class Traces {
  effects: Effects | undefined;
  /** Notes what it wrote; undefined while nobody has to know. */
  noted: WrittenRowsView | undefined;
  slow: readonly SlowEvaluation[] | undefined;
}

/** One operation on one group that a connection waits for: it can run on this node or travel to the leader as bytes. */
export abstract class GroupRequest implements Operation<Reply>, EffectKeeper {
  readonly resp: 2 | 3;
  settings: EvaluationSettings;
  /** Of the last evaluation; undefined for most. */
  private traces: Traces | undefined;
  /** The owner's own name for the request. */
  readonly token: number;
  protected owner: RequestOwner;
  /** Place among all requests of the owner, rising. */
  order: number;
  private beganMs: Millis = 0;
  fate: Fate = Fate.Pending;
  /** Undefined for most; see `journey`. */
  private begun: Journey | undefined;
  /** From which time on the node that asks wants to know how long evaluations took; undefined: it is this node, whose meter says it. */
  tellFromMs: Millis | undefined;
  /** A replica may answer it: it reads a few rows of keys that it names, and nobody has to note that it did. */
  isPointRead = false;
  abstract readonly isWrite: boolean;

  get takesAnyTime(): boolean {
    return this.commands.some(({ spec }) => spec.findsAnyKey === true);
  }

  /** When the client's command began, monotonic. */
  get startedMs(): Millis {
    return this.beganMs;
  }

  /** Kept whole: a fraction takes an object. */
  set startedMs(ms: Millis) {
    this.beganMs = Math.floor(ms);
  }

  /** What it takes along; made when it is first asked for. */
  get journey(): Journey {
    this.begun ??= new Journey();
    return this.begun;
  }

  /** See `Journey`. */
  get mustForward(): boolean {
    return this.begun?.mustForward === true;
  }

  /** It runs by itself, as a transaction of this node, whichever group its keys are in. */
  get runsAlone(): boolean {
    const { begun } = this;
    return begun !== undefined && (begun.isAside || begun.needsOutside);
  }

  /** The evaluations of the last attempt that took long, here or where it ran; undefined for nearly all. */
  get slow(): readonly SlowEvaluation[] | undefined {
    return this.traces?.slow;
  }

  /** Takes over what was measured where it ran. */
  tookLong(slow: readonly SlowEvaluation[] | undefined): void {
    if (slow !== undefined || this.traces !== undefined) this.trace().slow = slow;
  }

  private trace(): Traces {
    this.traces ??= new Traces();
    return this.traces;
  }

  /** Running it once more, when nobody knows whether it has run, does no harm. */
  get isRepeatable(): boolean {
    return !this.isWrite;
  }

  constructor({ resp, settings, owner, token }: RequestOptions) {
    this.resp = resp;
    this.settings = settings;
    this.owner = owner;
    this.token = token;
    this.order = token;
  }

  /** Runs over a view; may throw, which is then the outcome. */
  protected abstract run(view: KeyView): Reply;

  /** Requests of one owner run in order where they share a key. */
  get source(): object {
    return this.owner.source ?? this.owner;
  }

  /** Storage keys that it reads or writes; a fresh list. */
  abstract storageKeys(): Buffer[];

  /** Its arguments: what a client has sent one by one may take its time. */
  abstract namedCount(): number;

  /** The commands that it consists of: they may find keys that `storageKeys` does not have. */
  get commands(): readonly QueuedData[] {
    return [];
  }

  /** From now on each evaluation draws what the one before has drawn. */
  repeatDraws(): void {
    const { journey } = this;
    if (journey.draws !== undefined) return;
    journey.draws = new RepeatedDraws(this.settings.random);
    this.settings = { ...this.settings, random: journey.draws };
  }

  /** From now on its commands may ask for what no group has. @param calls who knows */
  askOutside(calls: OutsideCalls): void {
    this.journey.outside = calls;
    this.settings = { ...this.settings, outside: calls };
  }

  /** It is about to be evaluated. @throws BehindError when another of its owner was refused, and goes first */
  takeTurn(): void {
    const { owner } = this;
    // It was refused, waited, and is evaluated again: what comes behind it may be, too.
    if (this.order === owner.firstRefused) owner.firstRefused = Number.POSITIVE_INFINITY;
    if (this.order > owner.firstRefused) throw BEHIND;
  }

  evaluate(view: KeyView): Reply {
    this.takeTurn();
    this.beginEvaluation();
    try {
      const reply = this.run(this.begun?.outside?.begin(view) ?? this.noting(view));
      this.checkEffects();
      return reply;
    } catch (error) {
      this.noteRefusal(error);
      throw error;
    }
  }

  /** Whether it has stops. What runs alone is a transaction of this node, which has all that it reads beforehand. */
  get mayComeInParts(): boolean {
    return false;
  }

  *evaluateInParts(view: KeyView): Generator<void, Reply> {
    this.takeTurn();
    this.beginEvaluation();
    try {
      const reply = yield* this.runInParts(this.noting(view));
      this.checkEffects();
      return reply;
    } catch (error) {
      this.noteRefusal(error);
      throw error;
    }
  }

  /** As `run`, with a stop wherever others may have their turn. */
  protected *runInParts(view: KeyView): Generator<void, Reply> {
    yield;
    return this.run(view);
  }

  private noteRefusal(error: unknown): void {
    const { owner } = this;
    if (isRefusal(error)) owner.firstRefused = Math.min(owner.firstRefused, this.order);
  }

  private noting(view: KeyView): KeyView {
    if (!this.isWrite || this.settings.writers?.areWanted !== true) return view;
    const noted = new WrittenRowsView(view);
    this.trace().noted = noted;
    return noted;
  }

  /** What the evaluation before wanted to leave is forgotten. */
  protected beginEvaluation(): void {
    this.begun?.draws?.rewind();
    this.traces = undefined;
  }

  /** @throws RedisError when there are too many effects: then nothing of the request may happen */
  protected checkEffects(): void {
    if (this.traces?.effects?.isTooLong === true)
      throw new RedisError('ERR the command says more than 64 MiB to others');
  }

  afterCommit(effect: Effect): void {
    const trace = this.trace();
    trace.effects ??= new Effects();
    trace.effects.afterCommit(effect);
  }

  /** What the last evaluation wants to leave. */
  notedEffects(): readonly Effect[] {
    return this.traces?.effects?.all() ?? [];
  }

  /** It was evaluated elsewhere. */
  evaluatedElsewhere(effects: readonly Effect[]): void {
    if (this.traces !== undefined) this.traces.effects = undefined;
    for (const effect of effects) this.afterCommit(effect);
  }

  /** What the last evaluation did has taken effect. */
  emitEffects(): void {
    const { traces } = this;
    const effects = traces?.effects;
    if (effects === undefined) return;
    traces!.effects = undefined;
    for (const effect of effects.all()) this.settings.emit?.(effect);
  }

  complete(error: Error | undefined, reply: Reply | undefined): void {
    if (error === undefined) this.hasTakenEffect();
    this.owner.settled(this, error, reply);
  }

  /** Its group has applied what the last evaluation wrote. */
  private hasTakenEffect(): void {
    const { settings } = this;
    const noted = this.traces?.noted;
    if (noted !== undefined) settings.writers?.wrote(settings.quietClient ?? NOBODY, noted);
    this.emitEffects();
  }

  /** Evaluates one of its commands, with a look at the clock. */
  protected runCommand(at: number, { spec, args }: QueuedData, ctx: EvaluationContext): Reply {
    const { meter } = this.settings;
    if (meter === undefined) return ctx.call(spec, args);
    const beganMs = meter.nowMs();
    try {
      return ctx.call(spec, args);
    } finally {
      this.measured(meter, spec, at, meter.nowMs() - beganMs);
    }
  }

  /** The same with stops, which are not counted. */
  protected *runCommandInParts(at: number, { spec, args }: QueuedData, ctx: EvaluationContext): Generator<void, Reply> {
    const { meter } = this.settings;
    const steps = ctx.callInParts(spec, args);
    let tookMs = 0;
    const next = (): IteratorResult<void, Reply> => {
      const beganMs = meter?.nowMs() ?? 0;
      try {
        return steps.next();
      } finally {
        tookMs += (meter?.nowMs() ?? 0) - beganMs;
      }
    };
    try {
      for (let step = next(); ; step = next()) {
        if (step.done === true) return step.value;
        yield;
      }
    } finally {
      if (meter !== undefined) this.measured(meter, spec, at, tookMs);
    }
  }

  private measured(meter: EvaluationMeter, spec: CommandSpec, at: number, tookMs: Millis): void {
    meter.evaluated(spec, tookMs);
    if (tookMs >= (this.tellFromMs ?? meter.leastMs)) this.noteSlow({ at, tookMs });
  }

  /** Says of a command of the last attempt that it took long. */
  noteSlow(evaluation: SlowEvaluation): void {
    const trace = this.trace();
    trace.slow = [...(trace.slow ?? []), evaluation];
  }

  /** Hands the request to another owner, who submits it next. */
  assignTo(owner: RequestOwner): void {
    this.owner = owner;
  }
}

/** What a command's request is made from. */
export interface CommandRequestOptions extends RequestOptions, QueuedData {
  /** The first key and its storage key, when routing has computed it. */
  readonly firstKey?: Buffer | undefined;
  readonly firstStorageKey?: Buffer | undefined;
}

/** Arguments from which on a command keeps its storage keys: to make them takes longer than to hold them. */
const MANY_ARGUMENTS = 1_024;

/** One data command. */
export class CommandRequest extends GroupRequest {
  readonly spec: CommandSpec;
  readonly given: readonly Buffer[] | undefined;
  readonly db: number;
  /** Its arguments; undefined while they are put away. */
  private ownArgs: readonly Buffer[] | undefined;
  /** What it lies in as it was sent, and where it begins there; undefined: nobody knows. */
  private chunk: Buffer | undefined;
  private chunkAt = 0;
  /** How it may wait; undefined: it does not. */
  waiting: WaitingCommand | undefined;
  /** Storage keys of a command that has many, which are asked for again and again. */
  private keptKeys: Buffer[] | undefined;
  private firstKey: Buffer | undefined;
  private firstStorageKey: Buffer | undefined;

  constructor(options: CommandRequestOptions) {
    super(options);
    this.spec = options.spec;
    this.ownArgs = options.args;
    this.given = options.given;
    this.db = options.db;
    this.firstKey = options.firstKey;
    this.firstStorageKey = options.firstStorageKey;
  }

  override get commands(): readonly QueuedData[] {
    return [this];
  }

  get args(): readonly Buffer[] {
    this.ownArgs ??= readAgain(this.chunk!, this.chunkAt);
    return this.ownArgs;
  }

  /** Says what all of it lies in, as its client has sent it. @param at where it begins */
  liesIn(chunk: Buffer, at: number): void {
    this.chunk = chunk;
    this.chunkAt = at;
  }

  /** What it was read into is larger than what was read: it is read again if it has to run again. */
  putAway(): void {
    this.firstKey = undefined;
    this.firstStorageKey = undefined;
    if (this.chunk !== undefined) this.ownArgs = undefined;
  }

  get hasOtherWay(): boolean {
    return this.spec.writesWholeValue === true;
  }

  get isWrite(): boolean {
    return mayWrite(this.spec, this.args);
  }

  storageKeys(): Buffer[] {
    if (this.args.length <= MANY_ARGUMENTS) return storageKeysOf([this]);
    this.keptKeys ??= storageKeysOf([this]);
    return this.keptKeys;
  }

  namedCount(): number {
    return this.args.length;
  }

  get readsPart(): boolean {
    return this.spec.readsPart?.(this.args) === true;
  }

  protected run(view: KeyView): Reply {
    const seen = viewForWriting(view, this);
    try {
      return this.runCommand(0, this, this.contextOver(seen));
    } catch (error) {
      throw this.needsAside(error) ? new BuildAsideError() : error;
    }
  }

  override get mayComeInParts(): boolean {
    const { handler } = this.spec;
    return handler?.kind === 'data' && handler.runInParts !== undefined;
  }

  protected override *runInParts(view: KeyView): Generator<void, Reply> {
    return yield* this.runCommandInParts(0, this, this.contextOver(view));
  }

  private contextOver(view: KeyView, copyRows?: CopyRows): EvaluationContext {
    const { db, resp, settings, firstKey, firstStorageKey } = this;
    const ctx = new EvaluationContext(view, db, resp, settings, this, firstKey, firstStorageKey, copyRows);
    ctx.waiting = this.waiting;
    return ctx;
  }

  get headKey(): Buffer {
    return this.firstStorageKey ?? this.keyspace.storageKey(this.args[1]!);
  }

  /** The keys of its database. */
  get keyspace(): Keyspace {
    return KEYSPACES[this.db]!;
  }

  /** The same command of the same owner with other arguments. */
  withArgs(args: readonly Buffer[]): CommandRequest {
    const { resp, settings, owner, token, spec, db } = this;
    return new CommandRequest({ resp, settings, owner, token, spec, args, db });
  }

  /** Whether the command has failed only because what it writes is too much for one entry, or one transaction. */
  needsAside(error: unknown): boolean {
    const isTooMuch = error instanceof EvaluationTooLongError || error instanceof TooLargeError;
    return isBuildAside(error) || (isTooMuch && this.hasOtherWay);
  }

  /** Runs where everything is known that it reads, and rows are copied by somebody else. */
  runAside(view: KeyView, copyRows: CopyRows): Reply {
    this.beginEvaluation();
    const reply = this.runCommand(0, this, this.contextOver(view, copyRows));
    this.checkEffects();
    return reply;
  }

  override complete(error: Error | undefined, reply: Reply | undefined): void {
    super.complete(this.needsAside(error) ? new BuildAsideError() : error, reply);
  }
}

/** Rows of a value that is built aside: nobody comes to them before the head is written, and writing them again does no harm. */
export class RowsRequest extends GroupRequest {
  /** Behind one head; one at least. */
  readonly rows: readonly FreshRow[];
  readonly isWrite = true;

  constructor(rows: readonly FreshRow[], options: RequestOptions) {
    super(options);
    this.rows = rows;
  }

  override get isRepeatable(): boolean {
    return true;
  }

  storageKeys(): Buffer[] {
    return [this.rows[0]!.key];
  }

  namedCount(): number {
    return 0;
  }

  protected run(view: KeyView): Reply {
    // Views of a message that has nothing else, or of the value that is built: kept until the entry is applied.
    for (const { key, value, expireTs } of this.rows) view.put(key, value, expireTs);
    return OK;
  }
}

/** FLUSHDB and FLUSHALL on a range that lies within one group. */
export class FlushRequest extends GroupRequest {
  readonly range: KeyRange;
  readonly isWrite = true;

  constructor(range: KeyRange, options: RequestOptions) {
    super(options);
    this.range = range;
  }

  storageKeys(): Buffer[] {
    return [this.range.start];
  }

  namedCount(): number {
    return 1;
  }

  protected run(view: KeyView): Reply {
    view.deleteRange(this.range.start, this.range.end);
    return OK;
  }
}
