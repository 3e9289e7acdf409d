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
import { type Described, describe, placesOf } from './commands.ts';
import { type Effect, effectsOf } from './effects.ts';
import type { KeyGate } from './key-gate.ts';
import type { KeyPlace } from './key-place.ts';
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
  /** How long answers are waited for that nobody will hear. */
  readonly lingerMs: number;
  /** Unix milliseconds. */
  nowMs(): number;
  /** Waits while nothing may begin. */
  admitted(): Promise<void>;
  noteCommand(isUnknown: boolean): void;
  /** A write has taken effect on the first side. */
  wrote(database: number, effects: readonly Effect[], places: readonly KeyPlace[], hasUnnamedKeys: boolean): void;
  wasRead(database: number, args: readonly Buffer[], described: Described, reply: ReplyValue): void;
  /** A write was sent to the first side, and nobody knows what has become of it. */
  unanswered(places: readonly KeyPlace[], hasUnnamedKeys: boolean): void;
  /** A command that nobody here knows was carried out. */
  didUnknown(): void;
  /** A command waits for what others push. @returns what is to be called when it does not any more, and that was told */
  waits(places: readonly KeyPlace[]): () => void;
  /** The body of a script went by. */
  learnScript(body: Buffer): void;
  closed(client: ProxyClient): void;
}

/** A command of a transaction that is being put together, or of none. */
interface Sent {
  readonly args: readonly Buffer[];
  readonly described: Described;
  readonly database: number;
}

/** The answer of the first side, or why there is none: it was on its way when the connection ended, or never sent. */
type Outcome = Buffer | 'lost' | 'unsent';
type Answered = (outcome: Outcome) => void;

interface Awaited {
  readonly answered: Answered;
  /** It waits for what others do. */
  readonly isWaiting: boolean;
}

export class ProxyClient {
  private readonly socket: Socket;
  private readonly host: ClientHost;
  private readonly parser = new RespParser(LIMITS);
  private readonly commands: (readonly Buffer[])[] = [];
  private readonly awaited: Awaited[] = [];
  private upstream: Socket | undefined;
  private isRunning = false;
  /** A command was let in and not sent yet. */
  private isStarting = false;
  /** Nobody hears answers any more; what was said before is passed on still. */
  private isGone = false;
  private isClosed = false;
  private whenIdle: (() => void) | undefined;
  private whenAnswered: (() => void) | undefined;
  private lingering: NodeJS.Timeout | undefined;
  private database = 0;
  private transaction: Sent[] | undefined;
  /** That commands of the transaction are for. */
  private transactionDatabase = 0;
  private isSubscriber = false;

  constructor(socket: Socket, host: ClientHost) {
    this.socket = socket;
    this.host = host;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    socket.on('error', () => this.leave());
    socket.on('close', () => this.leave());
  }

  /** Commands that the first side has not answered, but for those that wait for something. */
  get inFlight(): number {
    const sent = this.isSubscriber ? 0 : this.awaited.length - (this.isWaiting ? 1 : 0);
    return sent + (this.isStarting ? 1 : 0);
  }

  /** Nothing is sent behind a command that waits, so it is the last one. */
  private get isWaiting(): boolean {
    return this.awaited.at(-1)?.isWaiting === true;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isGone = true;
    clearTimeout(this.lingering);
    this.socket.destroy();
    this.upstream?.destroy();
    for (const { answered } of this.awaited.splice(0)) answered('lost');
    this.whenIdle?.();
    this.whenAnswered?.();
    this.host.closed(this);
  }

  /** The client has closed its connection. What it has said is carried out, but it waits for nothing any more. */
  private leave(): void {
    if (this.isGone) return;
    this.isGone = true;
    if (this.isWaiting || this.isSubscriber) this.close();
    else {
      this.lingering = setTimeout(() => this.close(), this.host.lingerMs);
      this.closeWhenDone();
    }
  }

