/**
 * LZF, as Redis compresses strings in its files. Runs of bytes as they are, and references to bytes before:
 *
 *   000LLLLL                     L + 1 bytes follow
 *   LLLooooo oooooooo            L + 2 bytes (L below 7) from o + 1 bytes before
 *   111ooooo LLLLLLLL oooooooo   L + 9 bytes from o + 1 bytes before
 */
import { RdbFormatError } from './errors.ts';

const HASH_BITS = 16;
const MAX_PLACE = 0x7fff_ffff;
const MAX_LITERALS = 32;
const MAX_OFFSET = 1 << 13;
const MAX_REFERENCE = 264;
/** A reference of three bytes stands for 264. */
const MAX_RATIO = 88;

/**
 * Where three bytes were seen last, by their hash. Clearing it for each string would cost more than all the rest, since most are short: places are
 * counted over all strings, and those below the string's own base are of others.
 */
const places = new Int32Array(1 << HASH_BITS);
/** Above all places of the strings before. */
let nextBase = 1;

/** The base of a string of so many bytes. */
function baseFor(length: number): number {
  if (nextBase + length > MAX_PLACE) {
    places.fill(0);
    nextBase = 1;
  }
  const base = nextBase;
  nextBase += length;
  return base;
}

/** @returns undefined when the result would have more than `limit` bytes */
export function compressLzf(bytes: Buffer, limit: number): Buffer | undefined {
  const out = Buffer.allocUnsafe(limit + MAX_LITERALS + 4);
  const base = baseFor(bytes.length);
  let at = 0;
  let written = 0;
  let literals = 0;
  const endLiterals = (): void => {
    if (literals === 0) return;
    out[written++] = literals - 1;
    written += bytes.copy(out, written, at - literals, at);
    literals = 0;
  };
  while (at < bytes.length) {
    if (written + literals > limit) return undefined;
    const match = at + 2 < bytes.length ? findMatch(bytes, at, base) : -1;
    if (match < 0) {
      literals++;
      at++;
      if (literals === MAX_LITERALS) endLiterals();
      continue;
    }
    endLiterals();
    const longest = Math.min(MAX_REFERENCE, bytes.length - at);
    let length = 3;
    while (length < longest && bytes[match + length] === bytes[at + length]) length++;
    const offset = at - match - 1;
    const rest = length - 2;
    if (rest < 7) out[written++] = (offset >> 8) | (rest << 5);
    else {
      out[written++] = (offset >> 8) | (7 << 5);
      out[written++] = rest - 7;
    }
    out[written++] = offset & 0xff;
    at += length;
  }
  endLiterals();
  return written <= limit ? out.subarray(0, written) : undefined;
}

/** Where the three bytes at `at` were seen last, near enough to be referred to; -1 for nowhere. Notes them. */
function findMatch(bytes: Buffer, at: number, base: number): number {
  const three = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  const slot = Math.imul(three, 0x9e3779b1) >>> (32 - HASH_BITS);
  const match = places[slot]! - base;
  places[slot] = base + at;
  const isSame =
    match >= 0 &&
    at - match <= MAX_OFFSET &&
    bytes[match] === bytes[at] &&
    bytes[match + 1] === bytes[at + 1] &&
    bytes[match + 2] === bytes[at + 2];
  return isSame ? match : -1;
}

/** @param length of the result, as the file claims; nothing is allocated that could not be so long. @throws RdbFormatError */
export function decompressLzf(bytes: Buffer, length: number): Buffer {
  if (length > bytes.length * MAX_RATIO) throw new RdbFormatError('a compressed string cannot be so long');
  const out = Buffer.allocUnsafe(length);
  let written = 0;
  let at = 0;
  while (at < bytes.length) {
    const control = bytes[at++]!;
    if (control < MAX_LITERALS) {
      const count = control + 1;
      if (at + count > bytes.length || written + count > length) throw damaged();
      written += bytes.copy(out, written, at, at + count);
      at += count;
      continue;
    }
    let count = control >> 5;
    if (count === 7) count += bytes[at++] ?? 0;
    count += 2;
    const from = written - ((control & 0x1f) << 8) - (bytes[at++] ?? 0) - 1;
    if (at > bytes.length || from < 0 || written + count > length) throw damaged();
    // What is referred to may reach into what it becomes.
    for (let nth = 0; nth < count; nth++) out[written + nth] = out[from + nth]!;
    written += count;
  }
  if (written !== length) throw damaged();
  return out;
}

const damaged = (): RdbFormatError => new RdbFormatError('a compressed string is damaged');
