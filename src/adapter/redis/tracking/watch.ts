/**
 * The stream on which one other node tells what is changed there. It is opened again when it breaks. Each round sends a probe, which comes back behind what
 * was told before: so it is known how late this node is told. Whenever it may be that something was not told, because the stream is new, has broken, or
 * is too late, everything that was read before is given up.
 */
import {
  type Backoff,
  backoffMs,
  type DuplexStream,
  type NodeId,
  type Random,
  type Scheduler,
} from '../../../platform/index.ts';
import { CHANGE_STREAM, type ChangesFrame, decodeChanges, encodeAnswer, encodeHeader } from './codec.ts';
import { SILENT_ROUNDS } from './watcher.ts';

const REOPEN: Backoff = { baseMs: 50, capMs: 1_000, factor: 2, jitter: 'equal' };

export interface WatchOptions {
  readonly peer: NodeId;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly open: (kind: string, header: Buffer) => DuplexStream;
  /** Whether some client of this node does not want to hear of its own changes. */
  readonly wantsWriters: () => boolean;
  readonly onChanges: (changes: ChangesFrame) => void;
  /** Something may not have been told. */
  readonly onGap: () => void;
  /** It tells, does not, or notes writers. */
  readonly onStanding: () => void;
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. */
export class Watch {
  private readonly options: WatchOptions;
  private stream: DuplexStream | undefined;
  private failures = 0;
  private isReopening = false;
  private isClosed = false;
  /** The stream has told something: from then on all is told. */
  private isTelling = false;
  private hasNotedWriters = false;
  /** Rounds since the start, and the last one whose probe has come back. */
  private probe = 0;
  private heardProbe = 0;
  private lastNumber = 0;
  private isAnswerDue = false;

  constructor(options: WatchOptions) {
    this.options = options;
    this.openStream();
  }

  /** Whoever begins to keep keys waits until it tells, and notes writers if it has to. */
  get isReady(): boolean {
    return this.isTelling && (this.hasNotedWriters || !this.options.wantsWriters());
  }

  /** It is not waited for when it is silent. */
  get isAlive(): boolean {
    return this.probe - this.heardProbe < SILENT_ROUNDS;
  }

  /** A round is over. */
  round(): void {
    this.probe++;
    const { stream } = this;
    if (stream !== undefined && this.isTelling) this.answerSoon(stream);
    if ((this.probe - this.heardProbe) % SILENT_ROUNDS !== 0) return;
    this.lost();
    stream?.close();
    this.options.onStanding();
  }

  /** What this node wants has changed. */
  wantsChanged(): void {
    if (this.stream !== undefined) this.answerSoon(this.stream);
  }

  close(): void {
    this.isClosed = true;
    this.stream?.close();
    this.stream = undefined;
  }

  private openStream(): void {
    const { open, wantsWriters, onError } = this.options;
    const stream = open(CHANGE_STREAM, encodeHeader({ wantsWriters: wantsWriters(), probe: this.probe }));
    this.stream = stream;
    this.lastNumber = 0;
    stream.onMessage((bytes) => {
      if (this.stream !== stream) return;
      let changes: ChangesFrame;
      try {
        changes = decodeChanges(bytes);
      } catch (error) {
        this.lost();
        stream.close();
        onError(error);
        return;
      }
      this.receive(stream, changes);
    });
    stream.onEnd(() => {
      if (this.stream === stream) this.lost();
    });
  }

  private receive(stream: DuplexStream, changes: ChangesFrame): void {
    this.heardProbe = changes.probe;
    this.failures = 0;
    this.lastNumber = changes.number;
    const wasReady = this.isReady;
    this.hasNotedWriters = changes.notesWriters;
    if (!this.isTelling) {
      this.isTelling = true;
      // What was read before nobody has told of.
      this.options.onGap();
    }
    this.options.onChanges(changes);
    this.answerSoon(stream);
    if (this.isReady !== wasReady) this.options.onStanding();
  }

  /** The frames of a turn share an answer. */
  private answerSoon(stream: DuplexStream): void {
    if (this.isAnswerDue) return;
    this.isAnswerDue = true;
    this.options.scheduler.endOfTurn(() => {
      this.isAnswerDue = false;
      if (this.stream !== stream) return;
      const wantsWriters = this.options.wantsWriters();
      stream.send(encodeAnswer({ number: this.lastNumber, wantsWriters, probe: this.probe }));
    });
  }

  private lost(): void {
    const { scheduler, random, onGap } = this.options;
    const { isTelling } = this;
    this.stream = undefined;
    this.isTelling = false;
    this.hasNotedWriters = false;
    if (isTelling) onGap();
    if (this.isReopening || this.isClosed) return;
    this.isReopening = true;
    scheduler.after(backoffMs(REOPEN, this.failures++, random), () => {
      this.isReopening = false;
      if (!this.isClosed && this.stream === undefined) this.openStream();
    });
  }
}
