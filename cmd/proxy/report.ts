/** What the two sides have in common, and what not, since the proxy was started or the report was cleared. */

const EXAMPLES = 20;
const MAX_DIRTY = 100_000;

/** `reply`: a write was answered otherwise. `read`: a read was. `refused`: the second side did not take a write. */
export type DifferenceKind = 'reply' | 'read' | 'refused';

export interface DirtyKey {
  readonly database: number;
  readonly key: Buffer;
}

export class Report {
  sinceMs: number;
  /** Commands of clients. */
  commands = 0;
  /** Writes that the second side has answered. */
  mirrored = 0;
  compared = 0;
  /** Writes that found no room in the queue of the second side. */
  dropped = 0;
  /** Writes whose outcome on the second side is not known. */
  lost = 0;
  /** Commands that nobody here knows, and that may have changed something. */
  unknown = 0;
  repaired = 0;
  readonly differences: Record<DifferenceKind, number> = { reply: 0, read: 0, refused: 0 };
  readonly examples: string[] = [];
  private readonly dirty = new Map<string, DirtyKey>();
  /** More keys may differ than are remembered. */
  hasForgotten = false;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  note(kind: DifferenceKind, command: readonly (Buffer | string)[], detail: string): void {
    this.differences[kind] += 1;
    const words = command
      .slice(0, 4)
      .map((word) => (Buffer.isBuffer(word) ? JSON.stringify(word.toString('latin1', 0, 60)) : word));
    if (this.examples.length < EXAMPLES) this.examples.push(`${words.join(' ')}: ${detail}`);
  }

  /** The second side may have something else under these keys. */
  markDirty(database: number, keys: readonly Buffer[]): void {
    for (const key of keys) {
      if (this.dirty.size >= MAX_DIRTY) this.hasForgotten = true;
      else this.dirty.set(`${database} ${key.toString('latin1')}`, { database, key });
    }
  }

  get dirtyKeys(): number {
    return this.dirty.size;
  }

  /** Takes the dirty keys out. */
  takeDirty(): DirtyKey[] {
    const keys = [...this.dirty.values()];
    this.dirty.clear();
    this.hasForgotten = false;
    return keys;
  }
}
