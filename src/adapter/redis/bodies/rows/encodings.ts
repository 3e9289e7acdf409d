/**
 * Which encoding Redis would give to a value, as far as it depends on settings. Nothing here decides how a value is laid out: what a write
 * finds to be beyond a threshold is noted in the head, and OBJECT ENCODING tells it from then on, on every node and whatever the threshold
 * becomes.
 */

export interface EncodingThresholds {
  /** Most fields of a listpack (hash-max-listpack-entries). */
  readonly hashFields: number;
  /** Longest field or value in a listpack, bytes (hash-max-listpack-value). */
  readonly hashBytes: number;
  /** Most members of an intset (set-max-intset-entries). */
  readonly setIntegers: number;
  /** Most members of a sorted set in a listpack (zset-max-listpack-entries). */
  readonly orderMembers: number;
  /** Longest member of a sorted set in a listpack, bytes (zset-max-listpack-value). */
  readonly orderBytes: number;
  /** Longest sparse HyperLogLog, bytes (hll-sparse-max-bytes). */
  readonly sketchBytes: number;
}

/** What Redis 7.0 has when nobody sets anything. */
export const DEFAULT_ENCODINGS: EncodingThresholds = {
  hashFields: 512,
  hashBytes: 64,
  setIntegers: 512,
  orderMembers: 128,
  orderBytes: 64,
  sketchBytes: 3000,
};
