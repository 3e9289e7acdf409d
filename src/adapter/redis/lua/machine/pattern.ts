/**
 * Lua's patterns (Reference Manual 5.1, section 5.4.1), with a count of the work: a pattern with a few repetitions in a row takes for ever on a text that
 * nearly matches, and Lua's own search cannot be interrupted.
 */

const ESCAPE = 0x25;
const OPEN = 0x28;
const CLOSE = 0x29;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const CARET = 0x5e;
const DOLLAR = 0x24;
const DOT = 0x2e;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const QUESTION = 0x3f;
const ZERO = 0x30;
const NINE = 0x39;
const SMALL_B = 0x62;
const SMALL_F = 0x66;

const MAX_CAPTURES = 32;
/** Repetitions and captures inside each other. */
const MAX_DEPTH = 1_000;
/** Steps between two looks at how much was done. */
const STEPS_A_LOOK = 1_024;
/** Lengths of captures that have none. */
const UNFINISHED = -1;
const POSITION = -2;
const NO_MATCH = -1;

/** The pattern makes no sense; the message is Lua's. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/** What was captured: bytes, or a position in the text that counts from 1. */
export type Capture = Buffer | number;

/** Bit sets of characters, by the small letter of a class. */
const CLASSES = new Map<number, (character: number) => boolean>([
  [0x61, isLetter],
  [0x63, (character) => character < 0x20 || character === 0x7f],
  [0x64, isDigit],
  [0x6c, isSmall],
  [0x70, (character) => character > 0x20 && character < 0x7f && !isLetter(character) && !isDigit(character)],
  [0x73, (character) => character === 0x20 || (character >= 0x09 && character <= 0x0d)],
  [0x75, isCapital],
  [0x77, (character) => isLetter(character) || isDigit(character)],
  [0x78, (character) => isDigit(character) || (isLetter(character) && (character | 0x20) <= 0x66)],
  [0x7a, (character) => character === 0],
]);

function isDigit(character: number): boolean {
  return character >= ZERO && character <= NINE;
}

function isSmall(character: number): boolean {
  return character >= 0x61 && character <= 0x7a;
}

function isCapital(character: number): boolean {
  return character >= 0x41 && character <= 0x5a;
}

function isLetter(character: number): boolean {
  return isSmall(character | 0x20) && character < 0x80;
}

const SPECIALS = new Set(Buffer.from('^$*+?.([%-'));

/** Whether a pattern is a plain text. Lua looks at what is in front of the first zero byte only. */
export function isPlain(pattern: Buffer): boolean {
  for (const character of pattern) {
    if (character === 0) return true;
    if (SPECIALS.has(character)) return false;
  }
  return true;
}

/** One text and one pattern. */
export class PatternMatcher {
  private readonly text: Buffer;
  /** Ends with a zero byte, as everything that Lua looks at. */
  private readonly pattern: Buffer;
  /** Where the pattern begins: behind the sign that ties it to the place. */
  private readonly begin: number;
  private readonly onSteps: (steps: number) => void;
  private readonly starts: number[] = [];
  private readonly lengths: number[] = [];
  private level = 0;
  private depth = 0;
  private steps = 0;
  private matchStart = 0;
  private matchEnd = 0;
  /** The pattern is tied to where the search begins. */
  readonly isAnchored: boolean;

  /**
   * @param mayBeAnchored a sign in front ties the pattern to the place
   * @param onSteps is told of work that was done; may throw
   */
  constructor(text: Buffer, pattern: Buffer, mayBeAnchored: boolean, onSteps: (steps: number) => void) {
    this.text = text;
    const end = pattern.indexOf(0);
    this.pattern = Buffer.alloc((end < 0 ? pattern.length : end) + 1);
    pattern.copy(this.pattern, 0, 0, this.pattern.length - 1);
    this.isAnchored = mayBeAnchored && this.pattern[0] === CARET;
    this.begin = this.isAnchored ? 1 : 0;
    this.onSteps = onSteps;
  }

  /** Where the last match begins. */
  get start(): number {
    return this.matchStart;
  }

  /** The byte behind the last match. */
  get end(): number {
    return this.matchEnd;
  }

  /** The bytes of the last match. */
  get whole(): Buffer {
    return this.text.subarray(this.matchStart, this.matchEnd);
  }

