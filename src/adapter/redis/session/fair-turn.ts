/**
 * Ends the turn of a client that has sent many commands, or long ones: what is left is taken behind what others have sent. A socket that has much to read is
 * read many times in one turn of the event loop, so a turn is not over when what was read has been taken.
 */
import type { Millis } from '../../../platform/index.ts';
import type { ServerState } from '../state/index.ts';

/** How long commands of one client are taken before the clock of the processor is looked at, and then until the turn is over. */
const MAX_TURN_MS: Millis = 10;
/** Processor time in that which makes it work: the rest is a machine that had others to serve. */
const WORK_MS: Millis = 5;
/** Commands of which it does not matter in how many pieces they come: nobody has to hear when their turn ends. */
const FEW_COMMANDS = 64;

/** One for each client. */
export class FairTurn {
  private readonly scheduler: Pick<ServerState['scheduler'], 'nextTurn'>;
  private readonly clock: Pick<ServerState['clock'], 'monotonicMs' | 'processorMs'>;
  private readonly goOn: () => void;
  private beganMs: Millis | undefined;
  /** What the processor had spent when it was first looked at in the turn. */
  private spentMs: Millis | undefined;
  /** Commands since it began. */
  private commands = 0;
  /** The end of the turn will be heard. */
  private isCounted = false;
  /** Nothing is begun before the next turn. */
  isOver = false;

  /** @param goOn takes what is left */
  constructor({ scheduler, clock }: Pick<ServerState, 'scheduler' | 'clock'>, goOn: () => void) {
    this.scheduler = scheduler;
    this.clock = clock;
    this.goOn = goOn;
  }

  /** Something has come in, or may be taken again. */
  begin(): void {
    if (this.isCounted) return;
    this.beganMs = undefined;
    this.spentMs = undefined;
    this.commands = 0;
  }

  /** A command has been taken. @param nowMs when it began, monotonic */
  took(nowMs: Millis): void {
    this.beganMs ??= nowMs;
    if (++this.commands === FEW_COMMANDS) this.count();
    if (this.isOver || nowMs - this.beganMs < MAX_TURN_MS) return;
    const spentMs = this.clock.processorMs?.() ?? this.clock.monotonicMs();
    this.isOver = this.spentMs !== undefined && spentMs - this.spentMs >= WORK_MS;
    this.beganMs = nowMs;
    this.spentMs = spentMs;
    this.count();
  }

  private count(): void {
    if (this.isCounted) return;
    this.isCounted = true;
    this.scheduler.nextTurn(() => this.ended());
  }

  private ended(): void {
    this.isCounted = false;
    this.begin();
    if (!this.isOver) return;
    this.isOver = false;
    this.goOn();
  }
}
