/** Whether a client takes its messages: how much it has left unread, and for how long. */
import type { Millis } from '../../../platform/index.ts';
import type { OutputLimit } from '../command/index.ts';

const NO_LIMIT: OutputLimit = { hardBytes: 0, softBytes: 0, softSeconds: 0 };

/** See the top of the file. */
export class PushLimit {
  /** May change at any time. */
  limit: OutputLimit = NO_LIMIT;
  /** Since when there is more than the soft limit, monotonic. */
  private softSinceMs: Millis | undefined;

  /** @returns false when the client has to go */
  isKept(unreadBytes: number, nowMs: Millis): boolean {
    const { hardBytes, softBytes, softSeconds } = this.limit;
    if (hardBytes > 0 && unreadBytes > hardBytes) return false;
    if (softBytes === 0 || unreadBytes <= softBytes) {
      this.softSinceMs = undefined;
      return true;
    }
    this.softSinceMs ??= nowMs;
    return nowMs - this.softSinceMs <= softSeconds * 1000;
  }
}
