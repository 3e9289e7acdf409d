/** What bodies need from whoever evaluates a command. */
import type { KeyView } from '../../../../kv/index.ts';
import type { Random } from '../../../../platform/index.ts';
import type { EncodingThresholds } from './encodings.ts';

/** The state that a command reads and writes; a `KeyView` is one. */
export type Rows = Pick<KeyView, 'ts' | 'get' | 'prefetch' | 'hasWholeObjects' | 'put' | 'delete'>;

/**
 * How bodies are laid out. None of these is part of the format: a body that was written with other limits is read all the same, and takes
 * these on as it is changed.
 */
export interface BodyLimits {
  /** Most bytes that the elements of a packed body take in its head. */
  readonly packedBytes: number;
  /** Most elements of a packed body. */
  readonly packedElements: number;
  /** Most bytes of a row that holds several elements, and of an element that is a row: such rows are stored inline and are cached. */
  readonly pageBytes: number;
  /** Longest element inside a page, bytes; at most three eighths of a page. A longer one has a row of its own. */
  readonly inlineBytes: number;
  /** How many bytes of a key with a row of its own stay in the page, so that most comparisons need no other row. */
  readonly prefixBytes: number;
  /** Most names in a page of a roster: bounds the tries of a uniform draw. */
  readonly rosterNames: number;
  /** Most children of a page without counts: a rank reads at most half of them. */
  readonly childrenWithoutCounts: number;
  /** Lowest level of an ordered tree whose pages count what is below each child; leaves are level 0. For trees made anew. */
  readonly countLevel: number;
  /** A command that removes more elements than this, and more than half, writes what stays anew. */
  readonly rebuildAbove: number;
  /** Longest string that stays in its head when a part of it is changed, bytes. */
  readonly plainStringBytes: number;
  /** Bytes of a chunk of a string, and most chunks of one: a longer string has chunks of twice the size, and so on. */
  readonly chunkBytes: number;
  readonly maxChunks: number;
}

/** Two kinds of rows are bounded by what the store keeps inline and cached (512 bytes). */
export const DEFAULT_BODY_LIMITS: BodyLimits = {
  packedBytes: 496,
  packedElements: 128,
  pageBytes: 512,
  inlineBytes: 192,
  prefixBytes: 48,
  rosterNames: 64,
  childrenWithoutCounts: 24,
  countLevel: 2,
  rebuildAbove: 256,
  plainStringBytes: 4_096,
  chunkBytes: 512,
  maxChunks: 1_000,
};

/** All rows of a body, that are to be under another head and another incarnation too. */
export interface RowsCopy {
  readonly from: Buffer;
  readonly incarnation: Buffer;
  readonly to: Buffer;
  readonly newIncarnation: Buffer;
}

export type CopyRows = (copy: RowsCopy) => void;

/** The way to the bodies of one database. */
export interface BodyAccess {
  readonly view: Rows;
  /** Storage key of a user's key in the selected database. */
  storageKey(userKey: Buffer): Buffer;
  /** Where incarnations and random elements come from. */
  readonly random: Random;
  readonly bodyLimits: BodyLimits;
  /** What OBJECT ENCODING calls what is written from now on. */
  readonly encodings: EncodingThresholds;
  /**
   * Whether every node of the cluster can read what release 0.1.0 could not: heads, their rows, long strings in parts. Asked before a head is
   * made where there was none.
   */
  readonly mayCreateBodies: boolean;
  /** The same for streams, which came later. */
  readonly mayCreateStreams: boolean;
  /** Sees to it that rows are copied before the head that names the copies is written; undefined: they have to be read and written. */
  readonly copyRows?: CopyRows | undefined;
}
