/**
 * The place that the reply of each command has among those of its connection: it is taken when the command begins and filled once its outcome is known. What
 * is counted of a reply, and what a reply says to reads that follow, is done here.
 */
import type { ResolvedCommand } from '../command/index.ts';
import { ErrorReply, errorText, errorTextIn, type Reply } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';
import type { ReplyRing } from './reply-ring.ts';
import type { Session } from './session.ts';
import { repliesByMessage } from './subscriptions.ts';

/** What the slots need of their connection. */
export interface ReplySlotsHost {
  readonly server: ServerState;
  readonly session: Session;
  /** Bytes of the arguments of the command that was taken last. */
  readonly lastCommandBytes: number;
  /** There is something to write. */
  scheduleFlush(): void;
}

/** See the top of the file. One for each connection. */
export class ReplySlots {
  private readonly host: ReplySlotsHost;
  private readonly ring: ReplyRing;

  constructor(host: ReplySlotsHost, ring: ReplyRing) {
    this.host = host;
    this.ring = ring;
  }

  /** Takes the next slot, for the present command. */
  reserve(command?: ResolvedCommand): number {
    const { session, lastCommandBytes } = this.host;
    const { resp, lastCommandMs } = session;
    return this.ring.reserve(resp, this.isSilent(command), command?.counters, lastCommandMs, lastCommandBytes);
  }

  /** A command that changes how its own reply is written has done so, or not. */
  rewritten(slot: number, command: ResolvedCommand): void {
    this.ring.setVersion(slot, this.host.session.resp, this.isSilent(command));
  }

  /** The reply of the present command is not written. */
  private isSilent(command: ResolvedCommand | undefined): boolean {
    return this.host.session.isSilent && (command === undefined || !repliesByMessage(command.spec.name));
  }

  /** @param isWrite what has failed may have happened */
  settleError(slot: number, error: unknown, isWrite: boolean): void {
    this.host.server.unexpected(error);
    this.settle(slot, new ErrorReply(errorText(error, isWrite)));
  }

  /** A reply that leaders have a part in: reads by replicas that follow may not contradict it. */
  settle(slot: number, reply: Reply): void {
    this.host.session.replicaReads.acted();
    this.settleHere(slot, reply);
  }

  /** A reply that no leader has a part in: about the connection itself, or a replica's. */
  settleHere(slot: number, reply: Reply): void {
    const failure = errorTextIn(reply);
    if (failure !== undefined) {
      this.host.server.stats.countError(failure);
      this.ring.noteError(slot);
    }
    if (this.ring.settle(slot, reply)) this.host.scheduleFlush();
  }
}
