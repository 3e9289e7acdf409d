/** CLIENT TRACKING of one connection: what it keeps of what it reads, and what it is told when that changes. */
import {
  type CommandDeclaration,
  type EvaluationSettings,
  keyIndexes,
  type TrackingControl,
  type TrackingOptions,
} from '../command/index.ts';
import { EncodedReply, encodeReply, PushReply, RedisError, type Reply, wordOf } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';
import type { TrackingClient } from '../tracking/index.ts';
import type { AfterReplies } from './after-replies.ts';

/** Where clients of RESP2 get invalidations: what they hear is a message of this channel. */
const INVALIDATE_CHANNEL = '__redis__:invalidate';

/** What it needs of its connection. */
export interface TrackedConnection {
  readonly id: number;
  readonly resp: 2 | 3;
  /** Place of the newest reply. */
  readonly replyPlace: number;
  push(message: EncodedReply): void;
  readonly afterReplies: AfterReplies;
  /** Ends it when too much waits. */
  dropIfSlow(): void;
}

interface TrackedCommand {
  readonly spec: CommandDeclaration;
  readonly args: readonly Buffer[];
}

/** It reads the keys that it names, or calls what may. */
const readsKeys = ({ flags, group }: CommandDeclaration): boolean =>
  flags.includes('readonly') || group === 'scripting';

const keysOf = (spec: CommandDeclaration, args: readonly Buffer[]): string[] =>
  readsKeys(spec) && spec.keys !== undefined ? keyIndexes(spec, args).map((at) => args[at]!.toString('latin1')) : [];

const bytesOf = (keys: readonly string[]): Buffer[] => keys.map((key) => Buffer.from(key, 'latin1'));

const fitsOther = (one: Buffer, other: Buffer): boolean => {
  const length = Math.min(one.length, other.length);
  return one.subarray(0, length).equals(other.subarray(0, length));
};

const overlap = (prefix: Buffer, which: string, other: Buffer): RedisError =>
  new RedisError(
    `ERR Prefix '${prefix.toString()}' overlaps with ${which} prefix '${other.toString()}'. ` +
      'Prefixes for a single client must not overlap.',
  );

const cannotSwitch = (what: string): RedisError =>
  new RedisError(
    `ERR You can't switch ${what} before disabling tracking for this client, and then re-enabling it with a different mode.`,
  );

/** See the top of the file. */
export class ClientTracking implements TrackingControl, TrackingClient {
  private readonly server: ServerState;
  private readonly connection: TrackedConnection;
  private options: TrackingOptions | undefined;
  /** CLIENT CACHING was said for the next command. */
  private isCachingSaid = false;
  private isRedirectBroken = false;
  /** By their latin1 text. */
  private readonly prefixes = new Map<string, Buffer>();
  /** Place of the newest reply that the client may keep something of. */
  private lastPlace = -1;
  /** The newest reply when the client was last told to forget everything. */
  private forgottenAt = -1;
  /** Keys of a command that waits for them, with those that have changed meanwhile. */
  private waiting: { readonly keys: ReadonlySet<string>; readonly changed: Set<string> } | undefined;

  constructor(server: ServerState, connection: TrackedConnection) {
    this.server = server;
    this.connection = connection;
  }

  get id(): number {
    return this.connection.id;
  }

  get isOn(): boolean {
    return this.options !== undefined;
  }

  get isBroadcast(): boolean {
    return this.options?.isBroadcast === true;
  }

  get isQuiet(): boolean {
    return this.options?.isQuiet === true;
  }

  get isBroken(): boolean {
    return this.isRedirectBroken;
  }

  get redirect(): number {
    return this.options?.redirect ?? -1;
  }

  get flags(): string[] {
    const { options } = this;
    if (options === undefined) return ['off'];
    const flags = ['on'];
    if (options.isBroadcast) flags.push('bcast');
    if (options.choice === 'optin') flags.push('optin', ...(this.isCachingSaid ? ['caching-yes'] : []));
    if (options.choice === 'optout') flags.push('optout', ...(this.isCachingSaid ? ['caching-no'] : []));
    if (options.isQuiet) flags.push('noloop');
    if (this.isRedirectBroken) flags.push('broken_redirect');
    return flags;
  }

