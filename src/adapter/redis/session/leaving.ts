/** The end of a connection of a node that stops: as soon as nothing is owed to the client, so that what it sends later has certainly not run. */

/** What is known of a connection, and done with it. */
export interface LeavingHost {
  /** Its command waits for keys, and has taken nothing. */
  readonly waiting: { readonly isTaken: boolean };
  /** Something that the client has sent is not answered, or something that it has begun is open. */
  readonly isOwing: boolean;
  /** Starts what has come in. */
  transportReady(): void;
  closeAfterReplies(): void;
}

/** See the top of the file. */
export class Leaving {
  private readonly host: LeavingHost;
  private isAsked = false;

  constructor(host: LeavingHost) {
    this.host = host;
  }

  /** The connection is to end. */
  begin(): void {
    const { host } = this;
    this.isAsked = true;
    if (!host.waiting.isTaken) host.transportReady();
    // What was sent behind a command that waits does not run before it.
    if (host.waiting.isTaken) host.closeAfterReplies();
    else this.look();
  }

  /** Something was answered. */
  look(): void {
    if (this.isAsked && !this.host.isOwing) this.host.closeAfterReplies();
  }
}
