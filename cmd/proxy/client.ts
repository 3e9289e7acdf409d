/** A client of the proxy, with a connection of its own to the side that answers. */
import type { Socket } from 'node:net';
import { ProtocolError, RespParser } from '../../src/adapter/redis/index.ts';
import {
  decodeReply,
  encodeCommand,
  isErrorReply,
  isPush,
  openConnection,
  openFirst,
  ReplySplitter,
  type ReplyValue,
  ServerError,
  type Upstream,
} from '../redis/index.ts';
import { type Described, describe } from './commands.ts';
import { type Effect, effectOf } from './effects.ts';
import type { KeyGate } from './key-gate.ts';
import type { ModeMeaning } from './mode.ts';

const LIMITS = { lineBytes: 64 * 1024, bulkBytes: 512 * 1024 ** 2, argumentCount: 1024 ** 2, commandBytes: 1024 ** 3 };
/** Commands that are read ahead of those that were answered. */
const MAX_AHEAD = 1_000;
const AFTER_SUBSCRIBE = new Set(['ping', 'quit', 'reset', 'unsubscribe', 'punsubscribe', 'sunsubscribe']);

/** What a client needs of the proxy. */
export interface ClientHost {
  readonly meaning: ModeMeaning;
  readonly primary: Upstream;
  readonly gate: KeyGate;
  /** Waits while nothing may begin. */
  admitted(): Promise<void>;
  noteCommand(isUnknown: boolean): void;
  /** A write has taken effect on the first side. */
  wrote(database: number, effects: readonly Effect[], described: Described, reply: ReplyValue): void;
  wasRead(database: number, args: readonly Buffer[], described: Described, reply: ReplyValue): void;
  /** The body of a script went by. */
  learnScript(body: Buffer): void;
  closed(client: ProxyClient): void;
}

/** A command of a transaction that is being put together. */
interface Queued {
  readonly args: readonly Buffer[];
  readonly described: Described;
}

/** Called with the answer of the first side. */
type Answered = (reply: Buffer) => void;

export class ProxyClient {
  private readonly socket: Socket;
  private readonly host: ClientHost;
  private readonly parser = new RespParser(LIMITS);
  private readonly commands: (readonly Buffer[])[] = [];
  private readonly awaited: Answered[] = [];
  private upstream: Socket | undefined;
  private isRunning = false;
  /** A command was let in and not sent yet. */
  private isStarting = false;
  private isClosed = false;
  private whenIdle: (() => void) | undefined;
  private database = 0;
  private transaction: Queued[] | undefined;
  private isSubscriber = false;
  private blocked = 0;

  constructor(socket: Socket, host: ClientHost) {
    this.socket = socket;
    this.host = host;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
  }

  /** Commands that the first side has not answered, but for those that wait for something. */
  get inFlight(): number {
    return (this.isSubscriber ? 0 : this.awaited.length - this.blocked) + (this.isStarting ? 1 : 0);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.destroy();
    this.upstream?.destroy();
    // Nobody hears of what was under way, but others wait for its keys.
    for (const answered of this.awaited.splice(0)) answered(LOST);
    this.whenIdle?.();
    this.host.closed(this);
  }

