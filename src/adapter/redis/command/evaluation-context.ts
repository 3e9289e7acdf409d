/** The `CommandContext` that data commands are evaluated with. */
import type { KeyView } from '../../../kv/index.ts';
import { assert, physicalMs, type Random } from '../../../platform/index.ts';
import {
  type BodyLimits,
  type CopyRows,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  type EncodingThresholds,
} from '../bodies/index.ts';
import { KEYSPACES, type Keyspace } from '../keys/index.ts';
import type { Reply } from '../protocol/index.ts';
import type { WriterNotes } from '../tracking/index.ts';
import type { AccessFrequencies } from './access-frequencies.ts';
import type { OutsideAnswers } from './alone.ts';
import type { CommandContext, CommandSpec } from './command.ts';
import { keyIndexes } from './declaration.ts';
import type { Effect, EffectKeeper } from './effects.ts';
import type { EvaluationMeter } from './evaluation-meter.ts';
import { type EventClass, type EventFlags, hearsEvents, NO_EVENTS } from './keyspace-events.ts';
import { lookedForIn } from './missed-keys.ts';
import { NewKeysView } from './new-keys-view.ts';
import type { ScriptRunner } from './script-runner.ts';
import type { ScriptCaller } from './users.ts';
import type { WaitingCommand } from './waiting-command.ts';

/** What every evaluation on a node has in common. */
export interface EvaluationSettings {
  readonly random: Random;
  /** proto-max-bulk-len, bytes. */
  readonly maxStringBytes: number;
  /** How collections are laid out; left out: as usual. */
  readonly bodyLimits?: BodyLimits;
  /** What OBJECT ENCODING calls what is written; left out: as usual. They travel with a command. */
  readonly encodings?: EncodingThresholds;
  /** See `BodyAccess.mayCreateBodies`; left out: true. */
  readonly mayCreateBodies?: () => boolean;
  /** See `BodyAccess.mayCreateStreams`; left out: true. */
  readonly mayCreateStreams?: () => boolean;
  /** Counts accesses to keys; left out: nobody does. */
  readonly frequencies?: AccessFrequencies | undefined;
  /** Who has called what is evaluated; left out: somebody who may do everything. It travels with a command. */
  readonly caller?: ScriptCaller | undefined;
  /** Runs scripts; left out: there are none. */
  readonly scripts?: ScriptRunner<CommandContext>;
  /** What is known beside the keys; left out: the evaluation is one on a group. */
  readonly outside?: OutsideAnswers;
  /** How many clients get a message that is published now; left out: nobody. */
  readonly receiversOf?: (channel: Buffer, isShard: boolean) => number;
  /** The events of keys that are wanted in the cluster; left out: none. */
  readonly eventFlags?: () => EventFlags;
  /** Lets an effect of a command that has taken effect leave; left out: nobody hears of them. */
  readonly emit?: (effect: Effect) => void;
  /** Whether somebody watches the commands of this node; left out: nobody does. */
  readonly isMonitored?: () => boolean;
  /** The client that does not want to hear of what it changes itself, if one has called. It travels with a command. */
  readonly quietClient?: number;
  /** Keeps the writers of keys apart; left out: nobody does. */
  readonly writers?: WriterNotes;
  /** Measures evaluations; left out: nobody does. */
  readonly meter?: EvaluationMeter;
}

/** Commands that look at a key from outside: as in Redis they are no accesses. */
const UNCOUNTED: ReadonlySet<string> = new Set([
  ...['encoding', 'freq', 'idletime', 'refcount', 'usage', 'type'],
  ...['ttl', 'pttl', 'expiretime', 'pexpiretime', 'exists'],
]);

export class EvaluationContext implements CommandContext {
  readonly view: KeyView;
  readonly keyspace: Keyspace;
  readonly resp: 2 | 3;
  readonly copyRows: CopyRows | undefined;
  private readonly settings: EvaluationSettings;
  private readonly effects: EffectKeeper;
  waiting: WaitingCommand | undefined;
  /** The command writes nothing. */
  private isReading = false;
  /** The key asked for last and its storage key: most commands ask for one key several times. */
  private lastUserKey: Buffer | undefined;
  private lastStorageKey: Buffer | undefined;

  /**
   * @param effects keeps what is to leave
   * @param firstUserKey and `firstStorageKey`: a key whose storage key is known already
   * @param copyRows see `BodyAccess`
   */
  constructor(
    view: KeyView,
    db: number,
    resp: 2 | 3,
    settings: EvaluationSettings,
    effects: EffectKeeper,
    firstUserKey?: Buffer,
    firstStorageKey?: Buffer,
    copyRows?: CopyRows,
  ) {
    this.view = NewKeysView.over(view, settings.eventFlags?.() ?? NO_EVENTS, effects);
    this.keyspace = KEYSPACES[db]!;
    this.resp = resp;
    this.settings = settings;
    this.effects = effects;
    this.copyRows = copyRows;
    this.lastUserKey = firstUserKey;
    this.lastStorageKey = firstStorageKey;
  }

