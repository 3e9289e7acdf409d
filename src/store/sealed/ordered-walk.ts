/**
 * Rows of an encrypted area in the order of their keys. Stored keys that begin alike lie together, and only those: so the walk goes down the tree of
 * beginnings. A branch with few rows is read as a whole and sorted; of a larger one the bytes that follow its beginning are known, or
 * found by seeking from one to the next, and each is a branch of its own. All reads are of one snapshot.
 */
import type { Level, LevelIterator, LevelIteratorOptions, LevelSnapshot } from '../level/index.ts';
import { RowKind } from '../rows/index.ts';
import type { Row, SealedArea } from './areas.ts';
import { Branch, type Moment, sharedBytes } from './branches.ts';

/** A branch of so many rows is read as a whole. */
const BRANCH_ROWS = 64;
/** Or of so many bytes: a few long values are not all held at once. */
const BRANCH_BYTES = 1 << 20;

/** Rows that are read on, and bytes of them, to see which bytes there are in a branch. */
const LEARNED_ROWS = 32;
const LEARNED_BYTES = 64 << 10;
/** A seek costs as much as reading on over so many rows. */
const SEEK_ROWS = 16;

const KINDS: readonly number[] = Object.values(RowKind).toSorted((a, b) => a - b);

/** First key behind all that begin with `beginning`; undefined when there is none. */
export function behind(beginning: Buffer): Buffer | undefined {
  let end = beginning.length;
  while (end > 0 && beginning[end - 1] === 0xff) end--;
  if (end === 0) return undefined;
  const next = Buffer.from(beginning.subarray(0, end));
  next[end - 1]!++;
  return next;
}

const beginsWith = (key: Buffer, beginning: Buffer): boolean =>
  key.length >= beginning.length && sharedBytes(key, beginning) === beginning.length;

/** With one byte more. */
function extended(beginning: Buffer, byte: number): Buffer {
  const longer = Buffer.allocUnsafe(beginning.length + 1);
  longer.set(beginning, 0);
  longer[beginning.length] = byte;
  return longer;
}

/** What is walked over. */
export interface WalkOptions extends Pick<LevelIteratorOptions, 'gte' | 'lt' | 'reverse'> {
  readonly level: Level;
  readonly area: SealedArea;
  readonly snapshot: LevelSnapshot;
  readonly moment: Moment;
}

/** See the top of the file. */
export class OrderedWalk {
  private readonly options: WalkOptions;

  constructor(options: WalkOptions) {
    this.options = options;
  }

  /** Rows in order, those of a branch at a time. */
  async *pages(): AsyncGenerator<Row[]> {
    const { gte, lt, reverse = false } = this.options;
    const shared = gte === undefined || lt === undefined ? 0 : commonBeginning(gte, lt);
    const kinds = reverse ? KINDS.toReversed() : KINDS;
    const beginnings = shared > 0 ? [gte!.subarray(0, shared)] : kinds.map((kind) => Buffer.from([kind]));
    for (const beginning of beginnings) yield* this.branch(beginning);
  }

  private isOutside(beginning: Buffer): boolean {
    const { gte, lt } = this.options;
    if (lt !== undefined && Buffer.compare(beginning, lt) >= 0) return true;
    return gte !== undefined && Buffer.compare(beginning, gte) < 0 && !beginsWith(gte, beginning);
  }

  private isInside(key: Buffer): boolean {
    const { gte, lt } = this.options;
    return (gte === undefined || Buffer.compare(key, gte) >= 0) && (lt === undefined || Buffer.compare(key, lt) < 0);
  }

  private async *branch(beginning: Buffer): AsyncGenerator<Row[]> {
    if (this.isOutside(beginning)) return;
    const { area } = this.options;
    const known = area.branches.below(beginning);
    const place = area.place(beginning);
    if (known === undefined) {
      const rows = await this.readBranch(place);
      if (rows !== undefined) {
        const page = this.inOrder(rows);
        if (page.length > 0) yield page;
        return;
      }
    }
    const large = await this.entered(beginning, place, known);
    if (large !== undefined && !this.isOutside(large.beginning)) yield* this.parts(large);
  }