  prefixList(): Buffer[] {
    return [...this.prefixes.values()].toSorted(Buffer.compare);
  }

  // What the client says.

  switchOn(options: TrackingOptions, prefixes: readonly Buffer[]): Promise<void> | undefined {
    const { tracking } = this.server;
    this.checkChoice(options);
    if (options.isBroadcast) this.checkPrefixes(prefixes);
    if (!tracking.hasRoomFor(prefixes)) throw new RedisError('ERR clients of this node have too many prefixes already');
    this.options = options;
    this.isRedirectBroken = false;
    if (options.isBroadcast) {
      for (const prefix of prefixes.length === 0 ? [Buffer.alloc(0)] : prefixes) this.addPrefix(prefix);
    }
    // Of what was read before nothing is kept.
    this.forgottenAt = this.connection.replyPlace;
    tracking.joined(this);
    return tracking.watching();
  }

  checkMode(isBroadcast: boolean): void {
    const { options } = this;
    if (options !== undefined && options.isBroadcast !== isBroadcast) throw cannotSwitch('BCAST mode on/off');
  }

  private checkChoice({ choice }: TrackingOptions): void {
    const before = this.options?.choice;
    const isOther = choice !== undefined && before !== undefined && before !== choice;
    if (isOther) throw cannotSwitch('OPTIN/OPTOUT mode');
  }

  private checkPrefixes(prefixes: readonly Buffer[]): void {
    for (const [at, prefix] of prefixes.entries()) {
      const known = this.prefixList().find((one) => fitsOther(one, prefix));
      if (known !== undefined) throw overlap(prefix, 'an existing', known);
      const given = prefixes.slice(at + 1).find((one) => fitsOther(prefix, one));
      if (given !== undefined) throw overlap(prefix, 'another provided', given);
    }
  }

  private addPrefix(prefix: Buffer): void {
    const key = prefix.toString('latin1');
    if (this.prefixes.has(key)) return;
    this.prefixes.set(key, Buffer.from(prefix));
    this.server.tracking.addPrefix(key, this);
  }

  switchOff(): void {
    if (this.options === undefined) return;
    for (const prefix of this.prefixes.keys()) this.server.tracking.removePrefix(prefix, this);
    this.prefixes.clear();
    this.options = undefined;
    this.isCachingSaid = false;
    this.isRedirectBroken = false;
    this.waiting = undefined;
    this.server.tracking.left(this);
  }

  cacheNext(isYes: boolean): void {
    const choice = this.options?.choice;
    if (isYes && choice !== 'optin') {
      throw new RedisError('ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.');
    }
    if (!isYes && choice !== 'optout') {
      throw new RedisError('ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.');
    }
    this.isCachingSaid = true;
  }

  forgetFrom(place: number): void {
    if (this.options === undefined) return;
    this.forgottenAt = place;
    this.sayBehind(null, place);
  }

  // What the client does.

  /** A command is over: so is what CLIENT CACHING has said, unless it was one of CLIENT or a transaction goes on. */
  passed(fullName: string, isInTransaction: boolean): void {
    if (this.isCachingSaid && !isInTransaction && !fullName.startsWith('client')) this.isCachingSaid = false;
  }

  /** What commands are evaluated with: with the client's number if it does not want to hear of its own changes. */
  settingsFor(settings: EvaluationSettings): EvaluationSettings {
    return this.isQuiet ? { ...settings, quietClient: this.id } : settings;
  }

  /** A command is about to be sent on; `place` is that of its reply. */
  reads({ spec }: { readonly spec: CommandDeclaration }, args: readonly Buffer[], place: number): void {
    if (this.options === undefined) return;
    const keys = this.isBroadcast ? [] : this.keptOf(spec, args);
    // Who is told of prefixes may keep what it writes, too.
    const isKept = this.isBroadcast ? spec.keys !== undefined : keys.length > 0;
    if (isKept) this.lastPlace = Math.max(this.lastPlace, place);
    this.remember(keys, place);
  }

