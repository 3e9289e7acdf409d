/** Parts of a node that run: started in order, stopped in reverse. */

/** A part that runs. */
export interface Startable {
  start(): void;
  /** Stops at once what it does by itself; settles when nothing that it began is under way. */
  stop(): void | Promise<void>;
}

/**
 * The running parts of one plane. A stop begins with the newest part and waits for nobody before all have begun: what an upper part has under way
 * often ends only when a lower one refuses it.
 */
export class Startables {
  private readonly parts: Startable[] = [];

  /** @returns the part itself */
  add<Part extends Startable>(part: Part): Part {
    this.parts.push(part);
    return part;
  }

  start(): void {
    for (const part of this.parts) part.start();
  }

  /** Settles when nothing is under way. @throws what the first part that failed threw, after all have ended */
  async stop(): Promise<void> {
    const ends = this.parts.toReversed().map(async (part) => part.stop());
    const outcomes = await Promise.allSettled(ends);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}
