/**
 * The commands of this node's clients that took long to evaluate, newest last. Each is kept with what an operator needs to find it again, and its
 * arguments cut as Redis cuts them, so that an entry has less than 5 KiB.
 */
import { shortened } from './shown-command.ts';

/** Entries beyond this many are not kept, whatever `slowlog-max-len` says: they take 80 MiB at most. */
const MAX_ENTRIES = 16_384;

/** A command that took long. */
export interface SlowCommand {
  /** Unix seconds at which it was found to have been slow. */
  readonly atSeconds: number;
  /** How long it was evaluated. */
  readonly micros: number;
  /** Name and arguments, without secrets. */
  readonly args: readonly Buffer[];
  /** `host:port` of the client, and its name. */
  readonly address: string;
  readonly name: string;
}

export interface SlowEntry extends SlowCommand {
  /** Rises by one an entry, and is not used again before the node starts anew. */
  readonly id: number;
}

export class SlowLog {
  private entries: SlowEntry[] = [];
  private nextId = 0;

  get length(): number {
    return this.entries.length;
  }

  /** @param maxLength what is older than so many entries is forgotten */
  add(command: SlowCommand, maxLength: number): void {
    this.entries.push({ ...command, id: this.nextId++, args: shortened(command.args) });
    const kept = Math.min(maxLength, MAX_ENTRIES);
    if (this.entries.length > kept) this.entries.splice(0, this.entries.length - kept);
  }

  /** Newest first. @param count at most so many */
  latest(count: number): SlowEntry[] {
    return count <= 0 ? [] : this.entries.slice(-count).reverse();
  }

  reset(): void {
    this.entries = [];
  }
}
