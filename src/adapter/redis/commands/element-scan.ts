/** What HSCAN, SSCAN and ZSCAN have in common: their arguments, and which elements of a part they answer. */
import { cursorArgument, errors, globMatches, integerArgument, optionName } from '../protocol/index.ts';

const DEFAULT_COUNT = 10n;
/** More elements in one reply would hold a leader up for too long; a scan may always answer fewer and a cursor. */
const MAX_COUNT = 10_000n;
const MATCH_ALL = Buffer.from('*');

/** What a call of a scan asks for. */
export interface ElementScan {
  /** How many elements to look at, at least, if there are so many. */
  readonly atLeast: number;
  /** True for elements that are answered. */
  matches(name: Buffer): boolean;
  /** Whether values are left out, too: HSCAN's NOVALUES. */
  readonly withoutValues: boolean;
}

/**
 * Where a scan goes on. Bodies take any number, and theirs are small: what is larger was never answered by one and begins where the highest
 * number does.
 * @throws RedisError `ERR invalid cursor`
 */
export function elementCursor(argument: Buffer): number {
  const cursor = cursorArgument(argument);
  return cursor > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(cursor);
}

/**
 * Reads the options behind key and cursor. Redis looks at the key before it looks at these: a key that does not exist, or is of another type,
 * answers whatever they are.
 * @param knowsNoValues whether NOVALUES is an option
 */
export function parseElementScan(args: readonly Buffer[], knowsNoValues: boolean): ElementScan {
  let pattern: Buffer | undefined;
  let count = DEFAULT_COUNT;
  let withoutValues = false;
  for (let index = 3; index < args.length; index++) {
    const option = optionName(args[index]!);
    const value = args[index + 1];
    if (option === 'COUNT' && value !== undefined) {
      count = integerArgument(value);
      if (count < 1n) throw errors.syntax();
      index++;
    } else if (option === 'MATCH' && value !== undefined) {
      pattern = value.equals(MATCH_ALL) ? undefined : value;
      index++;
    } else if (option === 'NOVALUES' && knowsNoValues) {
      withoutValues = true;
    } else {
      throw errors.syntax();
    }
  }
  return {
    atLeast: Number(count > MAX_COUNT ? MAX_COUNT : count),
    matches: (name) => pattern === undefined || globMatches(pattern, name),
    withoutValues,
  };
}
