/**
 * What is known of the tree of beginnings that the rows of an encrypted area form: which of its branches are large, and which bytes follow in those. Stored
 * keys do not tell where the next key in order lies; who knows which bytes there are goes there directly, and who does not has to ask the
 * database for one after the other.
 *
 * What is known may be too much, which costs a look at nothing, and must never be too little. It is read from a snapshot once, and kept true by
 * whoever writes: he notes each key before it can be seen. Two numbers say to whom it can be told. Snapshots are numbered: one that is older than
 * what was read may have had more. So are batches: a row that is in a batch of before a branch was known was not noted there, so what is read
 * counts only where all those batches were over when the snapshot was taken.
 */
import { assert } from '../../platform/index.ts';

/** A snapshot among the batches and among the other snapshots. */
export interface Moment {
  /** Of the snapshot. */
  readonly number: number;
  /** All batches with smaller numbers had ended. */
  readonly doneBefore: number;
}

/** Large branches that are known; the whole tree is forgotten when there are more. */
const MAX_BRANCHES = 8192;
/** Of longer beginnings nothing is kept. */
const MAX_BEGINNING_BYTES = 1024;
const BYTES = 256;
const NOTHING = Buffer.alloc(0);

/** How many first bytes two keys have in common. @param from so many are known to be */
export function sharedBytes(left: Buffer, right: Buffer, from = 0): number {
  const end = Math.min(left.length, right.length);
  let at = from;
  while (at < end && left[at] === right[at]) at++;
  return at;
}

/** All rows that begin alike. */
export class Branch {
  /** In clear. */
  readonly beginning: Buffer;
  /** As it is stored. */
  readonly place: Buffer;
  /** Batches from this one on note here what they write. */
  readonly notedFrom: number;
  /** Those that are known, by the byte behind the beginning. */
  readonly parts = new Map<number, Branch>();
  /** A row's key may be the beginning itself. */
  isRow = false;
  /** One bit for each byte that may follow. */
  private readonly following = new Uint32Array(BYTES / 32);
  /** The two above are all there is, for snapshots from this one on. */
  private knownSince = Number.POSITIVE_INFINITY;
  /**
   * What begins with so many bytes of the beginning begins with all of it, for snapshots from that one on. Only what lies behind the branch that this one is
   * a part of is asked: where another key leaves the beginning, a branch is put between.
   */
  private aloneFrom = Number.POSITIVE_INFINITY;
  private aloneSince = Number.POSITIVE_INFINITY;

  constructor(beginning: Buffer, place: Buffer, notedFrom: number) {
    this.beginning = beginning;
    this.place = place;
    this.notedFrom = notedFrom;
  }

  has(byte: number): boolean {
    return ((this.following[byte >>> 5]! >>> (byte & 31)) & 1) === 1;
  }

  add(byte: number): void {
    this.following[byte >>> 5]! |= 1 << (byte & 31);
  }

  isKnownTo({ number }: Moment): boolean {
    return this.knownSince <= number;
  }

  /** Whether all rows with the first `bytes` bytes of the beginning lie in this branch. */
  isAloneBehind(bytes: number, { number }: Moment): boolean {
    return bytes === this.beginning.length || (this.aloneFrom <= bytes && this.aloneSince <= number);
  }

  /** What a snapshot shows is what later ones will show, but for what is noted. */
  canLearnFrom({ doneBefore }: Moment): boolean {
    return this.notedFrom <= doneBefore;
  }

  /** All that follows in the snapshot has been added. */
  learned({ number }: Moment): void {
    this.knownSince = Math.min(this.knownSince, number);
  }

  /** All rows of the snapshot that have the first `bytes` bytes of the beginning lie here. */
  learnedAlone(bytes: number, moment: Moment): void {
    if (!this.canLearnFrom(moment) || bytes >= this.aloneFrom) return;
    this.aloneFrom = bytes;
    this.aloneSince = moment.number;
  }

  /** A branch between this one and what it was a part of. @param length of its beginning */
  fork(length: number, notedFrom: number): Branch {
    const fork = new Branch(this.beginning.subarray(0, length), this.place.subarray(0, length), notedFrom);
    const byte = this.beginning[length]!;
    fork.add(byte);
    fork.parts.set(byte, this);
    if (this.aloneFrom <= length) {
      fork.knownSince = this.aloneSince;
      fork.aloneFrom = this.aloneFrom;
      fork.aloneSince = this.aloneSince;
    }
    return fork;
  }
}

/** The tree of one area. */
export class Branches {
  private root = new Branch(NOTHING, NOTHING, 0);
  private count = 0;
  /** Number of the next batch. */
  private readonly nextBatch: () => number;

  constructor(nextBatch: () => number) {
    this.nextBatch = nextBatch;
  }

  /** A row is about to be written: called before any snapshot can show it. */
  note(key: Buffer): void {
    for (let branch = this.root; ; ) {
      const at = branch.beginning.length;
      if (at === key.length) {
        branch.isRow = true;
        return;
      }
      const byte = key[at]!;
      branch.add(byte);
      const part = branch.parts.get(byte);
      if (part === undefined) return;
      const shared = sharedBytes(key, part.beginning, at + 1);
      if (shared === part.beginning.length) {
        branch = part;
        continue;
      }
      if (this.count >= MAX_BRANCHES) {
        this.forget();
        return;
      }
      branch = this.forked(branch, part, shared);
    }
  }

  /** The shortest known beginning that begins so. */
  below(beginning: Buffer): Branch | undefined {
    for (let branch = this.root; ; ) {
      const at = branch.beginning.length;
      if (at >= beginning.length) return branch;
      const part = branch.parts.get(beginning[at]!);
      if (part === undefined) return undefined;
      const shared = sharedBytes(beginning, part.beginning, at + 1);
      if (shared < Math.min(beginning.length, part.beginning.length)) return undefined;
      branch = part;
    }
  }

  /** The branch with a beginning, which turned out to be large. */
  grow(beginning: Buffer, place: Buffer): Branch {
    if (beginning.length > MAX_BEGINNING_BYTES) return new Branch(beginning, place, Number.POSITIVE_INFINITY);
    if (this.count >= MAX_BRANCHES) this.forget();
    for (let branch = this.root; ; ) {
      const at = branch.beginning.length;
      if (at === beginning.length) return branch;
      const byte = beginning[at]!;
      const part = branch.parts.get(byte);
      if (part === undefined) {
        // Copies: what they are parts of may be pages of rows.
        const grown = new Branch(Buffer.from(beginning), Buffer.from(place), this.nextBatch());
        branch.add(byte);
        branch.parts.set(byte, grown);
        this.count++;
        return grown;
      }
      const shared = sharedBytes(beginning, part.beginning, at + 1);
      branch = shared === part.beginning.length ? part : this.forked(branch, part, shared);
    }
  }

  private forked(branch: Branch, part: Branch, length: number): Branch {
    assert(branch.beginning.length < length && length < part.beginning.length, 'a fork lies between two branches');
    const fork = part.fork(length, this.nextBatch());
    branch.parts.set(part.beginning[branch.beginning.length]!, fork);
    this.count++;
    return fork;
  }

  /** What walks have got of it stays true for their snapshots. */
  private forget(): void {
    this.root = new Branch(NOTHING, NOTHING, 0);
    this.count = 0;
  }
}
