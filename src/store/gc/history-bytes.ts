/** How much history a store has gathered, as far as it can be told from what is applied. */

/** What a delete is counted as: behind the head of an object may lie any number of rows, and in a range any number of keys. */
const DELETE_BYTES = 4 << 10;
const RANGE_DELETE_BYTES = 1 << 20;

/** See the top of the file. */
export class HistoryBytes {
  /** Of versions that became history since the last pass of collection. */
  sinceLastPass = 0;
  /** Of all that became history since the store was opened, and what deletes are counted as. */
  total = 0;
  /** Of rows that were removed since the files were compacted. */
  removedBytes = 0;

  /** A version became history. */
  overwritten(bytes: number): void {
    this.sinceLastPass += bytes;
    this.total += bytes;
  }

  deleted(): void {
    this.total += DELETE_BYTES;
  }

  rangeDeleted(): void {
    this.total += RANGE_DELETE_BYTES;
  }

  readonly removed = (bytes: number): void => {
    this.removedBytes += bytes;
  };

  /** Versions that had become history were never written. */
  leftOut(bytes: number): void {
    this.sinceLastPass = Math.max(0, this.sinceLastPass - bytes);
  }
}
