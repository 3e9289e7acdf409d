/**
 * The way to one other node: what clients of this node listen to, and the messages that clients there listen to, in order, in one stream that is
 * opened again when it breaks. Whatever waits while two frames are under way shares the next one. The other side answers each frame, which tells
 * three things: what it knows of this node's clients, that it keeps up, and that it lives.
 */
import {
  type Backoff,
  backoffMs,
  type DuplexStream,
  type NodeId,
  type Random,
  type Scheduler,
} from '../../../platform/index.ts';
import { decodeAnswer, encodeFrame, encodeHeader, type Interest, interestBytes, MESSAGE_STREAM } from './codec.ts';
import { SCOPES, type Scope, type Topics } from './topics.ts';

/** A frame takes no further item beyond this. */
const FRAME_BYTES = 256 * 1024;
/** A frame costs both sides more than the messages in it, so no more are under way than keep the lane going, unless they are full. */
const FRAMES_UNDER_WAY = 2;
/** Bytes of frames that were not answered. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Messages that wait for a node. A slow one must not hold publishers up, and memory is finite. */
export const MAX_BACKLOG_BYTES = 32 * 1024 * 1024;
const REOPEN: Backoff = { baseMs: 50, capMs: 1_000, factor: 2, jitter: 'equal' };

/** What all lanes count together. */
export interface LaneCounters {
  /** Messages that were given to another node. */
  sentMessages: number;
  /** Messages that were not, because too many waited for the node or it was taken for dead. */
  droppedMessages: number;
}

export interface LaneOptions {
  readonly peer: NodeId;
  readonly life: number;
  readonly topics: Topics;
  readonly counters: LaneCounters;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly open: (kind: string, header: Buffer) => DuplexStream;
  /** The peer has answered. */
  readonly onAnswer: () => void;
  /** The version of what clients of this node listen to, which rises with every change. */
  readonly version: () => number;
  readonly onError: (error: unknown) => void;
}

interface Frame {
  readonly number: number;
  readonly bytes: number;
  /** Once it is answered the peer knows everything up to this version. */
  readonly version: number;
}

const dirtyKey = (scope: Scope, key: string): string => `${SCOPES.indexOf(scope)}${key}`;

/** See the top of the file. */
export class Lane {
  readonly peer: NodeId;
  private readonly options: LaneOptions;
  private stream: DuplexStream | undefined;
  private ordinal = 0;
  private failures = 0;
  private isReopening = false;
  private isClosed = false;
  private isFlushDue = false;
  /** Topics whose numbers are to be told, with the version since when. Told in this order, so that whoever waits for a version is not overtaken. */
  private dirty = new Map<string, number>();
  /** All was told that was so when the stream was opened. */
  private isComplete = false;
  /** The stream is through: before that, messages would be lost with it although they can wait. */
  private isAnswered = false;
  private nextNumber = 1;
  private unanswered: Frame[] = [];
  private unansweredBytes = 0;
  private queue: Buffer[] = [];
  /** Messages of the queue that were sent. */
  private queueHead = 0;
  private queueBytes = 0;
  private toldVersion = -1;
  private roundsWithoutAnswer = 0;

  constructor(options: LaneOptions) {
    this.options = options;
    this.peer = options.peer;
    this.openStream();
  }

  /** The peer knows what clients of this node listened to at this version; -1 when it knows nothing. */
  get told(): number {
    return this.toldVersion;
  }

  /** Rounds since the peer has answered last. */
  get silentRounds(): number {
    return this.roundsWithoutAnswer;
  }

  /** Bytes of messages that wait. */
  get backlogBytes(): number {
    return this.queueBytes;
  }

  /** How many clients listen to a topic has changed. */
  changed(scope: Scope, key: string, version: number): void {
    const name = dirtyKey(scope, key);
    if (!this.dirty.has(name)) this.dirty.set(name, version);
    this.flushLater();
  }

  /** @param item from `encodeMessage` */
  send(item: Buffer): void {
    if (this.queueBytes > 0 && this.queueBytes + item.length > MAX_BACKLOG_BYTES) {
      this.options.counters.droppedMessages++;
      return;
    }
    this.queue.push(item);
    this.queueBytes += item.length;
    this.flushLater();
  }

  /** Has the peer say that it lives; once a round. */
  ask(): void {
    this.roundsWithoutAnswer++;
    if (this.stream !== undefined && this.unanswered.length === 0) this.sendFrame();
  }

  /** The peer can be reached now. */
  openNow(): void {
    if (!this.isClosed && this.stream === undefined) this.openStream();
  }

