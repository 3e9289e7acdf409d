/**
 * Rows of an encrypted area in the order of their keys. Stored keys that begin alike lie together, and only those: so the walk goes down the tree of
 * beginnings. A branch with few rows is read as a whole and sorted; of a larger one the bytes that follow its beginning are found
 * by seeking from one to the next, and each is a branch of its own. All reads are of one snapshot.
 */
import type { Level, LevelIterator, LevelIteratorOptions, LevelSnapshot } from '../level/index.ts';
import { RowKind } from '../rows/index.ts';
import type { Area, Row } from './areas.ts';
import type { HiddenNames } from './hidden-names.ts';

/** A branch of so many rows is read as a whole. */
const BRANCH_ROWS = 64;
/** Or of so many bytes: a few long values are not all held at once. */
const BRANCH_BYTES = 1 << 20;
/** A branch between bounds with so few bytes to choose from is not asked which of them are there. */
const FEW_BYTES = 8;
/** Branches that are known to be large. Only a hint: what is wrong costs a seek. */
const MAX_LARGE = 8192;

const KINDS: readonly number[] = Object.values(RowKind).toSorted((a, b) => a - b);

/** Which branches of a database turned out to be large, and which of those have several branches right behind their beginning. */
export class LargeBranches {
  private readonly forks = new Map<string, boolean>();

  has(place: Buffer): boolean {
    return this.forks.has(place.toString('latin1'));
  }

  isFork(place: Buffer): boolean {
    return this.forks.get(place.toString('latin1')) === true;
  }

  add(place: Buffer, isFork: boolean): void {
    if (this.forks.size >= MAX_LARGE) this.forks.clear();
    this.forks.set(place.toString('latin1'), isFork);
  }
}

/** First key behind all that begin with `beginning`; undefined when there is none. */
export function behind(beginning: Buffer): Buffer | undefined {
  let end = beginning.length;
  while (end > 0 && beginning[end - 1] === 0xff) end--;
  if (end === 0) return undefined;
  const next = Buffer.from(beginning.subarray(0, end));
  next[end - 1]!++;
  return next;
}

function sharedBytes(left: Buffer, right: Buffer): number {
  const end = Math.min(left.length, right.length);
  let at = 0;
  while (at < end && left[at] === right[at]) at++;
  return at;
}

const beginsWith = (key: Buffer, beginning: Buffer): boolean =>
  key.length >= beginning.length && key.subarray(0, beginning.length).equals(beginning);

/** What is walked over. */
export interface WalkOptions extends Pick<LevelIteratorOptions, 'gte' | 'lt' | 'reverse'> {
  readonly level: Level;
  readonly area: Area & { readonly names: HiddenNames };
  readonly snapshot: LevelSnapshot;
  readonly large: LargeBranches;
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
    const beginning = gte === undefined || lt === undefined ? 0 : commonBeginning(gte, lt);
    if (beginning > 0) {
      yield* this.branch(gte!.subarray(0, beginning));
      return;
    }
    for (const kind of reverse ? KINDS.toReversed() : KINDS) yield* this.branch(Buffer.from([kind]));
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
    const { area, large } = this.options;
    const place = area.place(beginning);
    if (!large.has(place)) {
      const rows = await this.readBranch(place);
      if (rows !== undefined) {
        const page = this.inOrder(rows);
        if (page.length > 0) yield page;
        return;
      }
      large.add(place, false);
    }
    yield* this.branches(beginning, place);
  }

  /** The parts of a branch. */
  private async *branches(beginning: Buffer, place: Buffer): AsyncGenerator<Row[]> {
    const { gte, lt, reverse = false, large } = this.options;
    if (!large.isFork(place)) {
      const shared = await this.sharedBeginning(beginning, place);
      if (shared !== undefined) {
        yield* this.branch(shared);
        return;
      }
      large.add(place, true);
    }
    // The branch that the bound lies in comes first, and may be all that is wanted.
    const bound = reverse ? lt : gte;
    const first =
      bound !== undefined && bound.length > beginning.length && beginsWith(bound, beginning) ? bound : undefined;
    const firstByte = first?.[beginning.length];
    if (firstByte !== undefined) yield* this.branch(first!.subarray(0, beginning.length + 1));
    const isLeft = (byte: number): boolean =>
      firstByte === undefined || (reverse ? byte < firstByte : byte > firstByte);
    const exact = await this.readExact(place);
    if (exact !== undefined && !reverse && this.isInside(exact[0])) yield [exact];
    for (const byte of await this.nextBytes(beginning, place, isLeft)) {
      yield* this.branch(Buffer.concat([beginning, Buffer.from([byte])]));
    }
    if (exact !== undefined && reverse && this.isInside(exact[0])) yield [exact];
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
  private async readExact(place: Buffer): Promise<Row | undefined> {
    const { level, area, snapshot } = this.options;
    const stored = level.getSync(place, { snapshot });
    return stored === undefined ? undefined : area.read(place, stored);
  }

  /** The longest beginning that all rows of a branch have in common, when it is longer than the branch's. */
  private async sharedBeginning(beginning: Buffer, place: Buffer): Promise<Buffer | undefined> {
    const [first, last] = await Promise.all([this.firstOf(place, false), this.firstOf(place, true)]);
    if (first === undefined || last === undefined) return undefined;
    const shared = sharedBytes(first[0], last[0]);
    if (shared <= beginning.length) return undefined;
    return this.options.area.read(first[0], first[1])[0].subarray(0, shared);
  }

  /** Bytes that follow a beginning in keys between the bounds, in order. */
  private async nextBytes(beginning: Buffer, place: Buffer, isLeft: (byte: number) => boolean): Promise<number[]> {
    const { area, reverse = false } = this.options;
    const wanted: number[] = [];
    for (let byte = 0; byte < 256; byte++) {
      if (isLeft(byte) && !this.isOutside(Buffer.concat([beginning, Buffer.from([byte])]))) wanted.push(byte);
    }
    if (reverse) wanted.reverse();
    if (wanted.length <= FEW_BYTES) return wanted;
    const hidden = area.names.nextBytes(beginning);
    const found = new Set<number>();
    for (let from: Buffer | undefined = Buffer.concat([place, Buffer.from([0])]); from !== undefined; ) {
      const row = await this.firstOf(place, false, from);
      if (row === undefined) break;
      const branch = row[0].subarray(0, place.length + 1);
      found.add(branch[place.length]!);
      from = branch[place.length] === 0xff ? undefined : behind(branch);
    }
    return wanted.filter((byte) => found.has(hidden[byte]!));
  }

  /** The first row of a branch as it is stored, or the last. */
  private async firstOf(place: Buffer, reverse: boolean, from = place): Promise<[Buffer, Buffer] | undefined> {
    const { level, snapshot } = this.options;
    const seek = level.iterator({ gte: from, lt: behind(place), limit: 1, reverse, snapshot });
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
