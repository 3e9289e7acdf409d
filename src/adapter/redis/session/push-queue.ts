/**
 * Messages to one client that are no replies: what was published, keys that others changed. They wait here until they fit between two
 * replies, in order, each behind the reply that it must not overtake; never inside a reply.
 */
import type { Millis } from '../../../platform/index.ts';
import type { EncodedReply, ReplyWriter } from '../protocol/index.ts';
import type { ReplyRing } from './reply-ring.ts';

interface Push {
  readonly message: EncodedReply;
  /** Slot of the reply that goes first; -1 for none. */
  readonly after: number;
}

export class PushQueue {
  private waiting: Push[] = [];
  private waitingBytes = 0;

  get length(): number {
    return this.waiting.length;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.waitingBytes;
  }

  /** @param after slot of the reply that goes first; -1 for none */
  add(message: EncodedReply, after: number): void {
    this.waiting.push({ message, after });
    this.waitingBytes += message.bytes.length;
  }

  /**
   * Writes the messages whose place has come, and the replies before them as far as they are ready.
   * @param mayReply false: no reply may be written now
   */
  writeBetween(ring: ReplyRing, mayReply: boolean, writer: ReplyWriter, nowMs: Millis): void {
    let written = 0;
    for (const { message, after } of this.waiting) {
      if (mayReply) ring.writeTo(writer, nowMs, after);
      if (ring.oldest <= after) break;
      writer.write(message, 2);
      this.waitingBytes -= message.bytes.length;
      written++;
    }
    if (written > 0) this.waiting = this.waiting.slice(written);
  }
}
