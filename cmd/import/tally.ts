/** What an import has done so far, in numbers. */

const EXAMPLES = 20;

export class Tally {
  /** Keys whose values are in the cluster. */
  written = 0;
  /** Keys of which parts had to be written. */
  inParts = 0;
  /** Keys that were there before and were left. */
  kept = 0;
  /** Keys that had expired by themselves. */
  expired = 0;
  /** Keys that were done in a run before. */
  before = 0;
  libraries = 0;
  /** Keys that the cluster did not take, and values of modules. */
  refused = 0;
  /** Commands of a running Redis that were carried out. */
  commands = 0;
  /** Keys of commands that may have been carried out twice. */
  readonly repeated: string[] = [];
  /** The first of what was refused, with the reason. */
  readonly examples: string[] = [];

  refuse(what: string, reason: string): void {
    this.refused += 1;
    if (this.examples.length < EXAMPLES) this.examples.push(`${what}: ${reason}`);
  }
}

/** A key as somebody may read it. */
export function keyText(database: number, key: Buffer): string {
  const text = JSON.stringify(key.toString('latin1'));
  return database === 0 ? text : `${text} of database ${database}`;
}