  private take(bytes: Buffer): void {
    try {
      this.parser.push(bytes);
      for (let args = this.parser.next(); args !== undefined; args = this.parser.next()) {
        if (args.length > 0) this.commands.push(args.map((arg) => Buffer.from(arg)));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.socket.end(`-ERR Protocol error: ${error.message}\r\n`);
      return;
    }
    if (this.commands.length > MAX_AHEAD) this.socket.pause();
    if (!this.isRunning) void this.run();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    try {
      while (this.commands.length > 0 && !this.isClosed) {
        await this.host.admitted();
        this.isStarting = true;
        this.upstream ??= await this.dial();
        if (this.isClosed) return;
        await this.pass(this.commands.shift()!);
        this.isStarting = false;
        if (this.commands.length < MAX_AHEAD / 2 && this.socket.isPaused()) this.socket.resume();
      }
    } catch (error) {
      this.socket.end(`-ERR the server behind the proxy cannot be reached: ${(error as Error).message}\r\n`);
    } finally {
      this.isRunning = false;
      this.isStarting = false;
    }
  }

  private async dial(): Promise<Socket> {
    const socket = await openFirst(this.host.primary, openConnection);
    const splitter = new ReplySplitter((reply) => this.answer(reply));
    socket.on('data', (bytes: Buffer) => splitter.feed(bytes));
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
    if (this.isClosed) socket.destroy();
    return socket;
  }

  private answer(reply: Buffer): void {
    this.socket.write(Buffer.from(reply));
    if (this.isSubscriber || isPush(reply)) return;
    this.awaited.shift()?.(reply);
    if (this.awaited.length === 0) this.whenIdle?.();
  }

  private send(args: readonly Buffer[], answered: Answered): void {
    this.awaited.push(answered);
    this.upstream!.write(encodeCommand(args));
  }

  private async pass(args: readonly Buffer[]): Promise<void> {
    const described = describe(args);
    const { host } = this;
    host.noteCommand(described.kind === 'unknown');
    if (this.isSubscriber && described.kind !== 'subscribe' && !AFTER_SUBSCRIBE.has(described.name)) {
      this.socket.write(
        '-ERR this connection has subscribed to messages; the proxy takes other commands on another one\r\n',
      );
      return;
    }
    switch (described.kind) {
      case 'subscribe':
        this.isSubscriber = true;
        this.upstream!.write(encodeCommand(args));
        return;
      case 'select':
        return this.select(args, described);
      case 'multi':
        return this.send(args, (reply) => {
          if (!isErrorReply(reply)) this.transaction = [];
        });
      case 'discard':
        return this.send(args, () => {
          this.transaction = undefined;
        });
      case 'exec':
        return this.exec(args, described);
    }
    // MULTI may be on its way still: whether commands are queued is known from what they are answered.
    if (described.name === 'eval' || described.name === 'eval_ro') host.learnScript(args[1] ?? Buffer.alloc(0));
    if (described.name === 'script|load') host.learnScript(args[2] ?? Buffer.alloc(0));
    if (described.kind === 'session' || described.kind === 'unknown' || host.meaning.secondary === undefined) {
      this.send(args, () => undefined);
      return;
    }
    if (described.kind === 'read' && !host.meaning.comparesReads) {
      this.send(args, (reply) => this.noteQueued(reply, args, described));
      return;
    }
    if (described.isBlocking) {
      this.blocked += 1;
      this.send(args, (reply) => {
        this.blocked -= 1;
        if (!this.noteQueued(reply, args, described)) void this.afterWait(args, described, decodeReply(reply));
      });
      return;
    }
    const database = this.database;
    const leave = await host.gate.enter(this.gateKeys(described.keys), this);
    this.send(args, (reply) => {
      try {
        if (reply === LOST || this.noteQueued(reply, args, described)) return;
        const value = decodeReply(reply);
        if (described.kind === 'write') host.wrote(database, [effectOf(described.name, args, value)], described, value);
        else host.wasRead(database, args, described, value);
      } finally {
        leave();
      }
    });
  }

  /** What a waiting command has come to is told behind what woke it. */
  private async afterWait(args: readonly Buffer[], described: Described, value: ReplyValue): Promise<void> {
    const database = this.database;
    const leave = await this.host.gate.enter(this.gateKeys(described.keys), {});
    this.host.wrote(database, [effectOf(described.name, args, value)], described, value);
    leave();
  }

  private gateKeys(keys: readonly Buffer[]): string[] {
    return keys.map((key) => `${this.database} ${key.toString('latin1')}`);
  }

  /** @returns whether the command became part of a transaction, or nothing */
  private noteQueued(reply: Buffer, args: readonly Buffer[], described: Described): boolean {
    if (this.transaction === undefined) return false;
    if (reply.equals(QUEUED)) this.transaction.push({ args, described });
    return true;
  }

  private async select(args: readonly Buffer[], described: Described): Promise<void> {
    // Keys of commands behind it are of another database: they must not be taken for those of this one.
    await new Promise<void>((resolve) => {
      this.send(args, (reply) => {
        if (!this.noteQueued(reply, args, described) && !isErrorReply(reply))
          this.database = Number(args[1]?.toString());
        resolve();
      });
    });
  }

  private async exec(args: readonly Buffer[], described: Described): Promise<void> {
    const { host } = this;
    // All of the transaction has to be answered before its keys are known.
    if (this.awaited.length > 0) await new Promise<void>((resolve) => (this.whenIdle = resolve));
    this.whenIdle = undefined;
    const queued = this.transaction ?? [];
    this.transaction = undefined;
    const database = this.database;
    const keys = queued.flatMap((each) => [...each.described.keys]);
    const leave =
      host.meaning.secondary === undefined ? () => undefined : await host.gate.enter(this.gateKeys(keys), this);
    this.send(args, (reply) => {
      try {
        const value = reply === LOST ? null : decodeReply(reply);
        if (!Array.isArray(value)) return;
        const replies = value as readonly ReplyValue[];
        for (const [at, each] of queued.entries())
          if (each.described.kind === 'select' && !(replies[at] instanceof ServerError))
            this.database = Number(each.args[1]?.toString());
        const effects = queued.map(
          (each, at): Effect =>
            each.described.kind === 'write'
              ? effectOf(each.described.name, each.args, replies[at]!)
              : each.described.kind === 'select'
                ? each.args
                : undefined,
        );
        if (host.meaning.secondary !== undefined && queued.some((each) => each.described.kind === 'write'))
          host.wrote(database, effects, { ...described, keys }, value);
      } finally {
        leave();
      }
    });
  }
}

const QUEUED = Buffer.from('+QUEUED\r\n');
/** Stands for an answer that never came. */
const LOST = Buffer.from('-LOST\r\n');
