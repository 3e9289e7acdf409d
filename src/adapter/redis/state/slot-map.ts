/**
 * Which group has which hash slots. Ranges may be cut anywhere, also within a slot. A slot is shown with the group that has its first
 * key; the node that it leads to passes on what belongs to others, so a client's map is always good enough.
 */
import type { KvService } from '../../../kv/index.ts';
import type { GroupId } from '../../../platform/index.ts';
import type { SlotOwners, SlotRange } from '../command/index.ts';
import { KEYSPACES, SLOT_COUNT } from '../keys/index.ts';

/** Made again when the directory's version has changed. */
export class SlotMap implements SlotOwners {
  private readonly kv: KvService;
  private version = -1;
  private cached: readonly SlotRange[] = [];
  private readonly groups = new Uint32Array(SLOT_COUNT);

  constructor(kv: KvService) {
    this.kv = kv;
  }

  ranges(): readonly SlotRange[] {
    if (this.version !== this.kv.routesVersion) this.rebuild();
    return this.cached;
  }

  groupOf(slot: number): GroupId {
    if (this.version !== this.kv.routesVersion) this.rebuild();
    return this.groups[slot] as GroupId;
  }

  private rebuild(): void {
    this.version = this.kv.routesVersion;
    const ranges: SlotRange[] = [];
    const keyspace = KEYSPACES[0]!;
    for (let first = 0; first < SLOT_COUNT; ) {
      const { group, end } = this.kv.stretchAt(keyspace.slotRange(first, SLOT_COUNT).start);
      const next = Math.max(first + 1, end === undefined ? SLOT_COUNT : firstSlotFrom(end));
      this.groups.fill(group, first, next);
      const before = ranges.at(-1);
      if (before?.group === group) ranges[ranges.length - 1] = { ...before, last: next - 1 };
      else ranges.push({ first, last: next - 1, group });
      first = next;
    }
    this.cached = ranges;
  }
}

/** The first slot of database 0 whose first key is not below `border`, at most `SLOT_COUNT`. */
function firstSlotFrom(border: Buffer): number {
  const keyspace = KEYSPACES[0]!;
  if (Buffer.compare(border, keyspace.wholeDb().end) >= 0) return SLOT_COUNT;
  const slot = ((border[2] ?? 0) << 8) | (border[3] ?? 0);
  const { start } = keyspace.slotRange(slot, SLOT_COUNT);
  return Buffer.compare(start, border) >= 0 ? slot : slot + 1;
}
