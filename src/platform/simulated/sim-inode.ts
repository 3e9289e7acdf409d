/**
 * One file of a simulated disk: what a reader sees now (`live`), what would be there after a power failure (`stable`), and
 * the changes that lie between the two.
 */
import type { SeededRandom } from '../random.ts';

/** A torn write keeps or loses whole sectors, as drives do. */
const SECTOR_BYTES = 512;

/** A change of a file that is not stable. */
export type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number };

/** A file image that grows by doubling. */
class Image {
  private buffer = Buffer.alloc(0);
  size = 0;

  apply(change: FileChange): void {
    if (change.kind === 'truncate') {
      this.resize(change.length);
      return;
    }
    const end = change.position + change.bytes.length;
    if (end > this.size) this.resize(end);
    change.bytes.copy(this.buffer, change.position);
  }

  read(position: number, length: number): Buffer {
    return Buffer.from(this.buffer.subarray(position, Math.min(this.size, position + length)));
  }

  copyFrom(other: Image): void {
    this.buffer = Buffer.from(other.buffer);
    this.size = other.size;
  }

  flipBit(position: number, bit: number): void {
    this.buffer[position]! ^= 1 << bit;
  }

  private resize(size: number): void {
    if (size > this.buffer.length) {
      const larger = Buffer.alloc(Math.max(size, this.buffer.length * 2));
      this.buffer.copy(larger, 0, 0, this.size);
      this.buffer = larger;
    } else if (size < this.size) {
      this.buffer.fill(0, size, this.size);
    }
    this.size = size;
  }
}

export class SimInode {
  private readonly live = new Image();
  private readonly stable = new Image();
  /** Visible but not stable, oldest first. */
  private unsynced: FileChange[] = [];
  /** Handed to the disk, not yet visible. */
  private readonly underWay = new Set<FileChange>();

  get size(): number {
    return this.live.size;
  }

  /** Size once everything under way has arrived. */
  get claimedSize(): number {
    let size = this.live.size;
    for (const change of this.underWay)
      if (change.kind === 'write') size = Math.max(size, change.position + change.bytes.length);
    return size;
  }

  read(position: number, length: number): Buffer {
    return this.live.read(position, length);
  }

  begin(change: FileChange): void {
    this.underWay.add(change);
  }

  /** The change is visible now, and stable when the file is durable. Others that are not stay so, unless it lies over them. */
  finish(change: FileChange, durable: boolean): void {
    this.underWay.delete(change);
    this.live.apply(change);
    if (!durable) {
      this.unsynced.push(change);
      return;
    }
    this.sync(this.unsynced.findLastIndex((older) => touch(older, change)) + 1);
    this.stable.apply(change);
  }

  /** The change broke off; how much of it is there is up to chance, and a later sync makes that stable. */
  private interrupt(change: FileChange, random: SeededRandom): void {
    this.underWay.delete(change);
    for (const part of torn(change, random)) {
      this.live.apply(part);
      this.unsynced.push(part);
    }
  }

  /**
   * The disk refused the change. Mostly as on Linux: the pages stay readable and are marked clean, so that no later sync has
   * anything to do with them, and a power failure takes what did not arrive.
   */
  fail(change: FileChange, random: SeededRandom): void {
    if (random.int(4) === 0) {
      this.interrupt(change, random);
      return;
    }
    this.underWay.delete(change);
    this.live.apply(change);
    if (this.unsynced.length === 0) for (const part of torn(change, random)) this.stable.apply(part);
  }

  /** Number of changes that a sync which begins now makes stable. */
  get unsyncedChanges(): number {
    return this.unsynced.length;
  }

  sync(changes: number): void {
    for (const change of this.unsynced.splice(0, changes)) this.stable.apply(change);
  }

  /** A sync failed. As with a write that failed, the pages are mostly marked clean though not all of them arrived. */
  failSync(changes: number, random: SeededRandom): void {
    if (random.int(4) === 0) return;
    for (const change of this.unsynced.splice(0, changes))
      for (const part of torn(change, random)) this.stable.apply(part);
  }

  /** The process died, the machine did not: a change under way has arrived, or not, or in part. */
  killProcess(random: SeededRandom): void {
    for (const change of [...this.underWay]) this.interrupt(change, random);
  }

  /** The power failed: of what was not stable, any sectors may be there and any may be missing. */
  failPower(random: SeededRandom): void {
    for (const change of [...this.unsynced, ...this.underWay])
      for (const part of torn(change, random)) this.stable.apply(part);
    this.unsynced = [];
    this.underWay.clear();
    this.live.copyFrom(this.stable);
  }

  flipBit(position: number, bit: number): void {
    this.live.flipBit(position, bit);
    this.stable.flipBit(position, bit);
  }
}

/** Whether two changes are of the same bytes, or of the length. */
function touch(one: FileChange, other: FileChange): boolean {
  if (one.kind === 'truncate' || other.kind === 'truncate') return true;
  return one.position < other.position + other.bytes.length && other.position < one.position + one.bytes.length;
}

/** What remains of an interrupted change: all, nothing, a front part, or scattered sectors. */
function torn(change: FileChange, random: SeededRandom): FileChange[] {
  const fate = random.int(4);
  if (fate === 0) return [];
  if (fate === 1 || change.kind === 'truncate') return [change];
  const { position, bytes } = change;
  const parts: FileChange[] = [];
  const cut = fate === 2 ? random.int(bytes.length + 1) : bytes.length;
  for (let at = 0; at < cut; ) {
    const end = Math.min(cut, (Math.floor((position + at) / SECTOR_BYTES) + 1) * SECTOR_BYTES - position);
    if (fate === 2 || random.int(2) === 0)
      parts.push({ kind: 'write', position: position + at, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return parts;
}
