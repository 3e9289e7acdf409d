/**
 * When two replies to the same command agree. They must be the same bytes, except where a reply depends on the moment, on
 * a free choice of the server, or on how Redis keeps values in memory; what is still asked of those is stated here.
 */
import type { CommandLine, RawReply } from './resp-connection.ts';

/** What has happened in a sequence, on whichever connection. */
export class SequenceFacts {
  /** SORT makes a skiplist of a sorted set that it looks at, whatever fits. */
  hasSorted = false;
}

type Rule = (command: CommandLine, reference: RawReply, tested: RawReply, facts: SequenceFacts) => boolean;

/** How far apart in time the two servers may run the same command. */
const SKEW_MS = 5_000;

/** Errors may repeat what the client sent: there, bytes that are not printable and what follows a zero byte do not count. */
const same: Rule = (_, reference, tested) =>
  reference.raw === tested.raw ||
  (reference.kind === '-' && tested.kind === '-' && printable(reference.raw) === printable(tested.raw));

const printable = (raw: string): string => raw.replaceAll(ZERO_BYTE_AND_ON, '').replace(/[^ -~\r\n]+/g, '?');
const ZERO_BYTE_AND_ON = new RegExp(`${String.fromCharCode(0)}[^'\r]*`, 'g');

/** Latest expiry that kvorum keeps: a timestamp has 48 bits for milliseconds. */
const LATEST_EXPIRY_MS = 2 ** 48 - 1;

/**
 * Times to live and times of expiry, in units of `unitMs`; -1 and -2 have meanings of their own. What Redis lets expire
 * later than the latest expiry expires then.
 */
const near =
  (unitMs: 1 | 1000, absolute: boolean): Rule =>
  (_, reference, tested) => {
    if (reference.kind !== ':' || tested.kind !== ':') return false;
    const [a, b] = [Number(reference.text) * unitMs, Number(tested.text) * unitMs];
    const latestMs = absolute ? LATEST_EXPIRY_MS : LATEST_EXPIRY_MS - Date.now();
    return a >= 0 && b >= 0 && Math.abs(Math.min(a, latestMs) - b) <= SKEW_MS;
  };

const sameShape: Rule = (_, reference, tested) => bothPositiveIntegers(reference, tested);

const bothPositiveIntegers = (reference: RawReply, tested: RawReply): boolean =>
  reference.kind === ':' && tested.kind === ':' && Number(reference.text) >= 0 && Number(tested.text) >= 0;

/** Arrays with the same elements in any order. */
const sameMembers: Rule = (_, reference, tested) =>
  reference.items !== undefined &&
  tested.items !== undefined &&
  reference.kind === tested.kind &&
  sorted(reference.items) === sorted(tested.items);

const sorted = (items: readonly RawReply[]): string =>
  items
    .map(({ raw }) => raw)
    .sort()
    .join('');

/** Fields with their values in any order: a map, or an array in which they alternate. */
const samePairs: Rule = (_, reference, tested) =>
  reference.items !== undefined &&
  tested.items !== undefined &&
  reference.kind === tested.kind &&
  sortedPairs(reference.items) === sortedPairs(tested.items);

const sortedPairs = (items: readonly RawReply[]): string =>
  items
    .flatMap(({ raw }, index) => (index % 2 === 0 ? [raw + (items[index + 1]?.raw ?? '')] : []))
    .sort()
    .join('');

/** As many elements of the same kind, which the server chooses; which ones may be chosen, and how often, is tested elsewhere. */
const sameSize: Rule = (_, reference, tested) =>
  reference.kind !== '-' &&
  reference.kind === tested.kind &&
  (reference.text === undefined) === (tested.text === undefined) &&
  reference.items?.length === tested.items?.length;

/** SORT leaves the order free of the same weights, which are texts, and of a set that no order is asked for. */
const sameSorted: Rule = (command, reference, tested, facts) => {
  const options = command.slice(2).map((word) => word.toUpperCase());
  const isAlpha = options.includes('ALPHA');
  const isUnordered = options.some((word, at) => options[at - 1] === 'BY' && !/^[^\0]*\*/.test(word));
  // Texts end at a zero byte when they are compared.
  const isFree = isUnordered || (isAlpha && (options.includes('BY') || reference.raw.includes('\0')));
  if (!isFree) return false;
  return (options.includes('LIMIT') ? sameSize : sameMembers)(command, reference, tested, facts);
};

/** Both nil, or both a key. */
const bothKeys: Rule = (_, reference, tested) =>
  reference.text !== undefined && tested.kind === '$' && tested.text !== undefined;

/** Both nil, or both a payload; `dump.test.ts` carries payloads to and fro. */
const bothPayloads: Rule = (_, reference, tested) => reference.text !== undefined && tested.text !== undefined;

/** Maps that agree in the fields' names and in all values but those that tell one server from another. */
const sameHello: Rule = (_, reference, tested) => {
  const [a, b] = [reference.items, tested.items];
  if (a === undefined || b === undefined || a.length !== b.length || reference.kind !== tested.kind) return false;
  const own = new Set(['server', 'version', 'id', 'mode']);
  return a.every((item, index) =>
    index % 2 === 0 ? item.raw === b[index]!.raw : own.has(a[index - 1]!.text!) || item.raw === b[index]!.raw,
  );
};

/** Redis may keep a string that was changed in place in a roomier form than its contents would get when written anew. */
const sameEncoding: Rule = (_, reference, tested, { hasSorted }) => {
  if (hasSorted && reference.text === 'skiplist') return tested.text === 'listpack';
  const roominess = ['int', 'embstr', 'raw'];
  const [a, b] = [roominess.indexOf(reference.text ?? ''), roominess.indexOf(tested.text ?? '')];
  return a >= 0 && b >= 0 && a > b;
};

