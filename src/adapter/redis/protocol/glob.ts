/**
 * Redis' glob patterns over bytes: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that stands for itself. The
 * corner cases follow Redis: an unclosed class ends with the pattern, a range may be written backwards, a `\` that ends
 * the pattern stands for itself, and the empty text fits the empty pattern alone.
 */

const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;

/**
 * True when all of `text` matches `pattern`. Takes time proportional to the product of the lengths at worst: when a later
 * part fails only the last `*` is tried again, which is enough because an earlier one could only match less.
 */
export function globMatches(pattern: Buffer, text: Buffer, ignoreCase = false): boolean {
  // So it is in Redis: KEYS, SCAN and users of ACL, for whom `*` is everything, look for that by itself.
  if (text.length === 0) return pattern.length === 0;
  let p = 0;
  let t = 0;
  let starAt = -1;
  let retryFrom = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === STAR) {
      starAt = p++;
      retryFrom = t;
      continue;
    }
    const step = p < pattern.length ? matchOne(pattern, p, text[t]!, ignoreCase) : -1;
    if (step >= 0) {
      p = step;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++retryFrom;
    } else {
      return false;
    }
  }
  while (p < pattern.length && pattern[p] === STAR) p++;
  return p === pattern.length;
}

const fold = (byte: number, ignoreCase: boolean): number =>
  ignoreCase && byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;

/** Matches one byte with the pattern's element at `p`. @returns where the next element starts, or -1 */
function matchOne(pattern: Buffer, p: number, byte: number, ignoreCase: boolean): number {
  const element = pattern[p]!;
  if (element === QUESTION) return p + 1;
  if (element === OPEN) return matchClass(pattern, p + 1, byte, ignoreCase);
  const at = element === BACKSLASH && p + 1 < pattern.length ? p + 1 : p;
  return fold(pattern[at]!, ignoreCase) === fold(byte, ignoreCase) ? at + 1 : -1;
}

/** Matches one byte with a class whose first byte behind `[` is at `p`. @returns where the next element starts, or -1 */
function matchClass(pattern: Buffer, from: number, byte: number, ignoreCase: boolean): number {
  const wanted = fold(byte, ignoreCase);
  let p = from;
  const negated = pattern[p] === CARET;
  if (negated) p++;
  let found = false;
  for (;;) {
    if (p >= pattern.length) break;
    if (pattern[p] === BACKSLASH && p + 1 < pattern.length) {
      p++;
      if (fold(pattern[p]!, ignoreCase) === wanted) found = true;
    } else if (pattern[p] === CLOSE) {
      p++;
      break;
    } else if (p + 2 < pattern.length && pattern[p + 1] === MINUS) {
      const low = fold(pattern[p]!, ignoreCase);
      const high = fold(pattern[p + 2]!, ignoreCase);
      if (wanted >= Math.min(low, high) && wanted <= Math.max(low, high)) found = true;
      p += 2;
    } else if (fold(pattern[p]!, ignoreCase) === wanted) {
      found = true;
    }
    p++;
  }
  return found !== negated ? p : -1;
}
