/**
 * The log as the core sees it: the stored part behind a `LogView`, then a tail in memory that is not stored yet, being
 * stored, or stored but not yet handed out for applying (so that the usual entry is never read back). Four cursors move
 * over it, each only forward except where a new leader replaces a suffix:
 *
 *   applied <= applying <= commit <= last      stable <= handed <= last
 *
 * An entry that a quorum holds is applied also before it is stable here: the leader's own disk may be the slowest. Whoever keeps
 * the state must not make it durable before the log holds what led to it, see `StateMachine.logStable`.
 */
import { assert, type LogIndex, type Term } from '../../platform/index.ts';
import type { Entry, HardState, LogView, SnapshotMeta } from './types.ts';

/** A batch of entries that was handed out to be stored and was not reported stable yet. */
interface PendingWrite {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Term that the node was in; the hard state that says so was handed out no later. */
  readonly inTerm: Term;
  /** Entries above this were replaced after the batch was handed out: its completion says nothing about them. */
  validTo: LogIndex;
}

/**
 * Stable entries are kept in memory until applied only up to this many bytes. With more of them waiting for this node's disk none is
 * applied before it is stable, so that a leader whose disk stands still does not run ahead of it without end.
 */
const MAX_RETAINED_TAIL_BYTES = 16 * 1024 * 1024;

const NO_ENTRIES: readonly Entry[] = [];

export class RaftLog {
  private readonly view: LogView;
  private tail: Entry[] = [];
  /** Index of `tail[0]`; one past the last index when the tail is empty. */
  private tailFirst: LogIndex;
  private tailBytes = 0;
  /** Entries up to here were handed out to be stored. */
  private handedIndex: LogIndex;
  private pendingWrites: PendingWrite[] = [];
  /** A snapshot that replaces everything up to its index and is not installed yet, and the term that it came in. */
  private restoring: (SnapshotMeta & { readonly inTerm: Term }) | undefined;
  /** Entries up to here are on this node's stable storage. */
  stableIndex: LogIndex;
  /** Newest term that the node is known to find in its hard state after a crash. */
  stableTerm: Term;
  commitIndex: LogIndex;
  /** Entries up to here were handed out to be applied. */
  applyingIndex: LogIndex;
  appliedIndex: LogIndex;

  constructor(view: LogView, hardState: HardState, appliedIndex: LogIndex) {
    this.view = view;
    this.stableTerm = hardState.term;
    const last = view.lastIndex();
    this.tailFirst = last + 1;
    this.handedIndex = last;
    this.stableIndex = last;
    this.commitIndex = Math.max(hardState.commitIndex, appliedIndex);
    this.applyingIndex = appliedIndex;
    this.appliedIndex = appliedIndex;
    assert(view.firstIndex() <= appliedIndex + 1, 'the log was truncated beyond what the state machine applied');
    assert(this.commitIndex <= last, 'the stored log ends before what is known to be committed');
  }

  firstIndex(): LogIndex {
    return this.restoring === undefined ? this.view.firstIndex() : this.restoring.index + 1;
  }

  lastIndex(): LogIndex {
    return this.tailFirst + this.tail.length - 1;
  }

  lastTerm(): Term {
    const term = this.term(this.lastIndex());
    assert(term !== undefined, 'the term of the last entry must be known');
    return term;
  }

  /** Term of the entry at `index`; undefined when it is compacted or beyond the end. */
  term(index: LogIndex): Term | undefined {
    if (index >= this.tailFirst) return this.tail[index - this.tailFirst]?.term;
    if (index === 0) return 0;
    if (this.restoring !== undefined) return index === this.restoring.index ? this.restoring.term : undefined;
    return this.view.term(index);
  }

  /** The newest entry that is known to be committed; index and term 0 when there is none or its term is not held. */
  commitPoint(): { readonly index: LogIndex; readonly term: Term } {
    const term = this.term(this.commitIndex);
    return term === undefined ? { index: 0, term: 0 } : { index: this.commitIndex, term };
  }

