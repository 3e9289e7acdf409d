/** A command that may not begin before this node has heard of something: it waits a little, and is looked at again and again meanwhile. */
import type { Millis } from '../../../platform/index.ts';
import type { ServerState } from '../state/index.ts';

/** Between looks. */
const LOOK_MS: Millis = 20;

/** See the top of the file. */
export class ShortWait {
  private readonly server: ServerState;
  private readonly lookAgain: () => void;
  /** Since when a command has waited, monotonic. */
  private sinceMs: Millis | undefined;
  private isLookDue = false;

  /** @param lookAgain called when a command that waits should be asked about again */
  constructor(server: ServerState, lookAgain: () => void) {
    this.server = server;
    this.lookAgain = lookAgain;
  }

  /** The command begins to wait, or waits on. @returns false when it has waited long enough: that ends the wait */
  goesOn(): boolean {
    const { clock, commandTimeoutMs } = this.server;
    const nowMs = clock.monotonicMs();
    this.sinceMs ??= nowMs;
    if (nowMs - this.sinceMs < commandTimeoutMs) {
      this.lookLater();
      return true;
    }
    this.end();
    return false;
  }

  /** Nothing waits any more. */
  end(): void {
    this.sinceMs = undefined;
  }

  private lookLater(): void {
    if (this.isLookDue) return;
    this.isLookDue = true;
    this.server.scheduler.after(LOOK_MS, () => {
      this.isLookDue = false;
      this.lookAgain();
    });
  }
}
