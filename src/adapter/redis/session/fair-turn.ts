/** Ends the turn of a client that has sent many commands, or long ones: what is left is taken behind what others have sent. */
import type { Millis } from '../../../platform/index.ts';
import type { ServerState } from '../state/index.ts';

/** How long commands of one client are taken in one turn. */
const MAX_TURN_MS: Millis = 10;

/** One for each client. */
export class FairTurn {
  private readonly scheduler: ServerState['scheduler'];
  private readonly goOn: () => void;
  private beganMs: Millis | undefined;
  /** Nothing is begun before the next turn. */
  isOver = false;

  /** @param goOn takes what is left */
  constructor({ scheduler }: ServerState, goOn: () => void) {
    this.scheduler = scheduler;
    this.goOn = goOn;
  }

  begin(): void {
    this.beganMs = undefined;
  }

  /** A command has been taken. @param nowMs when it began, monotonic */
  took(nowMs: Millis): void {
    this.beganMs ??= nowMs;
    if (this.isOver || nowMs - this.beganMs < MAX_TURN_MS) return;
    this.isOver = true;
    this.scheduler.nextTurn(() => {
      this.isOver = false;
      this.goOn();
    });
  }
}
