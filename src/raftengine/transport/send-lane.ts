/**
 * One lane's way out on one connection: a bounded queue, batched into messages, with so many bytes handed to the call at
 * a time as its flow control takes. Bytes count as queued until the call was given them, and as in flight until the call
 * says that they left; in flight without progress is how a stalled peer shows.
 */
import type { Millis } from '../../platform/index.ts';
import { BATCH_BYTES, batchedBytes, batchHead, encodeBatch, pieceHead, pieceOf } from './peer-protocol.ts';

/** The part of a gRPC call that a lane needs, or a connection of its own. */
export interface LaneCall {
  /** Bytes that a message has in front, which `write` fills; left out: none. */
  readonly room?: number;
  write(batch: Buffer, written: () => void): unknown;
  /** Writes a message whose end is somebody else's memory, without a copy; left out: it is put together for `write`. */
  writeLong?(head: Buffer, body: Buffer, written: () => void): unknown;
}

/** A frame of this length is worth a write of its own: a copy of it takes longer. */
const LONG_BYTES = 64 * 1024;
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
      const first = this.queue[0]!;
      if (first.length > BATCH_BYTES) {
        this.handPiece(this.call);
        continue;
      }
      if (first.length >= LONG_BYTES) {
        this.queue = this.queue.slice(1);
        this.queueBytes -= batchedBytes(first);
        this.handLong(this.call, batchHead(first, this.call.room), first);
        continue;
      }
      let count = 0;
      let bytes = 0;
      while (count < this.queue.length && this.queue[count]!.length < LONG_BYTES && bytes <= BATCH_BYTES - LONG_BYTES) {
        bytes += batchedBytes(this.queue[count]!);
        count += 1;
      }
      const frames = count === this.queue.length ? this.queue : this.queue.slice(0, count);
      this.queue = count === this.queue.length ? [] : this.queue.slice(count);
      this.queueBytes -= bytes;
      this.hand(this.call, encodeBatch(frames, bytes, this.call.room));
    }
  }

  private handPiece(call: LaneCall): void {
    const frame = this.queue[0]!;
    const offset = this.sentOfFirst;
    const bytes = pieceOf(frame, offset);
    this.sentOfFirst += bytes.length;
    this.queueBytes -= bytes.length;
    if (this.sentOfFirst === frame.length) {
      this.queueBytes -= batchedBytes(frame) - frame.length;
      this.sentOfFirst = 0;
      this.queue = this.queue.slice(1);
    }
    this.handLong(call, pieceHead(frame, offset, call.room), bytes);
  }

  private handLong(call: LaneCall, head: Buffer, body: Buffer): void {
    if (call.writeLong === undefined) {
      this.hand(call, Buffer.concat([head, body]));
      return;
    }
    call.writeLong(head, body, this.handed(call, head.length + body.length));
  }

  private hand(call: LaneCall, batch: Buffer): void {
    call.write(batch, this.handed(call, batch.length));
  }

  /** Books what the call is given. @returns to be called when it has left */
  private handed(call: LaneCall, bytes: number): () => void {
    if (this.unsentBytes === 0) this.progressMs = this.nowMs();
    this.unsentBytes += bytes;
    return () => {
      // A late answer of a call that was replaced says nothing about this one.
      if (this.call !== call) return;
      this.unsentBytes -= bytes;
      this.progressMs = this.nowMs();
      if (this.queue.length > 0) this.flush();
    };
  }
}