  /** Looks for a match that begins at `from`. @throws PatternError */
  matchAt(from: number): boolean {
    this.level = 0;
    this.depth = 0;
    const end = this.match(from, this.begin);
    if (end === NO_MATCH) return false;
    this.matchStart = from;
    this.matchEnd = end;
    return true;
  }

  /** Looks for the first match from `from` on. @throws PatternError */
  search(from: number): boolean {
    for (let at = from; at <= this.text.length; at++) {
      if (this.matchAt(at)) return true;
      if (this.isAnchored) return false;
      this.count();
    }
    return false;
  }

  /** How many captures the last match has; without any, the whole of it counts where `orWhole`. */
  captureCount(orWhole: boolean): number {
    return this.level === 0 && orWhole ? 1 : this.level;
  }

  /** A capture of the last match, from 0 on. @throws PatternError */
  capture(index: number): Capture {
    if (index >= this.level) {
      if (index !== 0) throw new PatternError('invalid capture index');
      return this.whole;
    }
    const length = this.lengths[index]!;
    if (length === UNFINISHED) throw new PatternError('unfinished capture');
    const start = this.starts[index]!;
    return length === POSITION ? start + 1 : this.text.subarray(start, start + length);
  }

  private count(): void {
    this.steps += 1;
    if (this.steps < STEPS_A_LOOK) return;
    this.steps = 0;
    this.onSteps(STEPS_A_LOOK);
  }

  /** @returns the byte behind the match of the pattern from `p` on with the text from `s` on */
  private match(s: number, p: number): number {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new PatternError('pattern too complex');
    const end = this.matchRest(s, p);
    this.depth -= 1;
    return end;
  }

  private matchRest(from: number, begin: number): number {
    const { text, pattern } = this;
    let s = from;
    let p = begin;
    for (;;) {
      this.count();
      const sign = pattern[p]!;
      if (sign === 0) return s;
      if (sign === OPEN)
        return pattern[p + 1] === CLOSE ? this.openCapture(s, p + 2, POSITION) : this.openCapture(s, p + 1, UNFINISHED);
      if (sign === CLOSE) return this.closeCapture(s, p + 1);
      if (sign === DOLLAR && pattern[p + 1] === 0) return s === text.length ? s : NO_MATCH;
      if (sign === ESCAPE) {
        const next = pattern[p + 1]!;
        if (next === SMALL_B) {
          s = this.matchBalanced(s, p + 2);
          if (s === NO_MATCH) return NO_MATCH;
          p += 4;
          continue;
        }
        if (next === SMALL_F) {
          p += 2;
          if (pattern[p] !== BRACKET) throw new PatternError("missing '[' after '%f' in pattern");
          const set = this.itemEnd(p);
          const before = s === 0 ? 0 : text[s - 1]!;
          if (this.isInSet(before, p, set - 1) || !this.isInSet(text[s] ?? 0, p, set - 1)) return NO_MATCH;
          p = set;
          continue;
        }
        if (isDigit(next)) {
          s = this.matchCaptured(s, next);
          if (s === NO_MATCH) return NO_MATCH;
          p += 2;
          continue;
        }
      }
      const item = this.itemEnd(p);
      const isMatch = s < text.length && this.isOne(text[s]!, p, item);
      switch (pattern[item]) {
        case QUESTION: {
          const end = isMatch ? this.match(s + 1, item + 1) : NO_MATCH;
          if (end !== NO_MATCH) return end;
          p = item + 1;
          break;
        }
        case STAR:
          return this.expandMost(s, p, item);
        case PLUS:
          return isMatch ? this.expandMost(s + 1, p, item) : NO_MATCH;
        case MINUS:
          return this.expandLeast(s, p, item);
        default:
          if (!isMatch) return NO_MATCH;
          s += 1;
          p = item;
      }
    }
  }

  private expandMost(s: number, p: number, item: number): number {
    let most = s;
    while (most < this.text.length && this.isOne(this.text[most]!, p, item)) {
      most += 1;
      this.count();
    }
    for (let at = most; at >= s; at--) {
      const end = this.match(at, item + 1);
      if (end !== NO_MATCH) return end;
    }
    return NO_MATCH;
  }

