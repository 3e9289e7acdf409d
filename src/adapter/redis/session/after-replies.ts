/**
 * What is to be done once a reply of one connection is on its way. Each waits for its own reply and not for those of other commands, which may take
 * long.
 */
import type { ReplyRing } from './reply-ring.ts';

interface Due {
  /** Slot of the reply. */
  readonly place: number;
  readonly bytes: number;
  readonly run: () => void;
}

/** See the top of the file. */
export class AfterReplies {
  private readonly ring: Pick<ReplyRing, 'oldest'>;
  private waiting: Due[] = [];
  private waitingBytes = 0;

  /** @param ring with the replies of the connection */
  constructor(ring: Pick<ReplyRing, 'oldest'>) {
    this.ring = ring;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.waitingBytes;
  }

  /** Whether a reply is not written yet. @param place its slot; -1: of none */
  owes(place: number): boolean {
    return place >= this.ring.oldest;
  }

  /**
   * @param place slot of a reply that is not written yet
   * @param bytes that wait with it
   */
  add(place: number, bytes: number, run: () => void): void {
    this.waiting.push({ place, bytes, run });
    this.waitingBytes += bytes;
  }

  /** Replies were written. */
  written(): void {
    const due = this.waiting.filter(({ place }) => !this.owes(place));
    if (due.length === 0) return;
    this.waiting = this.waiting.filter(({ place }) => this.owes(place));
    for (const { bytes, run } of due) {
      this.waitingBytes -= bytes;
      run();
    }
  }
}
