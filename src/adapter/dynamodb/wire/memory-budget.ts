/**
 * Memory of one port for bodies on their way in and out. Requests hold what has arrived of them, answers what has not left; when too much is held,
 * further requests are refused until some of it is gone.
 */

/** See the top of the file. */
export class MemoryBudget {
  private readonly maxBytes: number;
  private heldBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get isUsedUp(): boolean {
    return this.heldBytes >= this.maxBytes;
  }

  hold(bytes: number): void {
    this.heldBytes += bytes;
  }

  release(bytes: number): void {
    this.heldBytes -= bytes;
  }
}