  private expandLeast(s: number, p: number, item: number): number {
    for (let at = s; ; at++) {
      const end = this.match(at, item + 1);
      if (end !== NO_MATCH) return end;
      if (at >= this.text.length || !this.isOne(this.text[at]!, p, item)) return NO_MATCH;
    }
  }

  private openCapture(s: number, p: number, length: number): number {
    const { level } = this;
    if (level >= MAX_CAPTURES) throw new PatternError('too many captures');
    this.starts[level] = s;
    this.lengths[level] = length;
    this.level = level + 1;
    const end = this.match(s, p);
    if (end === NO_MATCH) this.level -= 1;
    return end;
  }

  private closeCapture(s: number, p: number): number {
    let open = this.level - 1;
    while (open >= 0 && this.lengths[open] !== UNFINISHED) open--;
    if (open < 0) throw new PatternError('invalid pattern capture');
    this.lengths[open] = s - this.starts[open]!;
    const end = this.match(s, p);
    if (end === NO_MATCH) this.lengths[open] = UNFINISHED;
    return end;
  }

  private matchCaptured(s: number, digit: number): number {
    const index = digit - ZERO - 1;
    if (index < 0 || index >= this.level || this.lengths[index] === UNFINISHED)
      throw new PatternError('invalid capture index');
    const start = this.starts[index]!;
    // A position has no bytes: Lua takes its mark for a length beyond every text.
    const length = this.lengths[index]!;
    if (length === POSITION || this.text.length - s < length) return NO_MATCH;
    return this.text.compare(this.text, start, start + length, s, s + length) === 0 ? s + length : NO_MATCH;
  }

  private matchBalanced(s: number, p: number): number {
    const [open, close] = [this.pattern[p]!, this.pattern[p + 1]];
    if (open === 0 || close === 0) throw new PatternError('unbalanced pattern');
    if (this.text[s] !== open) return NO_MATCH;
    let depth = 1;
    for (let at = s + 1; at < this.text.length; at++) {
      this.count();
      const character = this.text[at];
      if (character === close) {
        depth -= 1;
        if (depth === 0) return at + 1;
      } else if (character === open) depth += 1;
    }
    return NO_MATCH;
  }

  /** The byte behind the item of the pattern that begins at `p`. */
  private itemEnd(p: number): number {
    const { pattern } = this;
    const sign = pattern[p]!;
    if (sign === ESCAPE) {
      if (pattern[p + 1] === 0) throw new PatternError("malformed pattern (ends with '%')");
      return p + 2;
    }
    if (sign !== BRACKET) return p + 1;
    let at = pattern[p + 1] === CARET ? p + 2 : p + 1;
    do {
      const character = pattern[at];
      if (character === 0 || character === undefined) throw new PatternError("malformed pattern (missing ']')");
      at += 1;
      if (character === ESCAPE && pattern[at] !== 0) at += 1;
    } while (pattern[at] !== BRACKET_END);
    return at + 1;
  }

  /** Whether a character is what the item from `p` to `item` stands for. */
  private isOne(character: number, p: number, item: number): boolean {
    const sign = this.pattern[p]!;
    if (sign === DOT) return true;
    if (sign === ESCAPE) return isOfClass(character, this.pattern[p + 1]!);
    if (sign === BRACKET) return this.isInSet(character, p, item - 1);
    return sign === character;
  }

  /** @param end where the set's closing bracket stands */
  private isInSet(character: number, begin: number, end: number): boolean {
    const { pattern } = this;
    let p = begin + 1;
    const isNegative = pattern[p] === CARET;
    if (isNegative) p += 1;
    for (; p < end; p++) {
      this.count();
      const sign = pattern[p]!;
      if (sign === ESCAPE) {
        p += 1;
        if (isOfClass(character, pattern[p]!)) return !isNegative;
      } else if (pattern[p + 1] === MINUS && p + 2 < end) {
        p += 2;
        if (sign <= character && character <= pattern[p]!) return !isNegative;
      } else if (sign === character) return !isNegative;
    }
    return isNegative;
  }
}

/** @param letter of a class; anything else stands for itself */
function isOfClass(character: number, letter: number): boolean {
  const is = isLetter(letter) ? CLASSES.get(letter | 0x20) : undefined;
  if (is === undefined) return letter === character;
  return is(character) !== isCapital(letter);
}
