/** Batches or views of one database: numbered when they are begun, and known to be under way until they have ended. */
export class UnderWay {
  private readonly open = new Set<number>();
  private nextNumber = 0;

  /** Number of the next one. */
  get next(): number {
    return this.nextNumber;
  }

  /** All with smaller numbers have ended. */
  get doneBefore(): number {
    // Sets keep the order in which numbers were added.
    for (const oldest of this.open) return oldest;
    return this.nextNumber;
  }

  get areAllDone(): boolean {
    return this.open.size === 0;
  }

  begin(): number {
    this.open.add(this.nextNumber);
    return this.nextNumber++;
  }

  end(number: number): void {
    this.open.delete(number);
  }
}
