/** What a run must never show. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
  readonly invariant: string;

  constructor(invariant: string, message: string, options?: { cause?: unknown }) {
    super(`${invariant}: ${message}`, options);
    this.invariant = invariant;
  }
}