  /**
   * A transaction is about to be sent on. Commands among those that it has queued may say CLIENT CACHING.
   * @param place of EXEC's reply
   */
  readsAll(commands: () => readonly TrackedCommand[], place: number): void {
    if (this.options === undefined) return;
    const saidBefore = this.isCachingSaid;
    const word = { optin: 'yes', optout: 'no' }[this.options.choice ?? 'optin'];
    for (const command of commands()) {
      const { spec, args } = command;
      if (spec.name !== 'caching') this.reads(command, args, place);
      else if (wordOf(args[2]!) === word) this.isCachingSaid = true;
    }
    this.isCachingSaid = saidBefore;
  }

  /**
   * Runs a command that may wait for keys. What changes meanwhile is told at once, and again behind the reply: that may be older.
   * @param place of the reply
   */
  waits(
    { spec }: { readonly spec: CommandDeclaration },
    args: readonly Buffer[],
    place: number,
    run: () => Promise<Reply>,
  ): Promise<Reply> {
    const keys = this.options === undefined ? [] : this.keptOf(spec, args);
    if (keys.length === 0) return run();
    this.waiting = { keys: new Set(keys), changed: new Set() };
    this.remember(keys, -1);
    return run().finally(() => this.waited(place));
  }

  private waited(place: number): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting === undefined) return;
    this.lastPlace = Math.max(this.lastPlace, place);
    if (waiting.changed.size > 0) this.sayBehind(bytesOf([...waiting.changed]), place);
  }

  /** Keys that the client keeps of what a command reads. With prefixes all that it reads counts. */
  private keptOf(spec: CommandDeclaration, args: readonly Buffer[]): string[] {
    const { choice } = this.options!;
    const isKept = choice === undefined || (choice === 'optin') === this.isCachingSaid;
    return isKept ? keysOf(spec, args) : [];
  }

  private remember(keys: readonly string[], place: number): void {
    if (this.isBroadcast) return;
    for (const key of keys) this.server.tracking.remember(this, key, place);
  }

  // What the client is told.

  invalidate(keys: readonly string[], place = this.lastPlace): void {
    const { waiting } = this;
    if (waiting !== undefined) for (const key of keys) if (waiting.keys.has(key)) waiting.changed.add(key);
    this.say(bytesOf(keys), place);
  }

  forgetAll(): void {
    const { replyPlace } = this.connection;
    for (const key of this.waiting?.keys ?? []) this.waiting!.changed.add(key);
    // It has read nothing since it was told so the last time.
    if (this.forgottenAt === replyPlace && this.waiting === undefined) return;
    this.forgottenAt = replyPlace;
    this.say(null, this.lastPlace);
  }

  /**
   * At once, because the client may have the keys from replies before; and again when a reply that may be older than the change is on its way.
   * @param place of that reply
   */
  private say(keys: readonly Buffer[] | null, place: number): void {
    this.tell(keys);
    if (this.connection.afterReplies.owes(place)) this.sayBehind(keys, place);
  }

  private sayBehind(keys: readonly Buffer[] | null, place: number): void {
    const bytes = keys?.reduce((sum, key) => sum + key.length, 0) ?? 0;
    this.connection.afterReplies.add(place, bytes, () => this.tell(keys));
    this.connection.dropIfSlow();
  }

  private tell(keys: readonly Buffer[] | null): void {
    const { options } = this;
    if (options === undefined) return;
    if (options.redirect !== 0) this.tellOther(options.redirect, keys);
    else if (this.connection.resp === 3) this.push(['invalidate', keys]);
  }

  private tellOther(redirect: number, keys: readonly Buffer[] | null): void {
    const target = this.server.connections.get(redirect);
    if (target === undefined) {
      this.isRedirectBroken = true;
      if (this.connection.resp === 3) this.push(['tracking-redir-broken', redirect]);
    } else if (target.resp === 3) {
      target.push(new EncodedReply(encodeReply(new PushReply(['invalidate', keys]), 3)));
    } else if (target.listensTo('channel') + target.listensTo('pattern') + target.listensTo('shard') > 0) {
      const message = new PushReply(['message', INVALIDATE_CHANNEL, keys]);
      target.push(new EncodedReply(encodeReply(message, 2)));
    }
  }

  private push(elements: readonly Reply[]): void {
    this.connection.push(new EncodedReply(encodeReply(new PushReply(elements), 3)));
  }
}
