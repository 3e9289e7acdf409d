/** Whether what a turn of the event loop has gathered leaves with it, or waits for more of its kind: a few full messages cost less than many small ones. */

/** What is left of the usual number from one smaller gathering to the next. */
const USUAL_DECAY = 0.98;

/** One place where things are gathered. Who comes alone never waits. */
export class TurnGathering {
  private readonly maxTurns: number;
  /** Turns that what is there has waited. */
  private turns = 0;
  /** How many have left together lately; falls slowly, so that a pause of some costs the others little. */
  private usual = 0;

  /** @param maxTurns how many turns anything waits at most */
  constructor(maxTurns: number) {
    this.maxTurns = maxTurns;
  }

  /** True when so many should wait for one turn more. */
  waitsFor(count: number): boolean {
    if (count < this.usual && this.turns < this.maxTurns) {
      this.turns++;
      return true;
    }
    this.usual = Math.max(count, Math.floor(this.usual * USUAL_DECAY));
    return false;
  }

  /** What was there has left. */
  begin(): void {
    this.turns = 0;
  }
}
