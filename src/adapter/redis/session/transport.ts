/**
 * The two directions of one client's stream. In: bytes become commands, which are taken one by one; the stream is read only while
 * somebody takes them, so a client that sends too much is held back by TCP. Out: replies that are ready leave in one go, and between them
 * messages that are no replies (`push-queue.ts`); a client that leaves too many of those unread is cut off.
 */
import type { Millis } from '../../../platform/index.ts';
import { type ClientStream, type EncodedReply, RespParser, writeSegments } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';
import type { AfterReplies } from './after-replies.ts';
import { PushLimit } from './push-limit.ts';
import { PushQueue } from './push-queue.ts';
import type { ReplyRing } from './reply-ring.ts';

/** Who takes commands from a transport. */
export interface TransportOwner {
  /** True when the client may send long arguments. */
  readonly isTrusted: boolean;
  readonly afterReplies: AfterReplies;
  /** Something has come in, or the client has taken what was written. */
  transportReady(): void;
  /** There is something to write. */
  scheduleFlush(): void;
  /** The stream is gone, or has to go. */
  destroy(): void;
}

export class Transport {
  private readonly server: ServerState;
  private readonly stream: ClientStream;
  private readonly owner: TransportOwner;
  private readonly parser: RespParser;
  private readonly pushes = new PushQueue();
  private readonly pushLimit = new PushLimit();
  /** When bytes last came in or went out, monotonic. */
  lastActiveMs: Millis;
  /** The client has sent its last byte; what it sent is still answered. */
  inputEnded = false;
  /** Nothing more is taken in; ended when the replies so far are written. */
  isClosing = false;
  isClosed = false;
  /** Nobody takes commands now. */
  isReadingPaused = false;

  constructor(server: ServerState, stream: ClientStream, owner: TransportOwner) {
    this.server = server;
    this.stream = stream;
    this.owner = owner;
    this.lastActiveMs = server.clock.monotonicMs();
    const { config } = server;
    this.parser = new RespParser({
      lineBytes: config.maxInlineBytes,
      bulkBytes: config.maxBulkBytes,
      argumentCount: config.maxArguments,
      commandBytes: config.maxCommandBytes,
      isTrusted: () => owner.isTrusted,
    });
    stream.on('data', (chunk) => this.received(chunk));
    stream.on('drain', () => {
      if (this.pushes.length > 0) owner.scheduleFlush();
      owner.transportReady();
    });
    stream.on('end', () => {
      this.inputEnded = true;
      owner.transportReady();
    });
    stream.on('error', () => owner.destroy());
    stream.on('close', () => owner.destroy());
  }

  /** Bytes received that are not part of a command that was taken. */
  get bufferedBytes(): number {
    return this.parser.bufferedBytes;
  }

  /** Bytes of the arguments of the command that was taken last. */
  get lastCommandBytes(): number {
    return this.parser.lastCommandBytes;
  }

  /** Bytes written that the client has not taken. */
  get unreadBytes(): number {
    return this.stream.writableLength;
  }

  private received(chunk: Buffer): void {
    if (this.isClosing) return;
    this.lastActiveMs = this.server.clock.monotonicMs();
    this.server.stats.inputBytes += chunk.length;
    this.server.stats.reads++;
    this.parser.push(chunk);
    this.owner.transportReady();
  }

  /** The next command's arguments; undefined until more bytes come. @throws ProtocolError */
  take(): Buffer[] | undefined {
    return this.parser.next();
  }

  /**
   * What the command lies in that was taken last, as it was sent; undefined when it has come in parts, or is another.
   * @param args of the command
   */
  chunkOf(args: readonly Buffer[]): Buffer | undefined {
    return this.parser.chunkOf(args);
  }

  /** Where in that chunk it begins. */
  get commandAt(): number {
    return this.parser.lastAt;
  }

  /** Reads from the stream, or leaves what comes to TCP. */
  setReading(isReading: boolean): void {
    if (this.isReadingPaused !== isReading) return;
    this.isReadingPaused = !isReading;
    if (isReading) this.stream.resume();
    else this.stream.pause();
  }

  /**
   * Takes a message that is no reply; it leaves with the next flush that can send it.
   * @param after slot of the reply that goes first; -1 for none
   */
  push(message: EncodedReply, after: number): void {
    this.pushes.add(message, after);
  }

  /** False when messages wait, and the client has left too much unread or much for too long. */
  get keepsUp(): boolean {
    const { afterReplies } = this.owner;
    if (this.pushes.length === 0 && afterReplies.bytes === 0) return this.pushLimit.isKept(0, 0);
    const { config, clock } = this.server;
    this.pushLimit.limit = config.outputLimits.pubsub;
    return this.pushLimit.isKept(this.pushes.bytes + afterReplies.bytes + this.unreadBytes, clock.monotonicMs());
  }

  /**
   * Writes in one go the replies that are ready, and the messages whose place has come.
   * @param holdsReplies no reply may be written yet
   */
  write(ring: ReplyRing, holdsReplies: boolean): void {
    const { writer, stats, clock, config } = this.server;
    const hasReplies = ring.hasWritable && !holdsReplies;
    // Messages go to a client that takes them; what it does not take is counted in the queue, which is bounded. No command begins meanwhile, so no reply
    // can come before a message that it must not overtake.
    const hasPushes = this.pushes.length > 0 && this.stream.writableLength < config.maxUnreadReplyBytes;
    if (!hasReplies && !hasPushes) return;
    const nowMs = clock.monotonicMs();
    if (hasPushes) this.pushes.writeBetween(ring, hasReplies, writer, nowMs);
    if (hasReplies) ring.writeTo(writer, nowMs);
    stats.outputBytes += writer.pendingBytes;
    stats.writes++;
    writeSegments(this.stream, writer.take());
    this.lastActiveMs = nowMs;
    this.owner.afterReplies.written();
  }

  /** Sends what was written, then closes. What still comes in is read and not looked at, so that the client's end is heard. */
  end(): void {
    this.stream.end();
    this.stream.resume();
  }

  destroy(): void {
    this.isClosed = true;
    this.isClosing = true;
    this.stream.destroy();
  }
}
