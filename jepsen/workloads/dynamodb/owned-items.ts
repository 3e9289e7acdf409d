/**
 * Items each of which one client alone writes, version by version. So the order of the writes of an item is known, and what a read may show follows
 * from when it was. An item is made, changed and deleted, and its name is never used again: what was sent and not answered cannot come after what
 * was sent later, since every change asks for an older version to be there.
 */
import type { Random } from '../../../src/platform/index.ts';

/** One write of one item. */
export interface OwnedWrite {
  readonly key: string;
  /** From 1, each of an item's writes one more. */
  readonly version: number;
  readonly how: 'create' | 'change' | 'delete';
  /** What the item is found by in indexes; null when it is in none of them, or deleted. */
  readonly colour: string | null;
}

export const COLOURS: readonly string[] = ['red', 'green', 'blue'];

/** Which writes are made. */
const DELETED_SHARE = 0.12;
const COLOURLESS_SHARE = 0.2;

/** Where one item after the other lives. */
interface Slot {
  readonly name: string;
  generation: number;
  /** Of the last write that was begun. */
  version: number;
  isThere: boolean;
}

/** The items of all clients of one run. */
export class OwnedItems {
  private readonly slots = new Map<number, readonly Slot[]>();
  private readonly byKey = new Map<string, Slot>();
  private readonly keys: string[] = [];
  private readonly slotsPerWorker: number;

  constructor(slotsPerWorker: number) {
    this.slotsPerWorker = slotsPerWorker;
  }

  /** The next write of a client. Must be settled before the next one of this client. */
  next(worker: number, random: Random): OwnedWrite {
    const slots = this.slotsOf(worker);
    const slot = slots[random.int(slots.length)]!;
    const colour = random.next() < COLOURLESS_SHARE ? null : COLOURS[random.int(COLOURS.length)]!;
    if (!slot.isThere) {
      slot.generation++;
      slot.version = 1;
      const key = this.keyOf(slot);
      this.byKey.set(key, slot);
      this.keys.push(key);
      return { key, version: 1, how: 'create', colour };
    }
    const [key, version] = [this.keyOf(slot), ++slot.version];
    if (random.next() < DELETED_SHARE) return { key, version, how: 'delete', colour: null };
    return { key, version, how: 'change', colour };
  }

  /** What became of a write. An item of which it is not known whether it is there is written no more. */
  settle({ key, how }: OwnedWrite, isDone: boolean): void {
    const slot = this.byKey.get(key)!;
    if (how === 'create') slot.isThere = isDone;
    if (how === 'delete') slot.isThere = false;
  }

  /** An item of any client, old or new; undefined when there was none yet. */
  any(random: Random): string | undefined {
    return this.keys[random.int(Math.max(1, this.keys.length))];
  }

  private slotsOf(worker: number): readonly Slot[] {
    const known = this.slots.get(worker);
    if (known !== undefined) return known;
    const made = Array.from({ length: this.slotsPerWorker }, (_, at) => ({
      ...{ name: `${worker}-${at}`, generation: 0, version: 0, isThere: false },
    }));
    this.slots.set(worker, made);
    return made;
  }

  private readonly keyOf = ({ name, generation }: Slot): string => `item-${name}-${generation}`;
}
