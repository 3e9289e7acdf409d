/** A proxy in front of a Redis and a cluster that is to take its place. */
import { createHash } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Link, openFirst, type ReplyValue, type Upstream } from '../redis/index.ts';
import { type ClientHost, ProxyClient } from './client.ts';
import type { Described } from './commands.ts';
import { type Effect, expectedOf } from './effects.ts';
import { KeyGate } from './key-gate.ts';
import { Mirror } from './mirror.ts';
import { MEANINGS, type Mode, type ModeMeaning, type Side } from './mode.ts';
import { Report } from './report.ts';

export const DEFAULT_DRAIN_MS = 10_000;
const MAX_SCRIPTS = 10_000;
/** Nobody waits for longer than this because somebody has forgotten to let them go on. */
const MAX_PAUSE_MS = 60_000;

export interface ProxyOptions {
  readonly host: string;
  readonly port: number;
  readonly upstreams: { readonly [S in Side]: Upstream };
  readonly mode: Mode;
  readonly nowMs: () => number;
  /** How long a pause waits for what has begun. */
  readonly drainMs: number;
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
  private readonly scripts = new Map<string, Buffer>();
  private current: Mode;
  private mirror: Mirror | undefined;
  private held:
    | { readonly resume: () => void; readonly until: Promise<void>; readonly timer: NodeJS.Timeout }
    | undefined;

  private constructor(options: ProxyOptions) {
    this.options = options;
    this.report = new Report(options.nowMs());
    this.current = options.mode;
    this.mirror = this.openMirror();
    this.server = createServer((socket) => this.accept(socket));
  }

  /** @throws the system's error when the port is taken */
  static async start(options: ProxyOptions): Promise<RedisProxy> {
    const proxy = new RedisProxy(options);
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

  get isPaused(): boolean {
    return this.held !== undefined;
  }

  /**
   * Lets nothing begin, and waits until all that has begun is answered by both sides. It ends by itself after a minute.
   * @throws ModeChangeError when that takes too long
   */
  async pause(): Promise<void> {
    if (this.held === undefined) {
      let resume = (): void => undefined;
      const until = new Promise<void>((resolve) => {
        resume = resolve;
      });
      const timer = setTimeout(() => this.resume(), MAX_PAUSE_MS);
      timer.unref();
      this.held = { resume, until, timer };
    }
    const { drainMs } = this.options;
    const untilMs = performance.now() + drainMs;
    while (this.underWay() > 0) {
      if (performance.now() > untilMs) {
        const count = this.underWay();
        this.resume();
        throw new ModeChangeError(`${count} commands are not answered after ${drainMs / 1000} s; nothing was changed`);
      }
      await delay(5);
    }
    if (this.mirror !== undefined && !(await this.mirror.drained(drainMs))) {
      const { behind } = this.mirror;
      this.resume();
      throw new ModeChangeError(
        `the second side is ${behind} commands behind after ${drainMs / 1000} s; nothing was changed`,
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
   * @throws ModeChangeError
   */
  async change(mode: Mode): Promise<void> {
    await this.pause();
    const { primary } = this.meaning;
    this.current = mode;
    this.mirror?.close();
    this.mirror = this.openMirror();
    if (this.meaning.primary !== primary) for (const client of this.clients) client.close();
    this.resume();
  }

  /**
   * Copies every key that may differ from the side that answers to the other one.
   * @returns how many keys that were
   * @throws the error of a connection, ServerError; what was not copied is remembered still
   */
  async repair(): Promise<number> {
    const { secondary } = this.meaning;
    if (secondary === undefined) return 0;
    const [from, to] = await Promise.all(
      [this.primary, this.options.upstreams[secondary]].map((side) => openFirst(side, Link.open)),
    );
    const dirty = this.report.takeDirty();
    let done = 0;
    try {
      for (const { database, key } of dirty) {
        const leave = await this.gate.enter([`${database} ${key.toString('latin1')}`], {});
        try {
          await this.mirror!.drained(this.options.drainMs);
          await copy(from!, to!, database, key);
        } finally {
          leave();
        }
        done += 1;
        this.report.repaired += 1;
      }
    } finally {
      for (const { database, key } of dirty.slice(done)) this.report.markDirty(database, [key]);
      from!.close();
      to!.close();
    }
    return done;
  }

  async stop(): Promise<void> {
    this.server.close();
    for (const client of this.clients) client.close();
    this.mirror?.close();
    this.resume();
  }

  async admitted(): Promise<void> {
    while (this.held !== undefined) await this.held.until;
  }

  noteCommand(isUnknown: boolean): void {
    this.report.commands += 1;
    if (isUnknown && this.mirror !== undefined) this.report.unknown += 1;
  }

  wrote(database: number, effects: readonly Effect[], { name, keys }: Described, reply: ReplyValue): void {
    const commands = effects.flatMap((effect) => (effect === undefined ? [] : [this.withBody(effect)]));
    if (commands.length === 0 || this.mirror === undefined) return;
    const isTransaction = name === 'exec';
    this.mirror.tell({
      database,
      commands: isTransaction ? [['MULTI'], ...commands, ['EXEC']] : commands,
      keys,
      expected: isTransaction ? undefined : { name, reply: expectedOf(name, reply) },
      kind: 'write',
    });
  }

  wasRead(database: number, args: readonly Buffer[], { name, keys }: Described, reply: ReplyValue): void {
    this.mirror?.tell({ database, commands: [args], keys, expected: { name, reply }, kind: 'read' });
  }

  learnScript(body: Buffer): void {
    if (this.scripts.size >= MAX_SCRIPTS) this.scripts.delete(this.scripts.keys().next().value!);
    this.scripts.set(createHash('sha1').update(body).digest('hex'), body);
  }

  closed(client: ProxyClient): void {
    this.clients.delete(client);
  }

  /** A script by its text, if that is known: the second side may never have heard it. */
  private withBody(effect: NonNullable<Effect>): NonNullable<Effect> {
    if (effect[0]!.toString().toLowerCase() !== 'evalsha') return effect;
    const body = this.scripts.get(effect[1]!.toString().toLowerCase());
    return body === undefined ? effect : ['EVAL', body, ...effect.slice(2)];
  }

  private underWay(): number {
    let count = 0;
    for (const client of this.clients) count += client.inFlight;
    return count;
  }

  private openMirror(): Mirror | undefined {
    const { secondary } = this.meaning;
    return secondary === undefined ? undefined : new Mirror(this.options.upstreams[secondary], this.report);
  }

  private accept(socket: Socket): void {
    this.clients.add(new ProxyClient(socket, this));
  }
}

async function copy(from: Link, to: Link, database: number, key: Buffer): Promise<void> {
  await from.call(['SELECT', database]);
  await to.call(['SELECT', database]);
  const [payload, ttlMs] = await Promise.all([from.call(['DUMP', key]), from.call(['PTTL', key])]);
  if (payload === null) await to.call(['UNLINK', key]);
  else await to.call(['RESTORE', key, Math.max(0, Number(ttlMs)), payload as Buffer, 'REPLACE']);
}
