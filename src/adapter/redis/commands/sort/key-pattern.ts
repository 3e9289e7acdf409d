/**
 * Patterns of SORT's BY and GET: the first `*` stands for an element, and makes the key of a string, or of a hash whose field follows `->`.
 * As in Redis, a zero byte ends what is looked through for `#`, `*` and `->`.
 */
import { type HashBody, openHash, wholeOf } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { readValue, type TypedValue, ValueType } from '../../values/index.ts';

const STAR = 0x2a;
const ARROW = Buffer.from('->');
/** Elements whose keys are asked for at one time where values come from afar: a replica reads so many in a turn. */
const BATCH = 4_096;

/** Where what C would see of some bytes ends. */
export const zeroByteIn = (bytes: Buffer, from = 0): number => {
  const at = bytes.indexOf(0, from);
  return at < 0 ? bytes.length : at;
};

/** Whether a pattern is `#`, which stands for the element itself. */
export const isElementPattern = (pattern: Buffer): boolean =>
  pattern.toString('latin1', 0, zeroByteIn(pattern)) === '#';

/** Where the element goes in a pattern; undefined when it has no place. */
export function starIn(pattern: Buffer): number | undefined {
  const at = pattern.subarray(0, zeroByteIn(pattern)).indexOf(STAR);
  return at < 0 ? undefined : at;
}

/** A pattern taken apart. */
class KeyPattern {
  private readonly prefix: Buffer;
  private readonly suffix: Buffer;
  /** The field of a hash; undefined for strings. */
  readonly field: Buffer | undefined;

  constructor(pattern: Buffer, star: number) {
    const arrow = pattern.subarray(0, zeroByteIn(pattern, star)).indexOf(ARROW, star + 1);
    // Nothing behind the arrow is no field: the arrow is part of the key.
    const hasField = arrow >= 0 && arrow + ARROW.length < zeroByteIn(pattern, star);
    this.prefix = pattern.subarray(0, star);
    this.suffix = pattern.subarray(star + 1, hasField ? arrow : pattern.length);
    this.field = hasField ? pattern.subarray(arrow + ARROW.length) : undefined;
  }

  keyFor(element: Buffer): Buffer {
    return Buffer.concat([this.prefix, element, this.suffix]);
  }
}

/** The values that a pattern finds for elements: undefined where there is no key, no field, or something else. */
export function lookUp(
  ctx: CommandContext,
  pattern: Buffer,
  elements: readonly Buffer[],
): readonly (Buffer | undefined)[] {
  if (isElementPattern(pattern)) return elements;
  const star = starIn(pattern);
  if (star === undefined) return elements.map(() => undefined);
  const parsed = new KeyPattern(pattern, star);
  const found: (Buffer | undefined)[] = [];
  for (let from = 0; from < elements.length; from += BATCH) {
    const keys = elements.slice(from, from + BATCH).map((element) => parsed.keyFor(element));
    ctx.view.prefetch?.(keys.map((key) => ctx.storageKey(key)));
    const { field } = parsed;
    const values = field === undefined ? keys.map((key) => stringAt(ctx, key)) : fieldsAt(ctx, keys, field);
    for (const value of values) found.push(value);
  }
  return found;
}

function valueAt(ctx: CommandContext, key: Buffer): TypedValue | undefined {
  const value = readValue(ctx, key);
  if (value === undefined) ctx.event('missed', 'keymiss', key);
  return value;
}

function stringAt(ctx: CommandContext, key: Buffer): Buffer | undefined {
  const value = valueAt(ctx, key);
  return value?.type === ValueType.String ? wholeOf(ctx, key, value) : undefined;
}

function fieldsAt(ctx: CommandContext, keys: readonly Buffer[], field: Buffer): (Buffer | undefined)[] {
  const hashes = keys.map((key): HashBody | undefined =>
    valueAt(ctx, key)?.type === ValueType.Hash ? openHash(ctx, key) : undefined,
  );
  const names = [field];
  ctx.view.prefetch?.(hashes.flatMap((hash) => hash?.rowsOf(names) ?? []));
  return hashes.map((hash) => hash?.get(field));
}
