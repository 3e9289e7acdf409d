/**
 * Keys at which this node's transactions have lost against others a moment ago. Who wants one of them takes the primary's lock before all others, so that
 * those who compete queue up there instead of each holding what another one waits for. Nothing but time depends on it.
 */
import type { Clock, Millis } from '../../platform/index.ts';
import { nameOf } from '../apply/index.ts';

const MAX_ENTRIES = 1_024;
/** After so long without a loss a key is like any other. */
const REMEMBERED_MS: Millis = 1_000;

/** One a node. */
export class ContendedKeys {
  private readonly clock: Clock;
  /** When it was lost at last, monotonic, by name; the oldest first. */
  private readonly lostMs = new Map<string, Millis>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  note(key: Buffer): void {
    const name = nameOf(key);
    this.lostMs.delete(name);
    this.lostMs.set(name, this.clock.monotonicMs());
    if (this.lostMs.size <= MAX_ENTRIES) return;
    for (const oldest of this.lostMs.keys()) {
      this.lostMs.delete(oldest);
      return;
    }
  }

  /** Whether one of these keys is among them. */
  has(keys: readonly { readonly key: Buffer }[]): boolean {
    if (this.lostMs.size === 0) return false;
    const sinceMs = this.clock.monotonicMs() - REMEMBERED_MS;
    return keys.some(({ key }) => (this.lostMs.get(nameOf(key)) ?? Number.NEGATIVE_INFINITY) >= sinceMs);
  }
}
