/** What the two sides have in common, and what not, since the proxy was started. */
import { type KeyPlace, placeName } from './key-place.ts';

const EXAMPLES = 20;
const MAX_DIRTY = 100_000;

/** `reply`: a write was answered otherwise. `read`: a read was. `refused`: the second side did not take a write. */
export type DifferenceKind = 'reply' | 'read' | 'refused';

/** Which keys may differ. */
export interface Suspicion {
  readonly places: readonly KeyPlace[];
  /** Others may too, and nobody knows which. */
  readonly hasUnnamed: boolean;
}

export class Report {
  readonly sinceMs: number;
  /** Commands of clients. */
  commands = 0;
  /** Writes that the second side has answered. */
  mirrored = 0;
  compared = 0;
  /** Writes that the second side was never told. */
  dropped = 0;
  /** Writes whose outcome on the second side is not known. */
  lost = 0;
  /** Writes whose outcome on the side that answers is not known. */
  unanswered = 0;
  /** Commands that nobody here knows, and that may have changed something. */
  unknown = 0;
  repaired = 0;
  readonly differences: Record<DifferenceKind, number> = { reply: 0, read: 0, refused: 0 };
  readonly examples: string[] = [];
  private readonly dirty = new Map<string, KeyPlace>();
  private hasUnnamedDirty = false;
  private openMs = Number.NEGATIVE_INFINITY;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  note(kind: DifferenceKind, command: readonly (Buffer | string | number)[], detail: string): void {
    this.differences[kind] += 1;
    const words = command
      .slice(0, 4)
      .map((word) => (Buffer.isBuffer(word) ? JSON.stringify(word.toString('latin1', 0, 60)) : word));
    if (this.examples.length < EXAMPLES) this.examples.push(`${words.join(' ')}: ${detail}`);
  }

  /** A write may take effect now, or later, or not at all. */
  noteOpen(): void {
    this.openMs = performance.now();
  }

  /** When that was last the case, on the clock of `performance`. */
  get lastOpenMs(): number {
    return this.openMs;
  }

  /** The two sides may have different things under these keys. @param places undefined: nobody knows under which */
  markDirty(places: readonly KeyPlace[] | undefined): void {
    if (places === undefined) this.hasUnnamedDirty = true;
    for (const place of places ?? []) {
      if (this.dirty.size >= MAX_DIRTY) this.hasUnnamedDirty = true;
      else this.dirty.set(placeName(place), place);
    }
  }

  get dirtyKeys(): number {
    return this.dirty.size;
  }

  /** Keys may differ that are not among those that are counted. */
  get hasUnnamed(): boolean {
    return this.hasUnnamedDirty;
  }

  get suspicion(): Suspicion {
    return { places: [...this.dirty.values()], hasUnnamed: this.hasUnnamedDirty };
  }

  /** Takes the suspicion out: whoever calls this looks after it, or puts it back. */
  takeSuspicion(): Suspicion {
    const { suspicion } = this;
    this.dirty.clear();
    this.hasUnnamedDirty = false;
    return suspicion;
  }

  putBack({ places, hasUnnamed }: Suspicion): void {
    this.markDirty(places);
    if (hasUnnamed) this.markDirty(undefined);
  }
}
