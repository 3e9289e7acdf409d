/**
 * A replica, as far as a Redis can tell: it is sent a copy of all data, and then each write as a command. What was carried out is told by its
 * offset, so that a connection that ended goes on with the next command.
 *
 *   PING, AUTH, REPLCONF listening-port, REPLCONF capa eof capa psync2, PSYNC <id> <offset>
 *   +FULLRESYNC <id> <offset>  then  $<bytes>\r\n<file>  or  $EOF:<40 bytes>\r\n<file><the same 40 bytes>   then commands
 *   +CONTINUE [<id>]                                                                                       then commands
 */
import type { Socket } from 'node:net';
import {
  decodeReply,
  encodeCommand,
  type LinkSecurity,
  type LinkTarget,
  openConnection,
  ReplySplitter,
} from '../redis/index.ts';
import { ByteSource, SourceEndedError } from './byte-source.ts';

/** How a replica says that it lives, and how far it has come. */
const ACK_EVERY_MS = 1_000;
const MARK_BYTES = 40;
const CHUNK_BYTES = 256 * 1024;

/** Where in the history of a Redis somebody is. */
export interface ReplicationPlace {
  /** Which history. */
  readonly id: string;
  /** Bytes of commands that were carried out. */
  readonly offset: number;
}

/** A command of the source. */
export interface SourceCommand {
  readonly args: readonly Buffer[];
  /** Of the byte behind it. */
  readonly offset: number;
}

export class Replica {
  private readonly socket: Socket;
  private readonly bytes: ByteSource;
  private acknowledged: number | undefined;
  private timer: NodeJS.Timeout | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.bytes = new ByteSource(socket);
    // Whoever reads hears of it.
    socket.on('error', () => undefined);
  }

  /** @throws the socket's error; Error with the server's words when it refuses the password */
  static async open(target: LinkTarget, security: LinkSecurity): Promise<Replica> {
    return new Replica(await openConnection(target, security));
  }

  /**
   * Asks for what comes behind a place, or for everything.
   * @returns whether a copy of everything comes first, and where its commands begin
   * @throws Error with the server's words when it serves no replicas
   */
  async begin(
    place: ReplicationPlace | undefined,
  ): Promise<{ readonly isFull: boolean; readonly place: ReplicationPlace }> {
    await this.ask(['PING']);
    await this.ask(['REPLCONF', 'listening-port', 0]);
    await this.ask(['REPLCONF', 'capa', 'eof', 'capa', 'psync2']);
    const answer = await this.ask(place === undefined ? ['PSYNC', '?', -1] : ['PSYNC', place.id, place.offset + 1]);
    const [word, id, offset] = answer.split(' ');
    if (word === 'FULLRESYNC' && id !== undefined) {
      this.keepAlive();
      return { isFull: true, place: { id, offset: Number(offset) } };
    }
    if (word !== 'CONTINUE' || place === undefined) throw new Error(`the source answers PSYNC with ${answer}`);
    this.keepAlive();
    return { isFull: false, place: { id: id ?? place.id, offset: place.offset } };
  }

  /** The copy of everything, which `begin` has announced. @throws SourceEndedError */
  async *file(): AsyncGenerator<Buffer> {
    let head = await this.bytes.line();
    // Empty lines keep the connection alive while the copy is made.
    while (head === '') head = await this.bytes.line();
    if (!head.startsWith('$')) throw new SourceEndedError(`the source sends ${head} instead of its data`);
    if (head.startsWith('$EOF:')) yield* this.upToMark(Buffer.from(head.slice('$EOF:'.length), 'latin1'));
    else yield* this.sized(Number(head.slice(1)));
  }

  /** Commands up to here were carried out: the source hears of it with the next sign of life. */
  acknowledge(offset: number): void {
    this.acknowledged = offset;
  }

  /** Commands as they come, in order; those without an effect too. @param offset where they begin @throws SourceEndedError */
  async *commands(offset: number): AsyncGenerator<readonly SourceCommand[]> {
    let at = offset;
    const found: SourceCommand[] = [];
    const splitter = new ReplySplitter((raw) => {
      at += raw.length;
      const args = decodeReply(raw);
      if (!Array.isArray(args)) throw new SourceEndedError('the source sends something else than commands');
      found.push({ args: args as Buffer[], offset: at });
    });
    for (;;) {
      splitter.feed(await this.bytes.some(CHUNK_BYTES));
      if (found.length > 0) yield found.splice(0);
    }
  }

  close(): void {
    clearInterval(this.timer);
    this.socket.destroy();
  }

  private async *sized(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      const chunk = await this.bytes.some(Math.min(left, CHUNK_BYTES));
      left -= chunk.length;
      yield chunk;
    }
  }

  /** Nothing follows the mark before the source has heard of this replica again. */
  private async *upToMark(mark: Buffer): AsyncGenerator<Buffer> {
    if (mark.length !== MARK_BYTES) throw new SourceEndedError('the source marks no end of its data');
    let tail: Buffer = Buffer.alloc(0);
    for (;;) {
      const bytes = Buffer.concat([tail, await this.bytes.some(CHUNK_BYTES)]);
      if (bytes.length >= MARK_BYTES && bytes.subarray(bytes.length - MARK_BYTES).equals(mark)) {
        yield bytes.subarray(0, bytes.length - MARK_BYTES);
        return;
      }
      const kept = Math.min(bytes.length, MARK_BYTES);
      yield bytes.subarray(0, bytes.length - kept);
      tail = bytes.subarray(bytes.length - kept);
    }
  }

  private async ask(command: readonly (string | number)[]): Promise<string> {
    this.socket.write(encodeCommand(command));
    let line = await this.bytes.line();
    while (line === '') line = await this.bytes.line();
    if (line.startsWith('-')) throw new Error(`the source refuses ${command.slice(0, 2).join(' ')}: ${line.slice(1)}`);
    return line.slice(1);
  }

  private keepAlive(): void {
    this.timer = setInterval(() => this.beat(), ACK_EVERY_MS);
  }

  private beat(): void {
    if (this.socket.destroyed) return;
    this.socket.write(this.acknowledged === undefined ? '\n' : encodeCommand(['REPLCONF', 'ACK', this.acknowledged]));
  }
}
