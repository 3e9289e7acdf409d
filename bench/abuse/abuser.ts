/** One client that does what it should not: connections, fills, and commands of any size. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  type Argument,
  encodeCommand,
  errorMessage,
  isErrorReply,
  Link,
  ReplySplitter,
} from '../../cmd/redis/index.ts';

/** What a pipeline came to. */
export interface Tally {
  readonly answers: number;
  readonly errors: number;
  readonly firstError: string | undefined;
}

/** Bytes of commands that are put together before they are written. */
const CHUNK_BYTES = 64 * 1024;

/** Scales the sizes of a run. */
export class Abuser {
  readonly ports: readonly number[];
  /** Of what rows are as large as they are meant to be. */
  private readonly scale: number;
  private readonly open = new Set<{ close(): void }>();

  /** @param ports the first is the one that is abused */
  constructor(ports: readonly number[], scale: number) {
    this.ports = ports;
    this.scale = scale;
  }

  /** A number of things, made smaller for a short run. */
  many(count: number): number {
    return Math.max(1, Math.round(count * this.scale));
  }

  /** One command on a connection of its own. @returns the reply, or the message of an error */
  call(...command: Argument[]): Promise<unknown> {
    return this.send(command);
  }

  /** One command of any number of arguments on a connection of its own. @returns the reply, or the message of an error */
  async send(command: Argument[]): Promise<unknown> {
    const link = await Link.open({ host: '127.0.0.1', port: this.ports[0]! }, {});
    try {
      return await link.call(command);
    } catch (error) {
      return (error as Error).message;
    } finally {
      link.close();
    }
  }

  /** A connection; `closeAll` ends it. */
  async socket(): Promise<Socket> {
    const socket = connect({ port: this.ports[0]!, host: '127.0.0.1', noDelay: true });
    // What the node does to connections of this kind is its business.
    socket.on('error', () => undefined);
    this.open.add({ close: () => socket.destroy() });
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
    return socket;
  }

  closeAll(): void {
    for (const each of this.open) each.close();
    this.open.clear();
  }

  /** Writes commands one behind the other, as fast as they are taken. @param count of `commands` */
  async pipeline(count: number, commandAt: (at: number) => readonly Argument[]): Promise<Tally> {
    const socket = await this.socket();
    let answers = 0;
    let errors = 0;
    let firstError: string | undefined;
    const done = Promise.withResolvers<void>();
    const splitter = new ReplySplitter((reply) => {
      answers++;
      if (isErrorReply(reply)) {
        errors++;
        firstError ??= errorMessage(reply);
      }
      if (answers === count) done.resolve();
    });
    socket.on('data', (chunk) => splitter.feed(chunk));
    socket.on('close', () => done.resolve());
    const closed = new Promise<void>((gone) => socket.on('close', gone));
    let parts: Buffer[] = [];
    let bytes = 0;
    for (let at = 0; at < count && !socket.destroyed; at++) {
      const command = encodeCommand(commandAt(at));
      bytes += command.length;
      parts.push(command);
      if (bytes < CHUNK_BYTES && at < count - 1) continue;
      const isTaken = socket.write(Buffer.concat(parts));
      [parts, bytes] = [[], 0];
      if (!isTaken) await Promise.race([new Promise<void>((taken) => socket.once('drain', taken)), closed]);
    }
    await done.promise;
    socket.destroy();
    return { answers, errors, firstError };
  }
}

/** What the client does, in one line of the table. */
export interface AbuseRow {
  readonly name: string;
  readonly what: string;
  readonly prepare?: (abuser: Abuser) => Promise<unknown>;
  /** Nothing is left of what was written before. */
  readonly emptiesAll?: boolean;
  /** @returns what came of it, in a few words */
  readonly act: (abuser: Abuser) => Promise<string>;
}

/** A tally in words. */
export const tallyText = ({ answers, errors, firstError }: Tally): string =>
  errors === 0 ? `${answers} answers` : `${answers} answers, ${errors} of them errors: ${firstError}`;

/** Up to so many characters of a reply in words. */
const REPLY_CHARACTERS = 60;

/** A reply in a few words. */
export function replyText(reply: unknown): string {
  if (Array.isArray(reply)) return `${reply.length} elements`;
  if (Buffer.isBuffer(reply)) return reply.length > REPLY_CHARACTERS ? `${reply.length} bytes` : reply.toString();
  const text = String(reply);
  return text.length > REPLY_CHARACTERS ? `${text.slice(0, REPLY_CHARACTERS)}..` : text;
}
