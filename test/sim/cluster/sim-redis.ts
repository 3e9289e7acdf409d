/**
 * A Redis client on a simulated connection, with the method names of the official client that the workloads are written
 * for: a call of any name is the command of that name. It never retries.
 */
import { type Redis, ReplyError } from 'ioredis';
import type { Cancel, Simulation } from '../../../src/platform/index.ts';
import type { SimConnection } from './sim-connection.ts';

const COMMAND_TIMEOUT_MS = 8000;

type Argument = string | number | Buffer | readonly Argument[] | { readonly [name: string]: string | number };

interface Waiting {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

function flatten(args: readonly Argument[], into: string[] = []): string[] {
  for (const argument of args) {
    if (Array.isArray(argument)) flatten(argument, into);
    else if (Buffer.isBuffer(argument)) into.push(argument.toString('latin1'));
    else if (typeof argument === 'object')
      for (const [name, value] of Object.entries(argument)) into.push(name, String(value));
    else into.push(String(argument));
  }
  return into;
}

function encode(args: readonly string[]): Buffer {
  let text = `*${args.length}\r\n`;
  for (const argument of args) text += `$${argument.length}\r\n${argument}\r\n`;
  return Buffer.from(text, 'latin1');
}

/** Reads RESP2 replies from text that arrives in pieces; errors are values. */
export class ReplyParser {
  private text = '';
  private at = 0;

  push(bytes: Buffer): void {
    this.text = this.text.slice(this.at) + bytes.toString('latin1');
    this.at = 0;
  }

  /** The next whole reply; undefined when it has not all arrived. */
  next(): { readonly reply: unknown } | undefined {
    const start = this.at;
    const found = this.read();
    if (found === undefined) this.at = start;
    return found;
  }

  private read(): { readonly reply: unknown } | undefined {
    const lineEnd = this.text.indexOf('\r\n', this.at);
    if (lineEnd < 0) return undefined;
    const kind = this.text[this.at]!;
    const line = this.text.slice(this.at + 1, lineEnd);
    this.at = lineEnd + 2;
    if (kind === '+') return { reply: line };
    if (kind === '-') return { reply: new ReplyError(line) };
    if (kind === ':') return { reply: Number(line) };
    const length = Number(line);
    if (length < 0) return { reply: null };
    if (kind === '$') {
      if (this.text.length < this.at + length + 2) return undefined;
      const reply = this.text.slice(this.at, this.at + length);
      this.at += length + 2;
      return { reply };
    }
    if (kind !== '*') throw new Error(`a reply of unknown kind ${kind}`);
    const replies: unknown[] = [];
    for (let left = length; left > 0; left--) {
      const item = this.read();
      if (item === undefined) return undefined;
      replies.push(item.reply);
    }
    return { reply: replies };
  }
}

const MESSAGES: ReadonlySet<unknown> = new Set(['message', 'pmessage', 'smessage', 'sunsubscribe']);

const isMessage = (reply: unknown): reply is readonly string[] =>
  Array.isArray(reply) && MESSAGES.has((reply as unknown[])[0]);

/** One open connection with the commands that wait for their replies. */
export class SimRedis {
  isReady = true;
  /** Gets messages of channels that it listens to; one at a time may be named in SUBSCRIBE. */
  onMessage: ((message: readonly string[]) => void) | undefined;
  private readonly simulation: Simulation;
  private readonly parser = new ReplyParser();
  private readonly waiting: Waiting[] = [];
  private connection: SimConnection | undefined;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
  }

  /** Set once, when the connection stands. */
  attach(connection: SimConnection): void {
    this.connection = connection;
  }

  received(bytes: Buffer): void {
    this.parser.push(bytes);
    for (let found = this.parser.next(); found !== undefined; found = this.parser.next()) {
      if (this.onMessage !== undefined && isMessage(found.reply)) {
        this.onMessage(found.reply);
        continue;
      }
      const waiting = this.waiting.shift();
      if (waiting === undefined) throw new Error('a reply that nobody waits for');
      if (found.reply instanceof Error) waiting.reject(found.reply);
      else waiting.resolve(found.reply);
    }
  }

  lost(): void {
    this.fail(new Error('Connection is closed.'));
  }

  disconnect(): void {
    this.connection?.endFromClient();
    this.lost();
  }

  command(args: readonly string[]): Promise<unknown> {
    if (!this.isReady)
      return Promise.reject(new Error("Stream isn't writeable and enableOfflineQueue options is false"));
    return new Promise((resolve, reject) => {
      const cancel: Cancel = this.simulation.schedule(COMMAND_TIMEOUT_MS, 'client timeout', () => {
        this.connection?.endFromClient();
        this.fail(new Error('Command timed out'));
      });
      this.waiting.push({
        resolve: (reply) => {
          cancel();
          resolve(reply);
        },
        reject: (error) => {
          cancel();
          reject(error);
        },
      });
      this.connection!.toServer(encode(args));
    });
  }

  /** MULTI, the commands and EXEC in one go. @returns pairs of error and reply; null when EXEC gave up */
  async transaction(commands: readonly (readonly string[])[]): Promise<[Error | null, unknown][] | null> {
    const sent = [this.command(['multi']), ...commands.map((args) => this.command(args))];
    const executed = this.command(['exec']);
    for (const queued of sent) queued.catch(() => undefined);
    const replies = (await executed) as unknown[] | null;
    return replies?.map((reply) => (reply instanceof Error ? [reply, undefined] : [null, reply])) ?? null;
  }

  private fail(error: Error): void {
    this.isReady = false;
    for (const waiting of this.waiting.splice(0)) waiting.reject(error);
  }
}

/** Names of keys that transactions touch together. */
const SHARED_KEY = /^(account|skew|fork|rw|list)-/;

/** Puts the keys of a workload into one slot, so that they are of one group however ranges are cut. */
const tagged = (args: readonly string[], tag: string | undefined): string[] =>
  args.map((argument) => (tag !== undefined && SHARED_KEY.test(argument) ? `{${tag}}${argument}` : argument));

function chain(client: SimRedis, tag: string | undefined): unknown {
  const commands: string[][] = [];
  const proxy: unknown = new Proxy(
    {},
    {
      get: (_, name) => {
        if (name === 'exec') return () => client.transaction(commands);
        return (...args: Argument[]) => {
          commands.push([String(name), ...tagged(flatten(args), tag)]);
          return proxy;
        };
      },
    },
  );
  return proxy;
}

/** Of connections; a workload may remember something of a client. */
const officials = new WeakMap<SimRedis, Redis>();

/** The client as the workloads see it. @param tag slot that keys which transactions touch together are put into */
export function asOfficialClient(client: SimRedis, tag?: string): Redis {
  let official = officials.get(client);
  if (official === undefined) {
    official = officialOf(client, tag);
    officials.set(client, official);
  }
  return official;
}

function officialOf(client: SimRedis, tag: string | undefined): Redis {
  return new Proxy(
    {},
    {
      get: (_, name) => {
        if (name === 'then') return undefined;
        if (name === 'on')
          return (event: string, listener: (channel: string, message: string) => void): void => {
            if (event === 'message') client.onMessage = ([, channel, message]) => listener(channel!, message!);
          };
        if (name === 'status') return client.isReady ? 'ready' : 'end';
        if (name === 'multi') return () => chain(client, tag);
        if (name === 'call') return (...args: Argument[]) => client.command(flatten(args));
        return (...args: Argument[]) => client.command([String(name), ...tagged(flatten(args), tag)]);
      },
    },
  ) as unknown as Redis;
}
