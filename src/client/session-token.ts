/** How far a session has come. */

export class SessionToken {
  private bytes: Buffer;

  /** @param text of a session before; left out: the session has seen nothing */
  constructor(text = '') {
    this.bytes = Buffer.from(text, 'base64');
  }

  /** What a read has to reach. */
  get current(): Buffer {
    return this.bytes;
  }

  get text(): string {
    return this.bytes.toString('base64');
  }

  /** An answer has shown or done this much. Calls run side by side, so it may be less than another has. */
  take(token: Buffer | undefined): void {
    // Tokens of one cluster are in the order of what they demand.
    if (token !== undefined && Buffer.compare(token, this.bytes) > 0) this.bytes = token;
  }
}
