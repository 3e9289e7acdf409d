/** One other node: the lane to it, the stream that it sends on, and whether it counts as alive. */
import type { DuplexStream, Scheduler } from '../../../platform/index.ts';
import { decodeFrame, encodeAnswer, type Interest, type MessageFrame, type StreamHeader } from './codec.ts';
import type { Lane } from './lane.ts';
import type { Topics } from './topics.ts';

/** A node that says nothing for so many rounds is taken for dead. Rounds count and not time: a node that stood still itself has heard nobody. */
const SILENT_ROUNDS = 6;

export interface PeerOptions {
  readonly lane: Lane;
  readonly topics: Topics;
  readonly scheduler: Scheduler;
  readonly onMessages: (frame: MessageFrame) => void;
  /** It counts as alive or does not, or has told what its clients listen to. */
  readonly onStanding: () => void;
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. */
export class Peer {
  readonly lane: Lane;
  private readonly options: PeerOptions;
  private incoming: { readonly stream: DuplexStream; readonly header: StreamHeader } | undefined;
  private life: number | undefined;
  /** What it has told on the present stream, until that is all. */
  private fresh: Map<string, Interest> | undefined;
  private hasTold = false;
  private silentRounds = 0;
  private isDead = false;
  private lastNumber = 0;
  private isAnswerDue = false;

  constructor(options: PeerOptions) {
    this.options = options;
    this.lane = options.lane;
  }

  /** Whoever begins to listen waits until it knows. One that cannot be reached is not waited for, although it may be heard. */
  get isAlive(): boolean {
    return !this.isDead && this.lane.silentRounds < SILENT_ROUNDS;
  }

  /** Nobody has to wait for it: it has told what its clients listen to, or counts as dead. */
  get isKnown(): boolean {
    return this.hasTold || this.isDead;
  }

  /** It sends on a stream. */
  get isConnected(): boolean {
    return this.incoming !== undefined;
  }

  /** It has said something. */
  heard(): void {
    this.silentRounds = 0;
    if (!this.isDead) return;
    this.isDead = false;
    this.options.onStanding();
  }

  /** A round is over. */
  round(): void {
    if (!this.isDead && ++this.silentRounds >= SILENT_ROUNDS) this.die();
    this.lane.ask();
  }

  /** It has opened a stream. */
  accept(stream: DuplexStream, header: StreamHeader): void {
    const { incoming } = this;
    // One that comes late was opened before one that is here.
    if (incoming?.header.life === header.life && incoming.header.ordinal > header.ordinal) {
      stream.onEnd(() => undefined);
      stream.close();
      return;
    }
    incoming?.stream.close();
    if (this.life !== undefined && this.life !== header.life) this.forget();
    this.life = header.life;
    this.incoming = { stream, header };
    this.fresh = new Map();
    stream.onMessage((bytes) => {
      if (this.incoming?.stream === stream) this.receive(stream, bytes);
    });
    stream.onEnd(() => {
      if (this.incoming?.stream === stream) this.incoming = undefined;
    });
    this.heard();
    this.lane.openNow();
  }

  close(): void {
    this.incoming?.stream.close();
    this.incoming = undefined;
    this.forget();
    this.lane.close();
  }

  private receive(stream: DuplexStream, bytes: Buffer): void {
    let frame: MessageFrame;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      this.incoming = undefined;
      stream.close();
      this.options.onError(error);
      return;
    }
    this.heard();
    this.learn(frame);
    this.options.onMessages(frame);
    this.answer(stream, frame.number);
  }

  private learn({ interests, isComplete }: MessageFrame): void {
    const { topics, onStanding } = this.options;
    const { peer } = this.lane;
    if (this.fresh === undefined) {
      for (const { scope, key, clients } of interests) topics.tell(peer, scope, key, clients);
      return;
    }
    for (const interest of interests) this.fresh.set(`${interest.scope} ${interest.key}`, interest);
    if (!isComplete) return;
    topics.forget(peer);
    for (const { scope, key, clients } of this.fresh.values()) topics.tell(peer, scope, key, clients);
    this.fresh = undefined;
    this.hasTold = true;
    onStanding();
  }

  /** The frames of a turn share an answer. */
  private answer(stream: DuplexStream, number: number): void {
    this.lastNumber = number;
    if (this.isAnswerDue) return;
    this.isAnswerDue = true;
    this.options.scheduler.endOfTurn(() => {
      this.isAnswerDue = false;
      if (this.incoming?.stream === stream) stream.send(encodeAnswer(this.lastNumber));
    });
  }

  /** It is another process than before: what clients of that one listened to is over. */
  private forget(): void {
    this.options.topics.forget(this.lane.peer);
    this.hasTold = false;
    this.lane.dropBacklog();
  }

  private die(): void {
    this.isDead = true;
    const { incoming } = this;
    // When it is there again it opens another stream, and tells everything anew.
    this.incoming = undefined;
    incoming?.stream.close();
    this.forget();
    this.lane.restart();
    this.options.onStanding();
  }
}
