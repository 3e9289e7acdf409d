/** The command of one connection that waits for keys. */
import type { Millis } from '../../../platform/index.ts';
import type { CommandSpec } from '../command/index.ts';
import { ErrorReply, type Reply } from '../protocol/index.ts';
import type { CommandRequest } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import { type WaitEnd, type WaitingCall, waitingCallOf } from '../waiting/index.ts';
import type { ClientAccess } from './access.ts';
import type { Transport } from './transport.ts';

/** What is read of a client whose command waits for keys: more stays with TCP. */
const MAX_BYTES_BEHIND = 1024 * 1024;

/** What a connection does for a command that waits. */
export interface WaitingHost {
  readonly server: ServerState;
  /** Runs a request on all groups that its keys belong to. */
  runAcross(request: CommandRequest): Promise<Reply>;
}

/** See the top of the file. */
export class WaitingSlot {
  private call: WaitingCall | undefined;
  /** Of the command that waits, as the client has sent them. */
  private args: readonly Buffer[] = [];
  /** One has waited, and what came meanwhile was not looked at. */
  hasWaited = false;

  /** A command waits. */
  get isTaken(): boolean {
    return this.call !== undefined;
  }

  /** It stands in line. */
  get isInLine(): boolean {
    return this.call?.isInLine === true;
  }

  /** Ends the wait. @returns false when none waits */
  end(why: WaitEnd): boolean {
    this.call?.end(why);
    return this.isTaken;
  }

  /** Ends the wait when its client may not run the command any more. */
  recheck({ access, server }: { readonly access: ClientAccess; readonly server: ServerState }): void {
    const command = this.isTaken ? server.table.resolve(this.args) : undefined;
    const refusal = command && access.refusalOf(command, this.args, 'toplevel');
    if (refusal !== undefined) this.end(new ErrorReply(refusal.text));
  }

  /**
   * Runs a command until it has an answer.
   * @param requestOf makes it a request, with the arguments that it has by now
   */
  run(
    host: WaitingHost,
    spec: CommandSpec,
    args: readonly Buffer[],
    patienceMs: Millis,
    requestOf: (args: readonly Buffer[]) => CommandRequest,
  ): Promise<Reply> {
    const call = waitingCallOf(host.server, spec, args, patienceMs, requestOf, (request) => host.runAcross(request));
    this.call = call;
    this.args = args;
    return call.run().finally(() => {
      this.call = undefined;
      this.hasWaited = true;
    });
  }

  /** A client that goes away is to be noticed, and leaves its place in line; what it sends waits. @returns false when it has gone */
  read(transport: Transport): boolean {
    if (this.isTaken) transport.setReading(transport.bufferedBytes < MAX_BYTES_BEHIND);
    else transport.setReading(false);
    return !(this.isTaken && transport.inputEnded);
  }
}
