/** A connection that takes commands without waiting for the answers to those before. */
import type { Socket } from 'node:net';
import { type CommandLine, encodeCommand } from './command-bytes.ts';
import { type LinkSecurity, type LinkTarget, openConnection } from './connection.ts';
import { ReplySplitter } from './reply-splitter.ts';
import { decodeReply, type ReplyValue, ServerError } from './reply-value.ts';

/** The connection ended before the answer came: the command may have taken effect or not. */
export class LinkClosedError extends Error {
  override readonly name = 'LinkClosedError';
}

/** Answered commands that are kept in the list at most. */
const SPENT = 1024;

interface Awaited {
  readonly resolve: (value: ReplyValue) => void;
  readonly reject: (error: Error) => void;
}

export class Link {
  readonly target: LinkTarget;
  private readonly socket: Socket;
  private readonly awaited: Awaited[] = [];
  private head = 0;
  private failure: Error | undefined;
  private unsent: Buffer[] = [];

  private constructor(target: LinkTarget, socket: Socket) {
    this.target = target;
    this.socket = socket;
    const splitter = new ReplySplitter((reply) => this.settle(decodeReply(reply)));
    socket.on('data', (chunk: Buffer) => {
      try {
        splitter.feed(chunk);
      } catch (error) {
        this.fail(error as Error);
      }
    });
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('the server closed the connection')));
  }

  /** @throws the socket's error; Error with the server's words when it refuses the password */
  static async open(target: LinkTarget, security: LinkSecurity): Promise<Link> {
    return new Link(target, await openConnection(target, security));
  }

  get isOpen(): boolean {
    return this.failure === undefined;
  }

  /**
   * Sends a command behind those before; commands of one turn of the event loop are written together.
   * @returns its answer, an error of the server as a value
   * @throws LinkClosedError
   */
  send(command: CommandLine): Promise<ReplyValue> {
    if (this.failure !== undefined) return Promise.reject(this.closed());
    return new Promise((resolve, reject) => {
      this.awaited.push({ resolve, reject });
      if (this.unsent.length === 0) setImmediate(() => this.flush());
      this.unsent.push(encodeCommand(command));
    });
  }

  /** As `send`, but an error of the server is thrown. @throws ServerError, LinkClosedError */
  async call(command: CommandLine): Promise<ReplyValue> {
    const value = await this.send(command);
    if (value instanceof ServerError) throw value;
    return value;
  }

  close(): void {
    this.fail(new Error('it was closed here'));
  }

  private flush(): void {
    const bytes = this.unsent;
    this.unsent = [];
    if (this.failure === undefined) this.socket.write(bytes.length === 1 ? bytes[0]! : Buffer.concat(bytes));
  }

  private settle(value: ReplyValue): void {
    const next = this.awaited[this.head++];
    if (next === undefined) throw new Error('the server answers what was not asked');
    if (this.head === this.awaited.length || this.head === SPENT) {
      this.awaited.splice(0, this.head);
      this.head = 0;
    }
    next.resolve(value);
  }

  private closed(): LinkClosedError {
    const { host, port } = this.target;
    return new LinkClosedError(`the connection to ${host}:${port} ended: ${this.failure!.message}`);
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.socket.destroy();
    for (const { reject } of this.awaited.splice(this.head)) reject(this.closed());
    this.awaited.length = 0;
    this.head = 0;
  }
}
