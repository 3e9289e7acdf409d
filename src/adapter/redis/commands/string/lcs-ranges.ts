/** Longest common subsequence of two byte strings, by the table of the lengths of all prefixes' subsequences. */

/** A run of bytes that both strings have, by first and last position. */
export interface CommonRange {
  readonly a: readonly [first: number, last: number];
  readonly b: readonly [first: number, last: number];
}

export interface CommonSubsequence {
  readonly bytes: Buffer;
  /** From the end of the strings to their start. */
  readonly ranges: readonly CommonRange[];
}

/** Bytes of the table for strings of these lengths. */
export const lcsTableBytes = (aBytes: number, bBytes: number): number => (aBytes + 1) * (bBytes + 1) * 4;

/**
 * One of the longest subsequences common to `a` and `b`, the one that Redis answers, and where its runs lie in both. Takes
 * `lcsTableBytes` of memory while it runs; the caller checks that first.
 */
export function longestCommonSubsequence(a: Buffer, b: Buffer): CommonSubsequence {
  const width = b.length + 1;
  const lengths = lengthTable(a, b);
  const bytes = Buffer.alloc(lengths[lengths.length - 1]!);
  const ranges: CommonRange[] = [];
  let rest = bytes.length;
  /** Length of the run that was found and not yet emitted; it starts at (i, j). */
  let run = 0;
  let i = a.length;
  let j = b.length;
  const emit = (): void => {
    if (run > 0) ranges.push({ a: [i, i + run - 1], b: [j, j + run - 1] });
    run = 0;
  };
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      i--;
      j--;
      run++;
      bytes[--rest] = a[i]!;
    } else {
      emit();
      if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) i--;
      else j--;
    }
  }
  emit();
  return { bytes, ranges };
}

/**
 * Row by row: element (i, j) is the length for the first i bytes of `a` and the first j of `b`. Without branches, because nobody can foretell which bytes are
 * the same: that takes half of the time.
 */
function lengthTable(a: Buffer, b: Buffer): Uint32Array {
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    const row = i * width;
    const byte = a[i - 1]!;
    let left = 0;
    let diagonal = 0;
    for (let j = 1; j <= b.length; j++) {
      const above = lengths[row - width + j]! | 0;
      /** All bits when the bytes are the same, else none. */
      const isSame = ((byte ^ b[j - 1]!) - 1) >> 31;
      const rise = above - left;
      const most = left + (rise & ~(rise >> 31));
      left = most ^ ((most ^ (diagonal + 1)) & isSame);
      lengths[row + j] = left;
      diagonal = above;
    }
  }
  return lengths;
}
