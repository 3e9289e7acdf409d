/**
 * A large object is a head row and a body, rows that lie right behind the head. Each row of a body carries the incarnation of the
 * body, and the head names the incarnation that belongs to it, so to delete or to replace an object is to write its head: rows
 * of an incarnation that no head names are not reached from anywhere. They are garbage once that is so for every read that is still
 * allowed, which are those at the threshold of collection and above.
 *
 * A row is lost when no version of its head that such a read can see names its incarnation. Of a lost row the versions at or below the
 * threshold are garbage, the newest of them too; those above stay, because their head may still be on its way. That depends on
 * timestamps of rows and on the threshold alone, not on what was collected when: whatever a collection has taken, of heads too, no
 * read could see. So every replica says the same at the same index.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { BodyRow, BodyRules } from '../contract/index.ts';
import { KeyWalk, type Level, type LevelSnapshot } from '../level/index.ts';
import { type DecodedVersion, encodeKey, type RangeTombstones, RowKind } from '../rows/index.ts';

/** Before the first head. */
const NO_HEAD = Buffer.alloc(0);

/** From where heads are read that the caller has not walked over. */
export interface HeadSource {
  readonly level: Level;
  readonly snapshot: LevelSnapshot;
  readonly location: string;
}

/** Follows a walk over rows in the order of their keys; see the top of the file. */
export class BodyReach {
  private readonly rules: BodyRules | undefined;
  private readonly threshold: HlcTimestamp;
  private readonly ranges: () => RangeTombstones;
  /** The head that was looked at last. */
  private head: Buffer = NO_HEAD;
  /** Incarnations that reads can see. */
  private named: Buffer[] = [];
  /** The one that the newest version of the head names. */
  private newestNamed: Buffer | undefined;
  private coveredTs: HlcTimestamp | undefined;
  private hasNewest = false;
  private isBoundaryPassed = false;

  /** @param rules undefined where no object has more than one row */
  constructor(rules: BodyRules | undefined, threshold: HlcTimestamp, ranges: () => RangeTombstones) {
    this.rules = rules;
    this.threshold = threshold;
    this.ranges = ranges;
  }

  /** False when there are no bodies at all, and nothing needs to be asked. */
  get isNeeded(): boolean {
    return this.rules !== undefined;
  }

  /** The body that a row is of; undefined for heads and for what has no body. */
  bodyOf(key: Buffer): BodyRow | undefined {
    return this.rules?.bodyOf(key);
  }

  /** A head comes: `see` is told its versions next, all that there are. */
  beginHead(head: Buffer): void {
    this.head = head;
    this.named = [];
    this.newestNamed = undefined;
    this.coveredTs = undefined;
    this.hasNewest = false;
    this.isBoundaryPassed = false;
  }

  /** The next older version of the head, with its value. */
  see({ commitTs, expireTs, isTombstone, value }: DecodedVersion): void {
    const isNewest = !this.hasNewest;
    this.hasNewest = true;
    if (this.isBoundaryPassed) return;
    this.isBoundaryPassed = commitTs <= this.threshold;
    const named = isTombstone ? undefined : this.rules!.incarnationIn(this.head, value);
    if (named === undefined) return;
    if (isNewest) this.newestNamed = Buffer.from(named);
    if (this.isBoundaryPassed && this.isHidden(commitTs, expireTs)) return;
    this.named.push(Buffer.from(named));
  }

  /** What is the newest at the threshold is not seen there when it was deleted with a range or has expired. */
  private isHidden(commitTs: HlcTimestamp, expireTs: HlcTimestamp): boolean {
    if (expireTs !== 0n && expireTs <= this.threshold) return true;
    const ranges = this.ranges();
    if (ranges.isEmpty) return false;
    this.coveredTs ??= ranges.covering(this.head, this.threshold);
    return commitTs <= this.coveredTs;
  }

  /**
   * Whether no read at or above the threshold comes to the row. Its head is read unless the walk has just come from it or from another
   * row of its body: so one may begin anywhere, and a body that takes many slices costs one look at its head a slice.
   */
  async isLost(key: Buffer, { headLength, incarnation }: BodyRow, source: HeadSource): Promise<boolean> {
    const isKnown = this.head.length === headLength && key.subarray(0, headLength).equals(this.head);
    if (!isKnown) await this.readHead(Buffer.from(key.subarray(0, headLength)), source);
    return !this.named.some((named) => named.equals(incarnation));
  }

  /** Whether the newest version of the head names the row's body; asked after `isLost`. */
  isCurrent({ incarnation }: BodyRow): boolean {
    return this.newestNamed?.equals(incarnation) === true;
  }

  private async readHead(head: Buffer, { level, snapshot, location }: HeadSource): Promise<void> {
    this.beginHead(head);
    const walk = new KeyWalk(level, snapshot, encodeKey(RowKind.Latest, head).subarray(1), location);
    try {
      if (!(await walk.nextKey()) || !walk.key.equals(head)) return;
      const { newest } = walk;
      if (newest !== undefined && !newest.isValueApart) this.see(newest);
      for (let version = await walk.nextVersion(); version !== undefined; version = await walk.nextVersion()) {
        this.see(version);
      }
    } finally {
      await walk.close();
    }
  }
}
