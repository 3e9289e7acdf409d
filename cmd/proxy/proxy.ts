/** A proxy in front of a Redis and a cluster that is to take its place. */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { counted } from '../../src/platform/index.ts';
import type { ReplyValue, Upstream } from '../redis/index.ts';
import { type ClientHost, ProxyClient } from './client.ts';
import { type Described, placesOf } from './commands.ts';
import type { Effect } from './effects.ts';
import { KeyGate } from './key-gate.ts';
import { type KeyPlace, placeName } from './key-place.ts';
import { DEFAULT_MIRROR_LIMITS, Mirror, type MirrorLimits } from './mirror.ts';
import { MEANINGS, type Mode, type ModeMeaning, type Side } from './mode.ts';
import { Repair } from './repair.ts';
import { Report } from './report.ts';
import { ScriptCache } from './script-cache.ts';
import type { ProxyState } from './state.ts';

export const DEFAULT_DRAIN_MS = 10_000;
/** After this, a write whose outcome is open takes no effect any more. */
export const DEFAULT_SETTLE_MS = 8_000;
/** Nobody waits for longer than this because somebody has forgotten to let them go on. */
const MAX_PAUSE_MS = 60_000;
const POLL_MS = 5;
const MAX_SETTLE_STEP_MS = 100;

export interface ProxyOptions {
  readonly host: string;
  readonly port: number;
  readonly upstreams: { readonly [S in Side]: Upstream };
  readonly mode: Mode;
  readonly nowMs: () => number;
  /** How long a pause, and the end, wait for what has begun. */
  readonly drainMs: number;
  /** How long a repair waits for what may take effect still. */
  readonly settleMs: number;
  readonly mirrorLimits?: MirrorLimits;
  /** Keeps over restarts what has to be kept; undefined: nothing is. */
  readonly state?: ProxyState;
}

/** The mode was not changed: something would not come to its end. */
export class ModeChangeError extends Error {
  override readonly name = 'ModeChangeError';
}

/** Listens for clients, and passes on what they say. */
export class RedisProxy implements ClientHost {
  readonly gate = new KeyGate();
  readonly report: Report;
  private readonly options: ProxyOptions;
  private readonly server: Server;
  private readonly clients = new Set<ProxyClient>();
  private readonly scripts = new ScriptCache();
  /** How many commands wait for a key. */
  private readonly waiters = new Map<string, number>();
  private current: Mode;
  private mirror: Mirror | undefined;
  private held:
    | { readonly resume: () => void; readonly until: Promise<void>; readonly timer: NodeJS.Timeout }
    | undefined;
  private repairing: { readonly abort: AbortController; readonly ended: Promise<unknown> } | undefined;

  private stopping: Promise<void> | undefined;

  private constructor(options: ProxyOptions) {
    this.options = options;
    this.report = new Report(options.nowMs());
    if (options.state !== undefined) this.report.putBack(options.state.suspicion);
    this.current = options.mode;
    this.mirror = this.openMirror();
    this.server = createServer((socket) => this.accept(socket));
  }

