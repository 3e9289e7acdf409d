/**
 * One lane's way out on one connection: a bounded queue, batched into messages, with so many bytes handed to the call at
 * a time as its flow control takes. Bytes count as queued until the call was given them, and as in flight until the call
 * says that they left; in flight without progress is how a stalled peer shows.
 */
import type { Millis } from '../../platform/index.ts';
import { BATCH_BYTES, batchedBytes, encodeBatch, encodePiece } from './peer-protocol.ts';

/** The part of a gRPC call that a lane needs, or a connection of its own. */
export interface LaneCall {
  /** Bytes that a message has in front, which `write` fills; left out: none. */
  readonly room?: number;
  write(batch: Buffer, written: () => void): unknown;
}

/** Handed to the call and not yet on its way: enough to keep the connection busy, little enough to notice a stall. */
const MAX_IN_FLIGHT_BYTES = 2 * BATCH_BYTES;

export class SendLane {
  private readonly maxQueueBytes: number;
  private readonly nowMs: () => Millis;
  private queue: Buffer[] = [];
  private queueBytes = 0;
  /** Bytes of the first frame that are on their way already, as pieces. */
  private sentOfFirst = 0;
  private unsentBytes = 0;
  private progressMs: Millis = 0;
  private call: LaneCall | undefined;

  constructor(maxQueueBytes: number, nowMs: () => Millis) {
    this.maxQueueBytes = maxQueueBytes;
    this.nowMs = nowMs;
  }

  get queuedBytes(): number {
    return this.queueBytes;
  }

  /** Bytes that the call was given and that have not left. */
  get inFlightBytes(): number {
    return this.unsentBytes;
  }

  get isEmpty(): boolean {
    return this.queue.length === 0;
  }

  /** True when the call has taken bytes and not moved for `limitMs`. */
  isStalled(limitMs: Millis): boolean {
    return this.unsentBytes > 0 && this.nowMs() - this.progressMs > limitMs;
  }

  /** @returns false when the queue is full */
  push(frame: Buffer): boolean {
    const bytes = batchedBytes(frame);
    if (this.queueBytes > 0 && this.queueBytes + bytes > this.maxQueueBytes) return false;
    this.queue.push(frame);
    this.queueBytes += bytes;
    return true;
  }

  attach(call: LaneCall): void {
    this.call = call;
    this.flush();
  }

  /** The connection is gone: what was queued or in flight is lost. */
  detach(): void {
    this.call = undefined;
    this.queue = [];
    this.queueBytes = 0;
    this.sentOfFirst = 0;
    this.unsentBytes = 0;
  }

  /** Hands over as much as the call takes. */
  flush(): void {
    while (this.call !== undefined && this.queue.length > 0 && this.unsentBytes < MAX_IN_FLIGHT_BYTES) {
      if (this.queue[0]!.length > BATCH_BYTES) {
        this.handPiece(this.call);
        continue;
      }
      let count = 0;
      let bytes = 0;
      while (count < this.queue.length && (count === 0 || bytes + batchedBytes(this.queue[count]!) <= BATCH_BYTES)) {
        bytes += batchedBytes(this.queue[count]!);
        count += 1;
      }
      const frames = count === this.queue.length ? this.queue : this.queue.slice(0, count);
      this.queue = count === this.queue.length ? [] : this.queue.slice(count);
      this.queueBytes -= bytes;
      this.hand(this.call, encodeBatch(frames, bytes, this.call.room ?? 0));
    }
  }

  private handPiece(call: LaneCall): void {
    const frame = this.queue[0]!;
    const piece = encodePiece(frame, this.sentOfFirst, call.room ?? 0);
    const bytes = Math.min(BATCH_BYTES, frame.length - this.sentOfFirst);
    this.sentOfFirst += bytes;
    this.queueBytes -= bytes;
    if (this.sentOfFirst === frame.length) {
      this.queueBytes -= batchedBytes(frame) - frame.length;
      this.sentOfFirst = 0;
      this.queue = this.queue.slice(1);
    }
    this.hand(call, piece);
  }

  private hand(call: LaneCall, batch: Buffer): void {
    if (this.unsentBytes === 0) this.progressMs = this.nowMs();
    this.unsentBytes += batch.length;
    call.write(batch, () => {
      // A late answer of a call that was replaced says nothing about this one.
      if (this.call !== call) return;
      this.unsentBytes -= batch.length;
      this.progressMs = this.nowMs();
      if (this.queue.length > 0) this.flush();
    });
  }
}
