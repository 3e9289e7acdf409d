/**
 * The kept part of the change log: the encoded deltas of versions `[floor, version]`, without a hole. What a watcher is
 * sent, and what makes a repeated batch find its first answer.
 *
 * Immutable to its users: a longer log shares the array of its predecessor and only appends behind its end.
 */
import { assert } from '../../platform/index.ts';
import { type CatalogDelta, type CatalogVersion, decodeDelta } from '../contract/index.ts';

/** How much of the change log is kept. A delta goes when all of the first three allow it, or when `maxBytes` demands it. */
export interface RetentionPolicy {
  readonly minVersions: number;
  readonly minAgeMs: number;
  /** Hard limit on all kept deltas, whoever still needs them; the newest delta always stays. */
  readonly maxBytes: number;
  /** Most deltas that one commit removes, so that its entry stays small. */
  readonly maxTrimmedPerCommit: number;
}

/** 16,384 versions, one hour and the slowest watcher, up to 64 MiB. */
export const DEFAULT_RETENTION: RetentionPolicy = {
  minVersions: 16_384,
  minAgeMs: 3_600_000,
  maxBytes: 64 * 1024 * 1024,
  maxTrimmedPerCommit: 1_024,
};

interface Kept {
  readonly encoded: Buffer;
  readonly committedMs: number;
  readonly batchId: Buffer | undefined;
}

/** See the top of the file. */
export class ChangeLog {
  /** Version of the oldest kept delta; one above the newest version when none is kept. */
  readonly floor: CatalogVersion;
  /** Bytes of all kept deltas. */
  readonly sizeBytes: number;
  /** Shared with longer logs; this one owns `[from, to)`. */
  private readonly shared: Kept[];
  private readonly from: number;
  private readonly to: number;

  private constructor(floor: CatalogVersion, sizeBytes: number, shared: Kept[], from: number, to: number) {
    this.floor = floor;
    this.sizeBytes = sizeBytes;
    this.shared = shared;
    this.from = from;
    this.to = to;
  }

  /** A log without deltas whose first one will be `floor`. */
  static empty(floor: CatalogVersion): ChangeLog {
    return new ChangeLog(floor, 0, [], 0, 0);
  }

  get count(): number {
    return this.to - this.from;
  }

  /** Newest version that the log leads to. */
  get version(): CatalogVersion {
    return this.floor + this.count - 1;
  }

  /** The log with the next delta. */
  append(delta: CatalogDelta, encoded: Buffer): ChangeLog {
    assert(delta.version === this.version + 1, 'the change log has no holes');
    // Somebody else already made this log longer: the place behind its end is taken.
    const isTaken = this.shared.length > this.to;
    const shared = isTaken ? this.shared.slice(this.from, this.to) : this.shared;
    const from = isTaken ? 0 : this.from;
    shared.push({ encoded, committedMs: delta.committedMs, batchId: delta.batchId });
    return new ChangeLog(this.floor, this.sizeBytes + encoded.length, shared, from, from + this.count + 1);
  }

  /** The log without the deltas below `floor`. */
  trim(floor: CatalogVersion): ChangeLog {
    assert(floor >= this.floor && floor <= this.version + 1, 'the floor of the change log only rises');
    let from = this.from;
    let sizeBytes = this.sizeBytes;
    for (const end = this.from + (floor - this.floor); from < end; from++)
      sizeBytes -= this.shared[from]!.encoded.length;
    // Forget the removed half at last, so that its memory is given back and the copying stays linear overall.
    if (from > 64 && from > this.shared.length / 2) {
      const shared = this.shared.slice(from, this.to);
      return new ChangeLog(floor, sizeBytes, shared, 0, shared.length);
    }
    return new ChangeLog(floor, sizeBytes, this.shared, from, this.to);
  }

  /**
   * Floor that the next commit should leave behind.
   * @param addedBytes size of the delta that it adds
   * @param slowestCursor version that the slowest registered watcher has, or undefined when none is registered
   */
  nextFloor(
    policy: RetentionPolicy,
    nowMs: number,
    addedBytes: number,
    slowestCursor: CatalogVersion | undefined,
  ): CatalogVersion {
    let floor = this.floor;
    let bytes = this.sizeBytes + addedBytes;
    const last = Math.min(this.version, this.floor + policy.maxTrimmedPerCommit - 1);
    for (let version = this.floor; version <= last; version++) {
      const kept = this.shared[this.from + (version - this.floor)]!;
      const isFree =
        this.version + 1 - version >= policy.minVersions &&
        nowMs - kept.committedMs > policy.minAgeMs &&
        (slowestCursor === undefined || version <= slowestCursor);
      if (!isFree && bytes <= policy.maxBytes) break;
      bytes -= kept.encoded.length;
      floor = version + 1;
    }
    return floor;
  }

  /** The encoded delta of a version; undefined below the floor and above the newest version. */
  encoded(version: CatalogVersion): Buffer | undefined {
    return version < this.floor || version > this.version
      ? undefined
      : this.shared[this.from + (version - this.floor)]!.encoded;
  }

  /** The delta of a version; undefined below the floor and above the newest version. */
  delta(version: CatalogVersion): CatalogDelta | undefined {
    const encoded = this.encoded(version);
    return encoded === undefined ? undefined : decodeDelta(encoded);
  }

  /** The delta that a batch made, while it is kept. */
  deltaOfBatch(batchId: Buffer): CatalogDelta | undefined {
    for (let at = this.to - 1; at >= this.from; at--) {
      const kept = this.shared[at]!;
      if (kept.batchId?.equals(batchId) === true) return decodeDelta(kept.encoded);
    }
    return undefined;
  }
}