  /** @throws the system's error when the port is taken, or the state cannot be written */
  static async start(options: ProxyOptions): Promise<RedisProxy> {
    const proxy = new RedisProxy(options);
    await options.state?.write(options.mode, proxy.report.suspicion, true);
    await new Promise<void>((resolve, reject) => {
      proxy.server.once('error', reject);
      proxy.server.listen(options.port, options.host, resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get mode(): Mode {
    return this.current;
  }

  get meaning(): ModeMeaning {
    return MEANINGS[this.current];
  }

  get primary(): Upstream {
    return this.options.upstreams[this.meaning.primary];
  }

  get connections(): number {
    return this.clients.size;
  }

  /** Commands that the second side has not answered. */
  get behind(): number {
    return this.mirror?.behind ?? 0;
  }

  /** Every command was answered by the first side, but for those that wait for something. */
  get isQuiet(): boolean {
    return this.underWay() === 0;
  }

  get isPaused(): boolean {
    return this.held !== undefined;
  }

  get lingerMs(): number {
    return this.options.drainMs;
  }

  /**
   * Lets nothing begin, and waits until all that has begun is answered by both sides. It ends by itself after a minute.
   * @throws ModeChangeError when that takes too long
   */
  async pause(): Promise<void> {
    this.hold();
    const { drainMs } = this.options;
    if (!(await this.quiet())) {
      const count = this.underWay();
      this.resume();
      throw new ModeChangeError(
        `no answer after ${drainMs / 1000} s to ${counted(count, 'command')}; nothing was changed`,
      );
    }
    if (this.mirror !== undefined && !(await this.mirror.drained(drainMs))) {
      const { behind } = this.mirror;
      this.resume();
      throw new ModeChangeError(
        `the second side is ${counted(behind, 'command')} behind after ${drainMs / 1000} s; nothing was changed`,
      );
    }
  }

  resume(): void {
    const { held } = this;
    this.held = undefined;
    if (held === undefined) return;
    clearTimeout(held.timer);
    held.resume();
  }

  /**
   * Changes the mode between two commands. When another side answers from now on, clients are disconnected and come again.
   * @param isInPause only when a pause that was begun before has not ended
   * @throws ModeChangeError; the system's error when the state cannot be written, and nothing was changed
   */
  async change(mode: Mode, isInPause = false): Promise<void> {
    if (isInPause && !this.isPaused)
      throw new ModeChangeError('the pause is over: clients may have written since; nothing was changed');
    this.repairing?.abort.abort(new ModeChangeError('the mode was changed meanwhile'));
    await this.repairing?.ended;
    await this.pause();
    try {
      const { primary } = this.meaning;
      await this.options.state?.write(mode, this.report.suspicion, true);
      this.current = mode;
      await this.mirror?.close();
      this.mirror = this.openMirror();
      if (this.meaning.primary !== primary) for (const client of this.clients) client.close();
    } finally {
      this.resume();
    }
  }

  /**
   * Copies every key that may differ from the side that answers to the other one.
   * @param isOfAll every key that does differ: both sides are read from end to end
   * @returns how many keys were looked at
   * @throws the error of a connection, ServerError, ModeChangeError; what was not copied is remembered still
   */
  async repair(isOfAll = false): Promise<number> {
    const { secondary } = this.meaning;
    if (secondary === undefined) return 0;
    if (this.repairing !== undefined) throw new ModeChangeError('another repair is under way');
    const abort = new AbortController();
    const repaired = this.repairTo(secondary, isOfAll, abort.signal);
    this.repairing = { abort, ended: repaired.catch(() => undefined) };
    try {
      return await repaired;
    } finally {
      this.repairing = undefined;
    }
  }

  /** Lets no command begin, and waits for those that have. What is not known then is in the report, and in the state. */
  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  private async stopOnce(): Promise<void> {
    this.server.close();
    this.repairing?.abort.abort(new ModeChangeError('the proxy was stopped'));
    await this.repairing?.ended;
    this.hold();
    if (await this.quiet()) await this.mirror?.drained(this.options.drainMs);
    for (const client of this.clients) client.close();
    await this.mirror?.close();
    this.resume();
    await this.options.state?.write(this.current, this.report.suspicion, false);
  }

  nowMs(): number {
    return this.options.nowMs();
  }

  async admitted(): Promise<void> {
    while (this.held !== undefined) await this.held.until;
  }

  noteCommand(isUnknown: boolean): void {
    this.report.commands += 1;
    if (isUnknown && this.mirror !== undefined) this.report.unknown += 1;
  }

  wrote(database: number, effects: readonly Effect[], places: readonly KeyPlace[], hasUnnamedKeys: boolean): void {
    // What a waiting command has taken is told later: until then the second side has longer lists.
    const isWaitedFor = places.some((place) => this.waiters.has(placeName(place)));
    const told = effects.map((effect) => {
      const { command, expected } = this.withBody(effect);
      const isLength = expected !== undefined && PUSHES.has(expected.name);
      return { command, expected: isWaitedFor && isLength ? undefined : expected };
    });
    if (told.every(({ command }) => isSelect(command[0]))) return;
    this.mirror?.tell({ database, effects: told, places: hasUnnamedKeys ? undefined : places, kind: 'write' });
  }

  wasRead(database: number, args: readonly Buffer[], described: Described, reply: ReplyValue): void {
    const effects = [{ command: args, expected: { name: described.name, reply } }];
    this.mirror?.tell({ database, effects, places: placesOf(described, args, database), kind: 'read' });
  }

  unanswered(places: readonly KeyPlace[], hasUnnamedKeys: boolean): void {
    if (this.mirror === undefined) return;
    this.report.unanswered += 1;
    this.report.markDirty(places);
    if (hasUnnamedKeys) this.report.markDirty(undefined);
    this.report.noteOpen();
  }

  didUnknown(): void {
    if (this.mirror !== undefined) this.report.markDirty(undefined);
  }

  waits(places: readonly KeyPlace[]): () => void {
    const names = places.map(placeName);
    for (const name of names) this.waiters.set(name, (this.waiters.get(name) ?? 0) + 1);
    return () => {
      for (const name of names) {
        const left = this.waiters.get(name)! - 1;
        if (left > 0) this.waiters.set(name, left);
        else this.waiters.delete(name);
      }
    };
  }

  learnScript(body: Buffer): void {
    this.scripts.learn(body);
  }

  closed(client: ProxyClient): void {
    this.clients.delete(client);
  }

  /** A script by its text, if that is known: the second side may never have heard it. */
  private withBody(effect: Effect): Effect {
    const [name, checksum, ...rest] = effect.command;
    if (String(name).toLowerCase() !== 'evalsha') return effect;
    const body = this.scripts.find(String(checksum).toLowerCase());
    return body === undefined ? effect : { ...effect, command: ['EVAL', body, ...rest] };
  }

  private hold(): void {
    if (this.held !== undefined) return;
    let resume = (): void => undefined;
    const until = new Promise<void>((resolve) => {
      resume = resolve;
    });
    const timer = setTimeout(() => this.resume(), MAX_PAUSE_MS);
    timer.unref();
    this.held = { resume, until, timer };
  }

  /** Waits until nothing is under way on the first side. @returns whether that was so in time */
  private async quiet(): Promise<boolean> {
    const untilMs = performance.now() + this.options.drainMs;
    while (!this.isQuiet && performance.now() < untilMs) await delay(POLL_MS);
    return this.isQuiet;
  }

  private underWay(): number {
    let count = 0;
    for (const client of this.clients) count += client.inFlight;
    // What a command that has waited has come to is in the gate until it was told.
    return Math.max(count, this.gate.size);
  }

  private async repairTo(secondary: Side, isOfAll: boolean, interrupted: AbortSignal): Promise<number> {
    const { upstreams, settleMs, drainMs } = this.options;
    const { gate, report, mirror } = this;
    while (performance.now() < report.lastOpenMs + settleMs) {
      interrupted.throwIfAborted();
      await delay(Math.min(MAX_SETTLE_STEP_MS, settleMs));
    }
    const passed = async (): Promise<void> => {
      if (!(await mirror!.passed(drainMs))) throw new Error('the second side does not answer');
    };
    const repair = await Repair.open({
      from: this.primary,
      to: upstreams[secondary],
      toCluster: secondary === 'kvorum',
      gate,
      report,
      passed,
      interrupted,
    });
    try {
      return await repair.run(isOfAll);
    } finally {
      repair.close();
    }
  }

  private openMirror(): Mirror | undefined {
    const { secondary } = this.meaning;
    const { upstreams, mirrorLimits = DEFAULT_MIRROR_LIMITS } = this.options;
    return secondary === undefined ? undefined : new Mirror(upstreams[secondary], this.report, mirrorLimits);
  }

  private accept(socket: Socket): void {
    this.clients.add(new ProxyClient(socket, this));
  }
}

/** They answer with the length of a list. */
const PUSHES = new Set(['lpush', 'rpush', 'lpushx', 'rpushx', 'linsert']);

const isSelect = (name: unknown): boolean => String(name).toLowerCase() === 'select';