  get nowMs(): number {
    return physicalMs(this.view.ts);
  }

  get random(): Random {
    return this.settings.random;
  }

  get bodyLimits(): BodyLimits {
    return this.settings.bodyLimits ?? DEFAULT_BODY_LIMITS;
  }

  get encodings(): EncodingThresholds {
    return this.settings.encodings ?? DEFAULT_ENCODINGS;
  }

  get mayCreateBodies(): boolean {
    return this.settings.mayCreateBodies?.() ?? true;
  }

  get mayCreateStreams(): boolean {
    return this.settings.mayCreateStreams?.() ?? true;
  }

  get maxStringBytes(): number {
    return this.settings.maxStringBytes;
  }

  get isMonitored(): boolean {
    return this.settings.isMonitored?.() === true;
  }

  get scripts(): ScriptRunner<CommandContext> | undefined {
    return this.settings.scripts;
  }

  get outside(): OutsideAnswers | undefined {
    return this.settings.outside;
  }

  get caller(): ScriptCaller | undefined {
    return this.settings.caller;
  }

  nested(db: number, resp: 2 | 3): EvaluationContext {
    return new EvaluationContext(this.view, db, resp, this.settings, this.effects);
  }

  receiversOf(channel: Buffer, isShard: boolean): number {
    return this.settings.receiversOf?.(channel, isShard) ?? 0;
  }

  afterCommit(effect: Effect): void {
    this.effects.afterCommit(effect);
  }

  hears(about: EventClass): boolean {
    const flags = this.settings.eventFlags?.() ?? NO_EVENTS;
    return flags !== NO_EVENTS && hearsEvents(flags, about);
  }

  event(about: EventClass, event: string, userKey: Buffer, db = this.keyspace.db): void {
    if (this.hears(about)) this.effects.afterCommit({ kind: 'event', db, event, key: userKey });
  }

  tookFrom(about: EventClass, event: string, userKey: Buffer): void {
    this.event(about, event, userKey);
    if (this.hears('generic') && this.isAbsent(userKey)) this.event('generic', 'del', userKey);
  }

  stored(about: EventClass, event: string, userKey: Buffer, store: () => number): number {
    const wasThere = this.hears('generic') && !this.isAbsent(userKey);
    const size = store();
    if (size > 0) this.event(about, event, userKey);
    else if (wasThere) this.event('generic', 'del', userKey);
    return size;
  }

  replaced(target: Buffer, userKey: Buffer, db = this.keyspace.db): void {
    if (this.hears('new') && this.view.get(target) !== undefined) this.event('new', 'new', userKey, db);
  }

  private isAbsent(userKey: Buffer): boolean {
    return this.view.get(this.storageKey(userKey)) === undefined;
  }

  /** A command is evaluated: counts an access to each of its keys, where accesses are counted. */
  private begin(spec: CommandSpec, args: readonly Buffer[]): void {
    this.isReading = spec.flags.includes('readonly');
    const { frequencies } = this.settings;
    if (frequencies === undefined || UNCOUNTED.has(spec.name)) return;
    for (const index of keyIndexes(spec, args)) frequencies.touch(this.keyspace.storageKey(args[index]!), this.nowMs);
  }

  noteRead(isThere: boolean): void {
    if (this.isReading) this.settings.meter?.lookedUp(isThere);
  }

  /** Notes the keys that a command looks for in vain, where anybody wants to hear of them. */
  private noteMisses(spec: CommandSpec, args: readonly Buffer[]): void {
    for (const index of lookedForIn(spec, args)) {
      if (this.isAbsent(args[index]!)) this.event('missed', 'keymiss', args[index]!);
    }
  }

  call(spec: CommandSpec, args: readonly Buffer[]): Reply {
    const { handler } = spec;
    assert(handler?.kind === 'data', `${spec.name} is not a data command`);
    this.begin(spec, args);
    if (this.hears('missed')) this.noteMisses(spec, args);
    return handler.run(this, args);
  }

  /** As `call`, with a stop wherever others may have their turn, if the command has any. */
  *callInParts(spec: CommandSpec, args: readonly Buffer[]): Generator<void, Reply> {
    const { handler } = spec;
    if (handler?.kind !== 'data' || handler.runInParts === undefined) return this.call(spec, args);
    this.begin(spec, args);
    if (this.hears('missed')) this.noteMisses(spec, args);
    return yield* handler.runInParts(this, args);
  }

  frequencyOf(userKey: Buffer): number | undefined {
    return this.settings.frequencies?.of(this.storageKey(userKey), this.nowMs);
  }

  storageKey(userKey: Buffer): Buffer {
    if (userKey !== this.lastUserKey || this.lastStorageKey === undefined) {
      this.lastStorageKey = this.keyspace.storageKey(userKey);
      this.lastUserKey = userKey;
    }
    return this.lastStorageKey;
  }
}