  /** True when a log that ends in (`lastTerm`, `lastIndex`) has everything that this one may have committed. */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    const ownTerm = this.lastTerm();
    return lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= this.lastIndex());
  }

  /** Entries in `[from, to)`, cut after `maxBytes` of payload but never empty; undefined when compacted. */
  slice(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] | undefined {
    if (from >= to) return NO_ENTRIES;
    if (from >= this.tailFirst) return this.sliceTail(from, to, maxBytes);
    if (from < this.firstIndex()) return undefined;
    const stored = this.view.entries(from, Math.min(to, this.tailFirst), maxBytes);
    if (stored === undefined) return undefined;
    const next = from + stored.length;
    if (next < this.tailFirst || next >= to) return stored;
    let bytes = 0;
    for (const entry of stored) bytes += entry.payload.length;
    return bytes >= maxBytes ? stored : stored.concat(this.sliceTail(next, to, maxBytes - bytes));
  }

  private sliceTail(from: LogIndex, to: LogIndex, maxBytes: number): Entry[] {
    const start = from - this.tailFirst;
    const end = to - this.tailFirst;
    let position = start;
    let bytes = 0;
    while (position < end) {
      bytes += this.tail[position]!.payload.length;
      if (position > start && bytes > maxBytes) break;
      position++;
    }
    return this.tail.slice(start, position);
  }

  /** Adds one entry at the end: the leader's way. */
  push(entry: Entry): void {
    assert(entry.index === this.lastIndex() + 1, 'an entry must follow the last one');
    this.tail.push(entry);
    this.tailBytes += entry.payload.length;
  }

  /**
   * Adds a leader's entries after a point that is known to match, replacing a conflicting suffix; entries that are
   * present already are left alone, since later ones may follow them.
   */
  merge(entries: readonly Entry[]): void {
    let position = 0;
    while (position < entries.length && this.term(entries[position]!.index) === entries[position]!.term) position++;
    if (position === entries.length) return;
    const first = entries[position]!;
    if (first.index <= this.lastIndex()) this.truncateFrom(first.index);
    for (; position < entries.length; position++) this.push(entries[position]!);
  }

  private truncateFrom(index: LogIndex): void {
    assert(index > this.commitIndex, 'a committed entry must never be replaced');
    if (index >= this.tailFirst) {
      for (let position = index - this.tailFirst; position < this.tail.length; position++) {
        this.tailBytes -= this.tail[position]!.payload.length;
      }
      this.tail.length = index - this.tailFirst;
    } else {
      this.tail = [];
      this.tailBytes = 0;
      this.tailFirst = index;
    }
    this.handedIndex = Math.min(this.handedIndex, index - 1);
    this.stableIndex = Math.min(this.stableIndex, index - 1);
    // A batch that is still being written and contained the replaced entries can confirm only what it shares with the
    // present log, even if a later batch happens to bring back an entry of the same index and term.
    for (const write of this.pendingWrites) write.validTo = Math.min(write.validTo, index - 1);
  }

  hasUnhanded(): boolean {
    return this.restoring === undefined && this.handedIndex < this.lastIndex();
  }

  /** Entries that were never handed out, each exactly once. @param inTerm the node's own term */
  takeUnhanded(inTerm: Term): readonly Entry[] {
    if (!this.hasUnhanded()) return NO_ENTRIES;
    const entries = this.tail.slice(this.handedIndex + 1 - this.tailFirst);
    const last = entries[entries.length - 1]!;
    this.pendingWrites.push({ lastIndex: last.index, lastTerm: last.term, inTerm, validTo: last.index });
    this.handedIndex = last.index;
    return entries;
  }

  /**
   * The batch that ended in (`index`, `term`) is stable, and with it all batches before it. Unknown batches are ignored.
   * @returns true when `stableIndex` moved
   */
  persisted(index: LogIndex, term: Term): boolean {
    const found = this.pendingWrites.findIndex((write) => write.lastIndex === index && write.lastTerm === term);
    if (found < 0) return false;
    const before = this.stableIndex;
    this.stableTerm = Math.max(this.stableTerm, this.pendingWrites[found]!.inTerm);
    for (let position = 0; position <= found; position++) {
      this.stableIndex = Math.max(this.stableIndex, this.pendingWrites[position]!.validTo);
    }
    this.pendingWrites.splice(0, found + 1);
    assert(this.stableIndex <= this.handedIndex, 'only what was handed out can be stable');
    this.dropTail();
    return this.stableIndex > before;
  }

  /** Gives up entries that are stored and handed out for applying; with too many bytes waiting, all that are stored. */
  private dropTail(): void {
    const keepForApply = this.tailBytes <= MAX_RETAINED_TAIL_BYTES;
    const dropTo = keepForApply ? Math.min(this.stableIndex, this.applyingIndex) : this.stableIndex;
    const count = dropTo + 1 - this.tailFirst;
    if (count <= 0) return;
    for (let position = 0; position < count; position++) this.tailBytes -= this.tail[position]!.payload.length;
    if (count === this.tail.length) this.tail = [];
    else this.tail.splice(0, count);
    this.tailFirst += count;
  }

  /** @returns true when the commit index moved */
  commitTo(index: LogIndex): boolean {
    if (index <= this.commitIndex) return false;
    assert(index <= this.lastIndex(), 'the commit index must not pass the last entry');
    this.commitIndex = index;
    return true;
  }

  /** Up to where what is committed, and so stays as it is, is on this node's stable storage. */
  get stableCommitIndex(): LogIndex {
    return Math.min(this.stableIndex, this.commitIndex);
  }

  hasCommitted(): boolean {
    return this.restoring === undefined && this.applyingIndex < this.applicableIndex();
  }

  /** What may be handed out for applying. */
  private applicableIndex(): LogIndex {
    const isFarAhead = this.tailBytes > MAX_RETAINED_TAIL_BYTES;
    return isFarAhead ? this.stableCommitIndex : this.commitIndex;
  }

  /** Committed entries that were never handed out for applying, up to `maxBytes` of payload; they were handed out to be stored. */
  takeCommitted(maxBytes: number): readonly Entry[] {
    if (!this.hasCommitted()) return NO_ENTRIES;
    const upTo = this.applicableIndex();
    assert(upTo <= this.handedIndex, 'what is applied is at the disk at least');
    const entries = this.slice(this.applyingIndex + 1, upTo + 1, maxBytes);
    assert(entries !== undefined && entries.length > 0, 'an entry that was not applied yet must still be in the log');
    this.applyingIndex += entries.length;
    this.dropTail();
    return entries;
  }

  appliedTo(index: LogIndex): void {
    assert(index >= this.appliedIndex, 'applied must never decrease');
    assert(index <= this.applyingIndex, 'only what was handed out can be applied');
    this.appliedIndex = index;
  }

  /** The log restarts after `meta`; nothing of it is used before `restored`. @param inTerm the node's own term */
  restore(meta: SnapshotMeta, inTerm: Term): void {
    assert(meta.index > this.commitIndex, 'a snapshot must not move the log backwards');
    this.restoring = { ...meta, inTerm };
    this.tail = [];
    this.tailBytes = 0;
    this.tailFirst = meta.index + 1;
    this.pendingWrites = [];
    this.handedIndex = meta.index;
    this.commitIndex = meta.index;
    this.applyingIndex = meta.index;
  }

  /** True when every entry is committed, stored and applied. */
  isSettled(): boolean {
    const last = this.lastIndex();
    return !this.isRestoring() && this.appliedIndex === last && this.commitIndex === last && this.stableIndex === last;
  }

  isRestoring(): boolean {
    return this.restoring !== undefined;
  }

  /** State machine and stored log have been replaced. */
  restored(meta: SnapshotMeta): void {
    assert(this.restoring?.index === meta.index, 'only the snapshot that was handed out can be installed');
    this.stableTerm = Math.max(this.stableTerm, this.restoring.inTerm);
    this.restoring = undefined;
    assert(this.view.firstIndex() === meta.index + 1, 'the stored log must restart after the snapshot');
    this.stableIndex = meta.index;
    this.appliedIndex = Math.max(this.appliedIndex, meta.index);
  }

  /**
   * The last index up to `index` whose term is at most `term`: where two logs may still match, found without asking for
   * one entry after the other (Raft thesis §5.3, fast backtracking).
   */
  findMatchCandidate(index: LogIndex, term: Term): { index: LogIndex; term: Term } {
    for (let candidate = Math.min(index, this.lastIndex()); candidate > 0; candidate--) {
      const candidateTerm = this.term(candidate);
      if (candidateTerm === undefined) return { index: candidate, term: 0 };
      if (candidateTerm <= term) return { index: candidate, term: candidateTerm };
    }
    return { index: 0, term: 0 };
  }
}
