/** The operations of a turn behind the entry that they wait for, and what each of them was computed from. */
import type { Millis } from '../../platform/index.ts';
import type { Operation } from '../contract/index.ts';
import { OpenEntry, Unit } from './overlay.ts';

/** An operation that was evaluated and waits for an entry; it is the unit of what it wrote, unless that belongs to what others wrote. */
export class Pending extends Unit {
  readonly operation: Operation<unknown>;
  readonly tries: number;
  readonly error: Error | undefined;
  readonly reply: unknown;
  /** What an operation that wrote nothing read before it was applied. */
  readonly sources: readonly Source[];
  /** What becomes of its own writes; undefined for an operation that wrote nothing. */
  unit: Unit | undefined;

  constructor(
    operation: Operation<unknown>,
    tries: number,
    error: Error | undefined,
    reply: unknown,
    sources: readonly Source[],
  ) {
    super();
    this.operation = operation;
    this.tries = tries;
    this.error = error;
    this.reply = reply;
    this.sources = sources;
  }
}

export interface Source {
  readonly unit: Unit | undefined;
  readonly entry: OpenEntry | undefined;
}

export const NO_SOURCES: readonly Source[] = [];

/** An entry with the operations that wait for it. */
export class TurnEntry extends OpenEntry {
  readonly pending: Pending[] = [];
  /** What the group's ceiling rises to with it; 0 for none. */
  ceilingMs: Millis = 0;
}

/** The newest entry that something was read from: when it is applied, all are. */
export function newestOf(sources: readonly Source[]): TurnEntry {
  let newest = sources[0]!.entry!;
  for (const { entry } of sources) if (entry!.ordinal > newest.ordinal) newest = entry!;
  return newest as TurnEntry;
}

/** True when something that the operation was computed from did not come to pass. */
export function isStale(pending: Pending): boolean {
  if (pending.unit !== undefined) return pending.unit.root().isConflicted;
  for (const { unit, entry } of pending.sources) {
    if (entry!.isAbandoned || unit!.root().isConflicted) return true;
  }
  return false;
}
