/** A client that keeps replies as they came: a tree of elements, each with its bytes. */
import { connect, type Socket } from 'node:net';

/** One reply, or one element of an aggregate. Text is latin1: one character a byte. */
export interface RawReply {
  /** The marker byte: `+`, `-`, `:`, `$`, `*`, `_`, `%`, ... */
  readonly kind: string;
  /** All bytes, marker and line ends included. */
  readonly raw: string;
  /** Contents of a scalar; undefined for a null and for aggregates. */
  readonly text: string | undefined;
  /** Elements of an aggregate; a map's keys and values alternate. */
  readonly items: readonly RawReply[] | undefined;
}

/** A command: its name and arguments, latin1. */
export type CommandLine = readonly string[];

const AGGREGATES = '*%~>|';
/** Long: on a busy machine a server gets no turn for seconds. */
const REPLY_DEADLINE_MS = 30_000;

export class RespConnection {
  private readonly socket: Socket;
  private received = Buffer.alloc(0);
  private failure: Error | undefined;
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      this.wake();
    });
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('the server closed the connection')));
  }

  static open(host: string, port: number): Promise<RespConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RespConnection(socket));
      });
    });
  }

  /** Sends commands in one pipeline. @returns one reply a command */
  call(commands: readonly CommandLine[]): Promise<RawReply[]> {
    let left = commands.length;
    return this.callUpTo(commands, () => --left === 0);
  }

  /** Sends commands in one pipeline. @returns what comes, up to the reply that is the last one */
  async callUpTo(commands: readonly CommandLine[], isLast: (reply: RawReply) => boolean): Promise<RawReply[]> {
    this.socket.write(Buffer.concat(commands.map(encoded)));
    const replies: RawReply[] = [];
    while (replies.length === 0 ? commands.length > 0 : !isLast(replies.at(-1)!)) {
      replies.push(await this.next(commands[replies.length]));
    }
    return replies;
  }

  /** The next reply, or message that is none. @param command that it answers, for the error when it does not come */
  async next(command?: CommandLine): Promise<RawReply> {
    const deadlineMs = Date.now() + REPLY_DEADLINE_MS;
    for (;;) {
      const parsed = parseReply(this.received, 0);
      if (parsed !== undefined) {
        this.received = this.received.subarray(parsed.end);
        return parsed.reply;
      }
      if (this.failure !== undefined) throw this.failure;
      const remainingMs = deadlineMs - Date.now();
      if (remainingMs <= 0) throw new Error(`port ${this.socket.remotePort}: no reply to ${JSON.stringify(command)}`);
      await this.moreBytes(remainingMs);
    }
  }

  /** Closes it so that the system keeps nothing of it: thousands a minute would use up its ports. */
  abort(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }

  private moreBytes(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Sends commands in one pipeline over a connection of their own. @returns one reply a command */
export async function callAll(
  { host, port }: { readonly host: string; readonly port: number },
  commands: readonly CommandLine[],
): Promise<RawReply[]> {
  const connection = await RespConnection.open(host, port);
  try {
    return await connection.call(commands);
  } finally {
    connection.close();
  }
}

function encoded(command: CommandLine): Buffer {
  const parts = command.map((argument) => `$${argument.length}\r\n${argument}\r\n`);
  return Buffer.from(`*${command.length}\r\n${parts.join('')}`, 'latin1');
}

interface Parsed {
  readonly reply: RawReply;
  /** Offset behind the reply. */
  readonly end: number;
}

/** The reply that starts at `from`; undefined when it is not all there. */
function parseReply(bytes: Buffer, from: number): Parsed | undefined {
  const lineEnd = bytes.indexOf('\r\n', from);
  if (lineEnd < 0) return undefined;
  const kind = String.fromCharCode(bytes[from]!);
  const line = bytes.toString('latin1', from + 1, lineEnd);
  let end = lineEnd + 2;
  let text: string | undefined = line;
  let items: RawReply[] | undefined;
  if (kind === '$' || kind === '=') {
    text = undefined;
    if (line !== '-1') {
      const start = end;
      end = start + Number(line) + 2;
      if (bytes.length < end) return undefined;
      text = bytes.toString('latin1', start, end - 2);
    }
  } else if (AGGREGATES.includes(kind)) {
    text = undefined;
    if (line !== '-1') {
      items = [];
      const count = Number(line) * (kind === '%' || kind === '|' ? 2 : 1);
      for (let index = 0; index < count; index++) {
        const item = parseReply(bytes, end);
        if (item === undefined) return undefined;
        items.push(item.reply);
        end = item.end;
      }
    }
  } else if (kind === '_') {
    text = undefined;
  }
  return { reply: { kind, raw: bytes.toString('latin1', from, end), text, items }, end };
}
