/** How much may be under way: payload bytes that wait for a quorum, and payload bytes that wait for the state machine. */
import { BusyError } from '../errors.ts';
import type { Entry, RaftConfig } from './types.ts';

/** Committed entries that may be out for applying at once, in multiples of `maxAppendBytes`. */
const MAX_APPLYING_APPENDS = 8;

export class Budget {
  private readonly maxUncommittedBytes: number;
  private readonly maxApplyingBytes: number;
  /** Proposed in this term and not handed out as committed. */
  private uncommittedBytes = 0;
  /** Handed out for applying since everything was last applied. */
  private applyingBytes = 0;

  constructor(config: RaftConfig) {
    this.maxUncommittedBytes = config.maxUncommittedBytes;
    this.maxApplyingBytes = MAX_APPLYING_APPENDS * config.maxAppendBytes;
  }

  /** One proposal is always let in, however large. @throws BusyError */
  assertRoom(bytes: number): void {
    if (this.uncommittedBytes === 0 || this.uncommittedBytes + bytes <= this.maxUncommittedBytes) return;
    throw new BusyError(`${this.uncommittedBytes} bytes of proposals wait for a quorum; try again`);
  }

  proposed(bytes: number): void {
    this.uncommittedBytes += bytes;
  }

  /** A term of leadership begins or ends. */
  resetProposed(): void {
    this.uncommittedBytes = 0;
  }

  isApplyFull(): boolean {
    return this.applyingBytes >= this.maxApplyingBytes;
  }

  /** @param term the current one: only its entries were proposed under this budget */
  handedOut(committed: readonly Entry[], term: number): void {
    for (const { payload, term: entryTerm } of committed) {
      this.applyingBytes += payload.length;
      if (entryTerm === term) this.uncommittedBytes = Math.max(0, this.uncommittedBytes - payload.length);
    }
  }

  allApplied(): void {
    this.applyingBytes = 0;
  }
}
