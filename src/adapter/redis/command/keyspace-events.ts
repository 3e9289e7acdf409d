/**
 * Keyspace events: what a command has done to a key, for those who listen to `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`. Which of
 * them anybody wants is a setting of the cluster, in the letters of Redis' `notify-keyspace-events`.
 */

/** What an event is about, with the bit that it has in `EventFlags`; the bits go nowhere else. */
const BITS = {
  generic: 1 << 0,
  string: 1 << 1,
  list: 1 << 2,
  set: 1 << 3,
  hash: 1 << 4,
  zset: 1 << 5,
  expired: 1 << 6,
  evicted: 1 << 7,
  stream: 1 << 8,
  module: 1 << 9,
  new: 1 << 10,
  keyspace: 1 << 11,
  keyevent: 1 << 12,
  missed: 1 << 13,
} as const;

/** What an event is about. Nothing is evicted here and there are no modules, so those two are only settings. */
export type EventClass = Exclude<keyof typeof BITS, 'keyspace' | 'keyevent'>;

/** The events that are wanted, and to which channels they go. */
export type EventFlags = number;

export const NO_EVENTS: EventFlags = 0;

/** In the order in which Redis shows them. */
const LETTERS: readonly (readonly [string, number])[] = [
  ['g', BITS.generic],
  ['$', BITS.string],
  ['l', BITS.list],
  ['s', BITS.set],
  ['h', BITS.hash],
  ['z', BITS.zset],
  ['x', BITS.expired],
  ['e', BITS.evicted],
  ['t', BITS.stream],
  ['d', BITS.module],
  ['n', BITS.new],
];
/** Shown whether or not the others are joined into `A`. */
const OTHER_LETTERS: readonly (readonly [string, number])[] = [
  ['K', BITS.keyspace],
  ['E', BITS.keyevent],
  ['m', BITS.missed],
];
const ALL = LETTERS.filter(([letter]) => letter !== 'n').reduce((bits, [, bit]) => bits | bit, 0);
const BIT_OF = new Map<string, number>([...LETTERS, ...OTHER_LETTERS, ['A', ALL]]);

/** @returns undefined when there is a letter that stands for nothing */
export function parseEventFlags(text: string): EventFlags | undefined {
  let flags = NO_EVENTS;
  for (const letter of text) {
    const bit = BIT_OF.get(letter);
    if (bit === undefined) return undefined;
    flags |= bit;
  }
  return flags;
}

const lettersOf = (flags: EventFlags, letters: typeof LETTERS): string =>
  letters
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([letter]) => letter)
    .join('');

/** The flags as Redis shows them. */
export const formatEventFlags = (flags: EventFlags): string =>
  ((flags & ALL) === ALL ? 'A' : lettersOf(flags, LETTERS)) + lettersOf(flags, OTHER_LETTERS);

/** Each letter by itself, so that nothing is lost where flags are kept as text. */
export const spellEventFlags = (flags: EventFlags): string =>
  lettersOf(flags, LETTERS) + lettersOf(flags, OTHER_LETTERS);

/** Whether events of a class go anywhere. */
export const hearsEvents = (flags: EventFlags, about: EventClass): boolean =>
  (flags & BITS[about]) !== 0 && (flags & (BITS.keyspace | BITS.keyevent)) !== 0;

/** Channels of an event, with the message that each gets, in Redis' order. */
export function channelsOf(
  flags: EventFlags,
  { db, event, key }: { readonly db: number; readonly event: string; readonly key: Buffer },
): readonly (readonly [channel: Buffer, message: Buffer])[] {
  const name = Buffer.from(event, 'latin1');
  const channels: (readonly [Buffer, Buffer])[] = [];
  if ((flags & BITS.keyspace) !== 0) channels.push([Buffer.concat([Buffer.from(`__keyspace@${db}__:`), key]), name]);
  if ((flags & BITS.keyevent) !== 0) channels.push([Buffer.concat([Buffer.from(`__keyevent@${db}__:`), name]), key]);
  return channels;
}