/** The same syntax, whatever is said about it below each line and in the first. */
const sameSyntax: Rule = (_, reference, tested) =>
  reference.items !== undefined && tested.items !== undefined && syntaxIn(reference) === syntaxIn(tested);

const syntaxIn = ({ items = [] }: RawReply): string =>
  items
    .slice(1)
    .filter(({ kind, text }) => kind !== '+' || !text!.startsWith(' '))
    .map(({ raw }) => raw)
    .join('');

/**
 * Scores that are distances, in the key that has nothing else: kvorum takes the nearest double to each sine, C's library on some machines a neighbour of it
 * once in some hundred times.
 */
const nearDistances: Rule = ([, key], reference, tested) => {
  const [a, b] = [reference.items?.flatMap(leaves), tested.items?.flatMap(leaves)];
  if (key !== 'distances' || a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every(({ raw, text }, at) => raw === b[at]!.raw || isNearly(Number(text), Number(b[at]!.text)));
};

/** Moments in milliseconds are larger, and no other number is. */
const FIRST_MOMENT_MS = 1e11;

/** The same, but for moments and the time since then, and for how Redis' tree of a stream is laid out. */
const sameInfo: Rule = (_, reference, tested) => {
  const [a, b] = [reference.items?.flatMap(leaves), tested.items?.flatMap(leaves)];
  if (a === undefined || b === undefined || a.length !== b.length || reference.kind !== tested.kind) return false;
  return a.every((leaf, at) => {
    const label = a[at - 1]?.text ?? '';
    if (leaf.raw === b[at]!.raw || label.startsWith('radix-tree-')) return true;
    const [one, other] = [Number(leaf.text), Number(b[at]!.text)];
    return (label === 'idle' || one > FIRST_MOMENT_MS) && Math.abs(one - other) <= SKEW_MS;
  });
};

/** The same, but for the time since a delivery: the third of four. */
const samePending: Rule = (_, reference, tested) => {
  const [a, b] = [reference.items, tested.items];
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every(({ items = [], raw }, at) => {
    const others = b[at]!.items ?? [];
    if (raw === b[at]!.raw) return true;
    const isNear = Math.abs(Number(items[2]?.text) - Number(others[2]?.text)) <= SKEW_MS;
    return items.length === 4 && isNear && items.every((item, place) => place === 2 || item.raw === others[place]?.raw);
  });
};

const leaves = (reply: RawReply): RawReply[] => reply.items?.flatMap(leaves) ?? [reply];
const isNearly = (one: number, other: number): boolean => Math.abs(one - other) <= Math.abs(one) * 4 * Number.EPSILON;

/** Rules by command, for subcommands with the subcommand's name behind a blank. */
const RULES: Readonly<Record<string, Rule>> = {
  TTL: near(1000, false),
  PTTL: near(1, false),
  EXPIRETIME: near(1000, true),
  PEXPIRETIME: near(1, true),
  KEYS: sameMembers,
  RANDOMKEY: bothKeys,
  DUMP: bothPayloads,
  HELLO: sameHello,
  HGETALL: samePairs,
  HKEYS: sameMembers,
  HVALS: sameMembers,
  HRANDFIELD: sameSize,
  HSCAN: sameSize,
  SMEMBERS: sameMembers,
  SINTER: sameMembers,
  SUNION: sameMembers,
  SDIFF: sameMembers,
  SORT: sameSorted,
  SORT_RO: sameSorted,
  SRANDMEMBER: sameSize,
  ZRANDMEMBER: sameSize,
  XPENDING: samePending,
  'XINFO CONSUMERS': sameInfo,
  'XINFO STREAM': sameInfo,
  'XGROUP HELP': sameSyntax,
  'XINFO HELP': sameSyntax,
  ZRANGE: nearDistances,
  ZSCAN: sameSize,
  'CLIENT ID': sameShape,
  'OBJECT ENCODING': sameEncoding,
  'OBJECT HELP': sameSyntax,
  'OBJECT REFCOUNT': sameShape,
  'OBJECT IDLETIME': sameShape,
  'MEMORY USAGE': sameShape,
};

function agrees(command: CommandLine, reference: RawReply, tested: RawReply, facts: SequenceFacts): boolean {
  const name = command[0]!.toUpperCase();
  const rule = RULES[name] ?? RULES[`${name} ${(command[1] ?? '').toUpperCase()}`] ?? same;
  return same(command, reference, tested, facts) || rule(command, reference, tested, facts);
}

/** Follows one connection through its commands, so that the replies inside EXEC's are judged by the queued commands. */
export class AgreementOnConnection {
  private queued: CommandLine[] = [];
  private readonly facts: SequenceFacts;

  /** @param facts one for all connections of a sequence */
  constructor(facts: SequenceFacts) {
    this.facts = facts;
  }

  /** True when the two replies to the connection's next command agree. */
  next(command: CommandLine, reference: RawReply, tested: RawReply): boolean {
    const name = command[0]!.toUpperCase();
    const { facts } = this;
    facts.hasSorted ||= name === 'SORT' || name === 'SORT_RO';
    if (reference.raw === '+QUEUED\r\n') {
      this.queued.push(command);
      return tested.raw === reference.raw;
    }
    const { queued } = this;
    if (name === 'EXEC' || name === 'DISCARD' || name === 'RESET') this.queued = [];
    if (name !== 'EXEC' || reference.items === undefined || tested.items === undefined) {
      return agrees(command, reference, tested, facts);
    }
    const inner = tested.items;
    return (
      reference.items.length === inner.length &&
      reference.items.every((item, index) => agrees(queued[index]!, item, inner[index]!, facts))
    );
  }
}