  /**
   * The branch that all rows of a large one lie in, which may be the same.
   * @param known the one with the shortest beginning, at or below it
   * @returns undefined when there are no rows
   */
  private async entered(beginning: Buffer, place: Buffer, known: Branch | undefined): Promise<Branch | undefined> {
    const { area, moment } = this.options;
    if (known?.isAloneBehind(beginning.length, moment) === true) return known;
    const [first, last] = await Promise.all([this.firstOf(place, false), this.firstOf(place, true)]);
    if (first === undefined || last === undefined) return undefined;
    const shared = sharedBytes(first[0], last[0]);
    const isBelow = known !== undefined && known.beginning.length <= shared;
    const branch = isBelow
      ? known
      : area.branches.grow(area.read(first[0], first[1])[0].subarray(0, shared), first[0].subarray(0, shared));
    branch.learnedAlone(beginning.length, moment);
    return branch;
  }

  private async *parts(branch: Branch): AsyncGenerator<Row[]> {
    const { gte, lt, reverse = false, moment } = this.options;
    const { beginning } = branch;
    const [from, to] = reverse ? [lt, gte] : [gte, lt];
    const nextByte = (bound: Buffer | undefined): number | undefined =>
      bound !== undefined && bound.length > beginning.length && beginsWith(bound, beginning)
        ? bound[beginning.length]
        : undefined;
    const [first, last] = [nextByte(from), nextByte(to)];
    const part = (byte: number): AsyncGenerator<Row[]> => this.branch(extended(beginning, byte));
    const wasKnown = branch.isKnownTo(moment);
    // The branch that the bound lies in comes first, and may be all that is wanted.
    if (first !== undefined && !wasKnown) yield* part(first);
    const known = wasKnown ? branch : await this.learned(branch);
    const exact = known.isRow && this.isInside(beginning) ? this.readExact(branch.place) : undefined;
    if (exact !== undefined && !reverse) yield [exact];
    const step = reverse ? -1 : 1;
    const begin = first === undefined ? (reverse ? 255 : 0) : wasKnown ? first : first + step;
    const end = last ?? (reverse ? 0 : 255);
    for (let byte = begin; reverse ? byte >= end : byte <= end; byte += step) if (known.has(byte)) yield* part(byte);
    if (exact !== undefined && reverse) yield [exact];
  }

  /** Finds out what follows in a branch. @returns it, or one for this walk only that says what it would */
  private async learned(branch: Branch): Promise<Branch> {
    const { moment, area } = this.options;
    const { beginning, place } = branch;
    const learning = branch.canLearnFrom(moment) ? branch : new Branch(beginning, place, branch.notedFrom);
    const clear = new Map([...area.names.nextBytes(beginning)].map((hidden, byte) => [hidden, byte]));
    for (let from: Buffer | undefined = place; from !== undefined; ) {
      const last = await this.eachFollowing(place, from, (hidden) => {
        if (hidden === undefined) learning.isRow = true;
        else learning.add(clear.get(hidden)!);
      });
      from = last === undefined || last === 0xff ? undefined : extended(place, last + 1);
    }
    learning.learned(moment);
    return learning;
  }

  /**
   * Tells which bytes, as they are stored, follow in a branch from a place on, for as long as it is better to read on than to seek.
   * @param onByte given undefined for the row whose key is the beginning itself
   * @returns the last one; undefined at the end of the branch
   */
  private async eachFollowing(
    place: Buffer,
    from: Buffer,
    onByte: (hidden: number | undefined) => void,
  ): Promise<number | undefined> {
    const { level, snapshot } = this.options;
    const highWaterMarkBytes = LEARNED_BYTES;
    const iterator = level.iterator({ gte: from, lt: behind(place), snapshot, highWaterMarkBytes });
    try {
      let last: number | undefined;
      for (;;) {
        const page = await iterator.nextv(LEARNED_ROWS);
        if (page.length === 0) return undefined;
        let found = 0;
        for (const [stored] of page) {
          const hidden = stored[place.length];
          if (hidden === last && hidden !== undefined) continue;
          onByte(hidden);
          last = hidden;
          found += 1;
        }
        if (found * SEEK_ROWS < page.length) return last;
      }
    } finally {
      await iterator.close();
    }
  }

