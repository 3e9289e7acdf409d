/**
 * A node that is told what is changed here, on the stream that it has opened. What waits of a turn shares a frame. It answers frames, which says that it
 * keeps up, and asks by probes whether it is told in time. One that does not keep up is told nothing more until it does, and then that everything may have
 * changed.
 */
import type { DuplexStream, Scheduler } from '../../../platform/index.ts';
import { type ChangedKey, type ChangesHeader, changedBytes, decodeAnswer, encodeChanges } from './codec.ts';
import type { GatheredChanges } from './turn-changes.ts';

/** Bytes of frames that were not answered. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
/** A frame takes no further key beyond this. */
const FRAME_BYTES = 256 * 1024;
/** A node that says nothing for so many rounds is taken for dead, one that is told so late gives up what it was told. */
export const SILENT_ROUNDS = 6;

export interface WatcherOptions {
  readonly stream: DuplexStream;
  readonly header: ChangesHeader;
  readonly scheduler: Scheduler;
  /** Whether writers are noted now. */
  readonly notesWriters: () => boolean;
  /** What it wants has changed. */
  readonly onWanting: () => void;
  readonly onGone: (watcher: Watcher) => void;
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. */
export class Watcher {
  private readonly options: WatcherOptions;
  private isWantingWriters: boolean;
  private probe: number;
  /** The probe was not sent back yet. */
  private isProbed = false;
  private number = 0;
  private unanswered: { readonly number: number; readonly bytes: number }[] = [];
  private unansweredBytes = 0;
  private hasMissed = false;
  private silentRounds = 0;
  private isClosed = false;

  constructor(options: WatcherOptions) {
    this.options = options;
    const { stream, header } = options;
    this.isWantingWriters = header.wantsWriters;
    this.probe = header.probe;
    stream.onMessage((bytes) => this.receive(bytes));
    stream.onEnd(() => this.gone());
  }

  get wantsWriters(): boolean {
    return this.isWantingWriters;
  }

  /** What was changed in a turn. */
  tell({ isEverything, keys }: GatheredChanges): void {
    if (this.isClosed) return;
    if (isEverything || keys.length === 0) {
      this.sendIfOpen(isEverything, []);
      return;
    }
    let from = 0;
    let bytes = 0;
    for (const [at, key] of keys.entries()) {
      bytes += changedBytes(key);
      if (bytes < FRAME_BYTES && at + 1 < keys.length) continue;
      this.sendIfOpen(false, keys.slice(from, at + 1));
      from = at + 1;
      bytes = 0;
    }
  }

  /** A round is over. */
  round(): void {
    if (++this.silentRounds >= SILENT_ROUNDS) this.close();
  }

  close(): void {
    this.options.stream.close();
    this.gone();
  }

  /** While the window is full it is told nothing, and later that something was missed. */
  private sendIfOpen(isEverything: boolean, keys: readonly ChangedKey[]): void {
    if (this.unansweredBytes < WINDOW_BYTES) {
      this.send(isEverything, keys);
      return;
    }
    this.isProbed = false;
    this.hasMissed ||= isEverything || keys.length > 0;
  }

  private send(isEverything: boolean, keys: readonly ChangedKey[]): void {
    const { stream, notesWriters } = this.options;
    const { probe } = this;
    const number = ++this.number;
    this.isProbed = false;
    const bytes = encodeChanges({ number, isEverything, notesWriters: notesWriters(), probe, keys });
    this.unanswered.push({ number, bytes: bytes.length });
    this.unansweredBytes += bytes.length;
    stream.send(bytes);
  }

  private receive(bytes: Buffer): void {
    if (this.isClosed) return;
    try {
      const { number, wantsWriters, probe } = decodeAnswer(bytes);
      this.silentRounds = 0;
      this.answered(number);
      this.probed(probe);
      if (wantsWriters === this.isWantingWriters) return;
      this.isWantingWriters = wantsWriters;
      this.options.onWanting();
    } catch (error) {
      this.close();
      this.options.onError(error);
    }
  }

  /** Comes back with what the turn has to tell, or alone; behind all that was told before in either case. */
  private probed(probe: number): void {
    if (probe <= this.probe) return;
    this.probe = probe;
    if (this.isProbed) return;
    this.isProbed = true;
    this.options.scheduler.endOfTurn(() => {
      if (this.isProbed) this.tell({ isEverything: false, keys: [] });
    });
  }

  private answered(number: number): void {
    let count = 0;
    for (const frame of this.unanswered) {
      if (frame.number > number) break;
      this.unansweredBytes -= frame.bytes;
      count++;
    }
    this.unanswered.splice(0, count);
    if (!this.hasMissed || this.unansweredBytes >= WINDOW_BYTES) return;
    this.hasMissed = false;
    this.send(true, []);
  }

  private gone(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.options.onGone(this);
  }
}