  /** What waits is for nobody: the peer is taken for dead, or is another process than before. */
  dropBacklog(): void {
    this.options.counters.droppedMessages += this.queue.length - this.queueHead;
    this.queue = [];
    this.queueHead = 0;
    this.queueBytes = 0;
  }

  /** The peer is taken for dead: when it is there again it is told everything anew. */
  restart(): void {
    this.dropBacklog();
    const { stream } = this;
    this.lost();
    stream?.close();
  }

  close(): void {
    this.isClosed = true;
    this.dropBacklog();
    this.stream?.close();
    this.stream = undefined;
  }

  private openStream(): void {
    const { open, life, topics, onAnswer, onError } = this.options;
    const stream = open(MESSAGE_STREAM, encodeHeader({ life, ordinal: ++this.ordinal }));
    this.stream = stream;
    this.isComplete = false;
    this.isAnswered = false;
    this.dirty = new Map();
    for (const [scope, key] of topics.local()) this.dirty.set(dirtyKey(scope, key), 0);
    stream.onMessage((bytes) => {
      if (this.stream !== stream) return;
      try {
        this.answered(decodeAnswer(bytes));
      } catch (error) {
        onError(error);
        this.lost();
        stream.close();
        return;
      }
      onAnswer();
    });
    stream.onEnd(() => {
      if (this.stream === stream) this.lost();
    });
    this.flushLater();
  }

  /** What was sent and not answered has arrived or not; it is never sent again. */
  private lost(): void {
    this.stream = undefined;
    this.unanswered = [];
    this.unansweredBytes = 0;
    this.toldVersion = -1;
    if (this.isReopening || this.isClosed) return;
    this.isReopening = true;
    const { scheduler, random } = this.options;
    scheduler.after(backoffMs(REOPEN, this.failures++, random), () => {
      this.isReopening = false;
      this.openNow();
    });
  }

  private answered(number: number): void {
    this.failures = 0;
    this.isAnswered = true;
    this.roundsWithoutAnswer = 0;
    let count = 0;
    for (const frame of this.unanswered) {
      if (frame.number > number) break;
      this.unansweredBytes -= frame.bytes;
      this.toldVersion = frame.version;
      count++;
    }
    this.unanswered.splice(0, count);
    this.flush();
  }

  private flushLater(): void {
    if (this.isFlushDue) return;
    this.isFlushDue = true;
    this.options.scheduler.endOfTurn(() => {
      this.isFlushDue = false;
      this.flush();
    });
  }

  private flush(): void {
    while (this.stream !== undefined && this.maySend() && this.hasMore()) this.sendFrame();
  }

  private maySend(): boolean {
    if (this.unansweredBytes >= WINDOW_BYTES) return false;
    return this.unanswered.length < FRAMES_UNDER_WAY || this.queueBytes >= FRAME_BYTES || !this.isComplete;
  }

  private hasMore(): boolean {
    return !this.isComplete || this.dirty.size > 0 || (this.isAnswered && this.queueHead < this.queue.length);
  }

  private sendFrame(): void {
    const number = this.nextNumber++;
    const interests = this.takeInterests();
    const isWhole = this.dirty.size === 0;
    if (isWhole) this.isComplete = true;
    // Behind this version something may not be told yet.
    const version = isWhole ? this.options.version() : this.oldestDirty() - 1;
    const messages = this.isAnswered ? this.takeMessages() : [];
    const bytes = encodeFrame({ number, isComplete: this.isComplete, interests, messages });
    this.unanswered.push({ number, bytes: bytes.length, version });
    this.unansweredBytes += bytes.length;
    this.options.counters.sentMessages += messages.length;
    this.stream!.send(bytes);
  }

  private oldestDirty(): number {
    for (const version of this.dirty.values()) return version;
    return this.options.version();
  }

  private takeInterests(): Interest[] {
    const interests: Interest[] = [];
    let bytes = 0;
    for (const name of this.dirty.keys()) {
      if (bytes > FRAME_BYTES) break;
      const scope = SCOPES[Number(name[0])]!;
      const key = name.slice(1);
      bytes += interestBytes(key);
      interests.push({ scope, key, clients: this.options.topics.localCount(scope, key) });
      this.dirty.delete(name);
    }
    return interests;
  }

  private takeMessages(): Buffer[] {
    const messages: Buffer[] = [];
    let bytes = 0;
    while (this.queueHead < this.queue.length && bytes < FRAME_BYTES) {
      const item = this.queue[this.queueHead++]!;
      bytes += item.length;
      messages.push(item);
    }
    this.queueBytes -= bytes;
    if (this.queueHead === this.queue.length) {
      this.queue = [];
      this.queueHead = 0;
    } else if (this.queueHead > 1024 && this.queueHead * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.queueHead);
      this.queueHead = 0;
    }
    return messages;
  }
}