  /** All rows of a branch as they are stored; undefined when it is large. */
  private async readBranch(place: Buffer): Promise<[Buffer, Buffer][] | undefined> {
    const { level, snapshot } = this.options;
    const iterator = level.iterator({
      gte: place,
      lt: behind(place),
      limit: BRANCH_ROWS + 1,
      snapshot,
      highWaterMarkBytes: BRANCH_BYTES,
    });
    try {
      const rows: [Buffer, Buffer][] = [];
      let bytes = 0;
      for (;;) {
        const page = await iterator.nextv(BRANCH_ROWS + 1 - rows.length);
        if (page.length === 0) return rows;
        rows.push(...page);
        for (const [, stored] of page) bytes += stored.length;
        if (rows.length > BRANCH_ROWS || (bytes > BRANCH_BYTES && rows.length > 1)) return undefined;
      }
    } finally {
      await iterator.close();
    }
  }

  private inOrder(rows: readonly [Buffer, Buffer][]): Row[] {
    const { area, reverse = false } = this.options;
    const page = rows.map(([place, stored]) => area.read(place, stored)).filter(([key]) => this.isInside(key));
    page.sort(([left], [right]) => (reverse ? Buffer.compare(right, left) : Buffer.compare(left, right)));
    return page;
  }

  /** The row whose key is the beginning itself. */
  private readExact(place: Buffer): Row | undefined {
    const { level, area, snapshot } = this.options;
    const stored = level.getSync(place, { snapshot });
    return stored === undefined ? undefined : area.read(place, stored);
  }

  /** The first row of a branch as it is stored, or the last. */
  private async firstOf(place: Buffer, reverse: boolean): Promise<[Buffer, Buffer] | undefined> {
    const { level, snapshot } = this.options;
    const seek = level.iterator({ gte: place, lt: behind(place), limit: 1, reverse, snapshot });
    try {
      return (await seek.nextv(1))[0];
    } finally {
      await seek.close();
    }
  }
}

/** How many first bytes all keys of `[gte, lt)` have in common. */
export function commonBeginning(gte: Buffer, lt: Buffer): number {
  const shared = sharedBytes(gte, lt);
  // The bound is the key behind all that begin with one byte more.
  const isNext = lt.length === shared + 1 && gte.length > shared && gte[shared]! + 1 === lt[shared];
  return isNext ? shared + 1 : shared;
}

/** Pages of a walk, as an iterator of the database gives them. */
export class WalkIterator implements LevelIterator {
  private readonly pages: AsyncGenerator<Row[]>;
  private readonly end: () => Promise<void>;
  private page: Row[] = [];
  private at = 0;
  private left: number;

  /** @param end called when it is closed */
  constructor(pages: AsyncGenerator<Row[]>, limit: number | undefined, end: () => Promise<void>) {
    this.pages = pages;
    this.left = limit ?? Number.POSITIVE_INFINITY;
    this.end = end;
  }

  async nextv(size: number): Promise<[Buffer, Buffer][]> {
    if (this.left <= 0) return [];
    if (this.at === this.page.length) {
      const next = await this.pages.next();
      if (next.done === true) return [];
      this.page = next.value;
      this.at = 0;
    }
    const rows = this.page.slice(this.at, this.at + Math.min(size, this.left)) as unknown as [Buffer, Buffer][];
    this.at += rows.length;
    this.left -= rows.length;
    return rows;
  }

  async close(): Promise<void> {
    await this.pages.return(undefined);
    await this.end();
  }
}
