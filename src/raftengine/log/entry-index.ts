/**
 * Where the entries of one group are: for every live index its term, segment, position and payload length, and the entry
 * itself while it is cached. A ring of parallel arrays whose slot is the log index modulo the capacity, so that appending,
 * cutting the tail and forgetting the head are moves of two numbers; 28 bytes an entry.
 */
import { assert, type LogIndex, type Term } from '../../platform/index.ts';
import type { Entry } from '../core/index.ts';

const INITIAL_CAPACITY = 64;
/** A ring larger than this gives memory back once it is nearly empty. */
const SHRINK_ABOVE = 4096;

export class EntryIndex {
  /** First live index. */
  private first: LogIndex;
  /** One past the last live index. */
  private end: LogIndex;
  private mask = INITIAL_CAPACITY - 1;
  private terms = new Float64Array(INITIAL_CAPACITY);
  private segments = new Uint32Array(INITIAL_CAPACITY);
  private positions = new Uint32Array(INITIAL_CAPACITY);
  private lengths = new Uint32Array(INITIAL_CAPACITY);
  private cached: (Entry | undefined)[] = new Array(INITIAL_CAPACITY).fill(undefined);
  /** Payload bytes of all live entries. */
  private liveBytes = 0;
  /** Cached entries are exactly those from here on. */
  private cachedFrom: LogIndex;
  private cachedByteCount = 0;

  constructor(first: LogIndex) {
    this.first = first;
    this.end = first;
    this.cachedFrom = first;
  }

  get firstIndex(): LogIndex {
    return this.first;
  }

  get lastIndex(): LogIndex {
    return this.end - 1;
  }

  get bytes(): number {
    return this.liveBytes;
  }

  get cachedBytes(): number {
    return this.cachedByteCount;
  }

  /** Entries from this index on are in memory. */
  get firstCachedIndex(): LogIndex {
    return this.cachedFrom;
  }

  // Log indexes may exceed 32 bits; `&` keeps the low ones, which is all that a power-of-two ring needs.
  private slot(index: LogIndex): number {
    return index & this.mask;
  }

  term(index: LogIndex): Term {
    return this.terms[this.slot(index)]!;
  }

  segment(index: LogIndex): number {
    return this.segments[this.slot(index)]!;
  }

  /** Byte position of the payload in its segment. */
  position(index: LogIndex): number {
    return this.positions[this.slot(index)]!;
  }

  /** Payload bytes. */
  length(index: LogIndex): number {
    return this.lengths[this.slot(index)]!;
  }

  entry(index: LogIndex): Entry | undefined {
    return this.cached[this.slot(index)];
  }

  /** Adds the entry that follows the last one; `entry` is undefined when only its place is known (recovery). */
  append(term: Term, segment: number, position: number, length: number, entry: Entry | undefined): void {
    if (this.end - this.first > this.mask) this.resize((this.mask + 1) * 2);
    const slot = this.slot(this.end);
    this.terms[slot] = term;
    this.segments[slot] = segment;
    this.positions[slot] = position;
    this.lengths[slot] = length;
    this.cached[slot] = entry;
    this.liveBytes += length;
    if (entry === undefined) {
      assert(this.cachedFrom === this.end, 'an entry without bytes follows cached ones');
      this.cachedFrom += 1;
    } else {
      this.cachedByteCount += length;
    }
    this.end += 1;
  }

  /** Drops `index` and all behind it. */
  cutFrom(index: LogIndex): void {
    assert(index >= this.first, 'cut before the first live entry');
    for (let at = index; at < this.end; at++) this.drop(at);
    if (index < this.end) this.end = index;
    if (this.cachedFrom > this.end) this.cachedFrom = this.end;
  }

  /** Forgets all entries up to and including `index`. */
  forgetTo(index: LogIndex): void {
    assert(index < this.end, 'forgetting more entries than there are');
    for (let at = this.first; at <= index; at++) this.drop(at);
    this.first = Math.max(this.first, index + 1);
    if (this.cachedFrom < this.first) this.cachedFrom = this.first;
    const capacity = this.mask + 1;
    if (capacity > SHRINK_ABOVE && this.end - this.first < capacity / 8) this.resize(capacity / 4);
  }

  /** Empties the index; the next entry will be `first`. */
  restart(first: LogIndex): void {
    this.cutFrom(this.first);
    this.first = first;
    this.end = first;
    this.cachedFrom = first;
  }

  /** Drops the oldest cached entry from memory; its place stays known. @returns its payload bytes */
  evictOldest(): number {
    assert(this.cachedFrom < this.end, 'nothing is cached');
    const slot = this.slot(this.cachedFrom);
    const length = this.lengths[slot]!;
    this.cached[slot] = undefined;
    this.cachedByteCount -= length;
    this.cachedFrom += 1;
    return length;
  }

  private drop(index: LogIndex): void {
    const slot = this.slot(index);
    const length = this.lengths[slot]!;
    this.liveBytes -= length;
    if (index < this.cachedFrom) return;
    this.cached[slot] = undefined;
    this.cachedByteCount -= length;
  }

  private resize(capacity: number): void {
    const oldMask = this.mask;
    const { terms, segments, positions, lengths, cached } = this;
    this.mask = capacity - 1;
    this.terms = new Float64Array(capacity);
    this.segments = new Uint32Array(capacity);
    this.positions = new Uint32Array(capacity);
    this.lengths = new Uint32Array(capacity);
    this.cached = new Array(capacity).fill(undefined);
    for (let index = this.first; index < this.end; index++) {
      const from = index & oldMask;
      const to = this.slot(index);
      this.terms[to] = terms[from]!;
      this.segments[to] = segments[from]!;
      this.positions[to] = positions[from]!;
      this.lengths[to] = lengths[from]!;
      this.cached[to] = cached[from];
    }
  }
}