  private closeWhenDone(): void {
    if (this.isGone && !this.isRunning && this.awaited.length === 0) this.close();
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
        while (this.isWaiting) await new Promise<void>((resolve) => (this.whenAnswered = resolve));
        await this.host.admitted();
        this.isStarting = true;
        this.upstream ??= await this.dial();
        if (this.isClosed) return;
        await this.pass(this.commands.shift()!);
        this.isStarting = false;
        if (this.commands.length < MAX_AHEAD / 2 && this.socket.isPaused()) this.socket.resume();
      }
    } catch (error) {
      this.reply(`-ERR the server behind the proxy cannot be reached: ${(error as Error).message}\r\n`);
      this.socket.end();
      this.commands.length = 0;
    } finally {
      this.isRunning = false;
      this.isStarting = false;
      this.closeWhenDone();
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

  private reply(bytes: Buffer | string): void {
    if (!this.isGone) this.socket.write(bytes);
  }

  private answer(reply: Buffer): void {
    this.reply(Buffer.from(reply));
    if (this.isSubscriber || isPush(reply)) return;
    this.awaited.shift()?.answered(reply);
    this.whenAnswered?.();
    if (this.awaited.length > 0) return;
    this.whenIdle?.();
    this.closeWhenDone();
  }

  private send(args: readonly Buffer[], answered: Answered, isWaiting = false): void {
    if (this.isClosed) {
      answered('unsent');
      return;
    }
    this.awaited.push({ answered, isWaiting });
    this.upstream!.write(encodeCommand(args));
  }

  private async pass(args: readonly Buffer[]): Promise<void> {
    const described = describe(args);
    const { host } = this;
    host.noteCommand(described.kind === 'unknown');
    if (this.isSubscriber && described.kind !== 'subscribe' && !AFTER_SUBSCRIBE.has(described.name)) {
      this.reply('-ERR this connection has subscribed to messages; the proxy takes other commands on another one\r\n');
      return;
    }
    if (described.name === 'client|reply' && args[2]?.toString('latin1').toUpperCase() !== 'ON') {
      this.reply('-ERR the proxy has to hear answers: CLIENT REPLY OFF and SKIP are not taken\r\n');
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
        return this.send(args, (outcome) => {
          if (!isBytes(outcome) || isErrorReply(outcome)) return;
          this.transaction = [];
          this.transactionDatabase = this.database;
        });
      case 'discard':
        return this.send(args, (outcome) => {
          if (!isBytes(outcome) || isErrorReply(outcome)) return;
          this.transaction = undefined;
          if (described.name === 'reset') this.database = 0;
        });
      case 'exec':
        return this.exec(args);
    }
    // MULTI may be on its way still: whether commands are queued is known from what they are answered.
    if (described.name === 'eval' || described.name === 'eval_ro') host.learnScript(args[1] ?? Buffer.alloc(0));
    if (described.name === 'script|load') host.learnScript(args[2] ?? Buffer.alloc(0));
    const sent: Sent = { args, described, database: this.database };
    if (described.isBlocking) {
      // An answer that comes at once is not told from one that has been waited for: both are told behind what is under way.
      const ended = host.waits(placesIn(sent));
      return this.send(args, (outcome) => this.afterWait(sent, outcome, ended), true);
    }
    const isTold =
      host.meaning.secondary !== undefined &&
      (described.kind === 'write' || (described.kind === 'read' && host.meaning.comparesReads));
    if (!isTold) return this.send(args, (outcome) => this.answeredUntold(sent, outcome));
    const leave = await host.gate.enter(gatePlaces([sent]), this);
    this.send(args, (outcome) => {
      try {
        this.answeredTold(sent, outcome);
      } finally {
        leave();
      }
    });
  }

  /** Nobody else is told of a command, but a transaction may become of it. */
  private answeredUntold(sent: Sent, outcome: Outcome): void {
    const isUnknown = sent.described.kind === 'unknown';
    if (!isBytes(outcome)) {
      if (isUnknown && outcome === 'lost') this.unanswered([sent]);
    } else if (!this.noteQueued(sent, outcome) && isUnknown && !isErrorReply(outcome)) this.host.didUnknown();
  }

  private answeredTold(sent: Sent, outcome: Outcome): void {
    const { args, described, database } = sent;
    const { host } = this;
    if (isBytes(outcome)) {
      if (this.noteQueued(sent, outcome)) return;
      const value = decodeReply(outcome);
      if (described.kind === 'read') host.wasRead(database, args, described, value);
      else if (isOpen(value)) this.unanswered([sent]);
      else
        host.wrote(
          database,
          effectsOf(described.name, args, value, host.nowMs()),
          placesIn(sent),
          described.hasUnnamedKeys,
        );
    } else if (outcome === 'lost' && described.kind === 'write' && this.transaction === undefined) {
      // A transaction whose EXEC was not sent does nothing.
      this.unanswered([sent]);
    }
  }

  /** What a waiting command has come to is told behind what woke it. One that reads would make the second side wait. */
  private afterWait(sent: Sent, outcome: Outcome, ended: () => void): void {
    if (!isBytes(outcome)) this.answeredTold(sent, outcome);
    if (!isBytes(outcome) || this.noteQueued(sent, outcome) || sent.described.kind === 'read') {
      ended();
      return;
    }
    const reply = Buffer.from(outcome);
    void this.host.gate.enter(gatePlaces([sent]), {}).then((leave) => {
      this.answeredTold(sent, reply);
      ended();
      leave();
    });
  }

  private unanswered(sent: readonly Sent[]): void {
    const writes = sent.filter(({ described: { kind } }) => kind === 'write' || kind === 'unknown');
    if (writes.length === 0) return;
    this.host.unanswered(
      writes.flatMap(placesIn),
      writes.some(({ described }) => described.hasUnnamedKeys),
    );
  }

  /** @returns whether the command became part of a transaction, or nothing */
  private noteQueued({ args, described }: Sent, reply: Buffer): boolean {
    if (this.transaction === undefined) return false;
    if (reply.equals(QUEUED)) {
      this.transaction.push({ args, described, database: this.transactionDatabase });
      if (described.kind === 'select') this.transactionDatabase = Number(args[1]?.toString());
    }
    return true;
  }

  private async select(args: readonly Buffer[], described: Described): Promise<void> {
    // Keys of commands behind it are of another database: they must not be taken for those of this one.
    await new Promise<void>((resolve) => {
      this.send(args, (outcome) => {
        if (isBytes(outcome) && !this.noteQueued({ args, described, database: 0 }, outcome) && !isErrorReply(outcome))
          this.database = Number(args[1]?.toString());
        resolve();
      });
    });
  }

  private async exec(args: readonly Buffer[]): Promise<void> {
    const { host } = this;
    // All of the transaction has to be answered before its keys are known.
    if (this.awaited.length > 0) await new Promise<void>((resolve) => (this.whenIdle = resolve));
    this.whenIdle = undefined;
    const queued = this.transaction ?? [];
    this.transaction = undefined;
    const leave =
      host.meaning.secondary === undefined ? () => undefined : await host.gate.enter(gatePlaces(queued), this);
    await new Promise<void>((resolve) => {
      this.send(args, (outcome) => {
        try {
          this.executed(queued, outcome);
        } finally {
          leave();
          resolve();
        }
      });
      // Commands behind it are for the database that it has selected.
      if (!queued.some(({ described }) => described.kind === 'select')) resolve();
    });
  }

  private executed(queued: readonly Sent[], outcome: Outcome): void {
    if (!isBytes(outcome)) {
      if (outcome === 'lost') this.unanswered(queued);
      return;
    }
    const value = decodeReply(outcome);
    if (isOpen(value)) this.unanswered(queued);
    if (!Array.isArray(value)) return;
    const { database } = this;
    const replies = value as readonly ReplyValue[];
    const effects: Effect[] = [];
    for (const [at, { args, described }] of queued.entries()) {
      const reply = replies[at]!;
      if (described.kind === 'select' && !(reply instanceof ServerError)) {
        this.database = Number(args[1]?.toString());
        effects.push({ command: args, expected: undefined });
      } else if (described.kind === 'write') {
        effects.push(...effectsOf(described.name, args, reply, this.host.nowMs()));
      } else if (described.kind === 'unknown' && !(reply instanceof ServerError)) this.host.didUnknown();
    }
    const writes = queued.filter(({ described }) => described.kind === 'write');
    this.host.wrote(
      database,
      effects,
      writes.flatMap(placesIn),
      writes.some(({ described }) => described.hasUnnamedKeys),
    );
  }
}

const QUEUED = Buffer.from('+QUEUED\r\n');
const isBytes = (outcome: Outcome): outcome is Buffer => typeof outcome !== 'string';
/** The server itself does not know what has become of a command. */
const isOpen = (reply: ReplyValue): boolean => reply instanceof ServerError && reply.code === 'UNKNOWN';
const placesIn = ({ described, args, database }: Sent): KeyPlace[] => placesOf(described, args, database);

/** What has to be held while commands are under way; undefined: everything. */
const gatePlaces = (sent: readonly Sent[]): readonly KeyPlace[] | undefined =>
  sent.some(({ described }) => described.hasUnnamedKeys) ? undefined : sent.flatMap(placesIn);
