/** The `CommandContext` that data commands are evaluated with. */
import type { KeyView } from '../../../kv/index.ts';
import { physicalMs, type Random } from '../../../platform/index.ts';
import {
  type BodyLimits,
  type CopyRows,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  type EncodingThresholds,
} from '../bodies/index.ts';
import { KEYSPACES, type Keyspace } from '../keys/index.ts';
import type { AccessFrequencies } from './access-frequencies.ts';
import type { OutsideAnswers } from './alone.ts';
import type { CommandContext, CommandSpec } from './command.ts';
import { keyIndexes } from './declaration.ts';
import type { Effect, EffectKeeper } from './effects.ts';
import type { EvaluationMeter } from './evaluation-meter.ts';
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
  /** Lets an effect of a command that has taken effect leave; left out: nobody hears of them. */
  readonly emit?: (effect: Effect) => void;
  /** Whether somebody watches the commands of this node; left out: nobody does. */
  readonly isMonitored?: () => boolean;
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
    this.view = view;
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

  /** A command is evaluated: counts an access to each of its keys, where accesses are counted. */
  begin(spec: CommandSpec, args: readonly Buffer[]): void {
    this.isReading = spec.flags.includes('readonly');
    const { frequencies } = this.settings;
    if (frequencies === undefined || UNCOUNTED.has(spec.name)) return;
    for (const index of keyIndexes(spec, args)) frequencies.touch(this.keyspace.storageKey(args[index]!), this.nowMs);
  }

  noteRead(isThere: boolean): void {
    if (this.isReading) this.settings.meter?.lookedUp(isThere);
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
