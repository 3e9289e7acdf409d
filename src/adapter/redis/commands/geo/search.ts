/** GEOSEARCH, GEORADIUS and their kin. */
import { newOrdered, type OrderedBody, openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, type KeyFinder } from '../../command/index.ts';
import { DoubleReply, humanText, optionName, type Reply } from '../../protocol/index.ts';
import { integerOf, type Position, positionAt, scoresOf } from './cells.ts';
import { distanceReply } from './distance.ts';
import { cellsOf, metersWithin, type SearchArea } from './search-area.ts';
import { parseSearch, type SearchForm, type SearchRequest } from './search-arguments.ts';

/** A member that a search has found. */
interface Found {
  readonly member: Buffer;
  readonly score: number;
  readonly position: Position;
  readonly meters: number;
}

/** @param enough how many end the search */
function search(set: OrderedBody, area: SearchArea, enough: number): Found[] {
  const found: Found[] = [];
  for (const cell of cellsOf(area)) {
    const { from, to } = scoresOf(cell);
    const range = {
      by: 'score',
      min: { score: from, isExclusive: false },
      max: { score: to, isExclusive: true },
    } as const;
    for (const { member, score } of set.range(range)) {
      const position = positionAt(score);
      const meters = metersWithin(area, position);
      if (meters === undefined) continue;
      found.push({ member, score, position, meters });
      if (found.length >= enough) return found;
    }
  }
  return found;
}

const searchWith =
  (form: SearchForm) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const set = openOrdered(ctx, args[form.keyAt]!);
    const request = parseSearch(args, form, set);
    const { area, order, count = Number.POSITIVE_INFINITY, isAny, store } = request;
    let found = area === undefined ? [] : search(set, area, isAny ? count : Number.POSITIVE_INFINITY);
    if (order === 'near') found.sort((one, other) => one.meters - other.meters);
    else if (order === 'far') found.sort((one, other) => other.meters - one.meters);
    if (found.length > count) found = found.slice(0, count);
    if (store === undefined) return found.map((each) => foundReply(each, request));
    return ctx.stored('zset', form.by === 'options' ? 'geosearchstore' : 'georadiusstore', store.key, () => {
      const stored = newOrdered(ctx, store.key);
      for (const { member, meters, score } of found)
        stored.set(member, store.isDistance ? meters / request.unit : score);
      stored.save();
      return found.length;
    });
  };

/** A member alone, or with what was asked for. */
function foundReply(found: Found, { unit, withDistance, withHash, withPosition }: SearchRequest): Reply {
  const { member, score, position, meters } = found;
  if (!withDistance && !withHash && !withPosition) return member;
  const reply: Reply[] = [member];
  if (withDistance) reply.push(distanceReply(meters / unit));
  if (withHash) reply.push(integerOf(score));
  if (withPosition) reply.push(positionReply(position));
  return reply;
}

/** Longitude and latitude as they are answered. */
export const positionReply = ({ longitude, latitude }: Position): Reply =>
  [longitude, latitude].map((degrees) => new DoubleReply(degrees, humanText(degrees)));

const FIRST_KEY = { first: 1, last: 1, step: 1 } as const;
/** Where options may begin in GEORADIUS and GEORADIUSBYMEMBER. */
const OPTIONS_AT = 5;

/** The set, and the key that the last STORE or STOREDIST names. */
const keysWithStore: KeyFinder = (args) => {
  let storeAt: number | undefined;
  for (let at = OPTIONS_AT; at + 1 < args.length; at++) {
    const name = optionName(args[at]!);
    if (name === 'STORE' || name === 'STOREDIST') storeAt = ++at;
  }
  return storeAt === undefined ? [1] : [1, storeAt];
};

const COMPLEXITY = 'O(N+log(M)) for N members in the nine cells around the area and M members in all';

export const searchCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'geosearch',
    arity: -7,
    flags: ['readonly'],
    keys: FIRST_KEY,
    group: 'geo',
    since: '6.2.0',
    summary: 'Members inside a circle or a box.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'options', keyAt: 1, store: 'never' }) },
  },
  {
    name: 'geosearchstore',
    writesWholeValue: true,
    arity: -8,
    flags: ['write', 'denyoom'],
    keys: { first: 1, last: 2, step: 1 },
    group: 'geo',
    since: '6.2.0',
    summary: 'Keeps the members inside a circle or a box in another key, with their positions or distances as scores.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'options', keyAt: 2, store: 'first' }) },
  },
  {
    name: 'georadius',
    writesWholeValue: true,
    arity: -6,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: { ...FIRST_KEY, all: keysWithStore },
    group: 'geo',
    since: '3.2.0',
    summary: 'Members within a distance of a position, answered or kept in another key.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'position', keyAt: 1, store: 'option' }) },
  },
  {
    name: 'georadius_ro',
    arity: -6,
    flags: ['readonly'],
    keys: FIRST_KEY,
    group: 'geo',
    since: '3.2.10',
    summary: 'Members within a distance of a position.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'position', keyAt: 1, store: 'never' }) },
  },
  {
    name: 'georadiusbymember',
    writesWholeValue: true,
    arity: -5,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: { ...FIRST_KEY, all: keysWithStore },
    group: 'geo',
    since: '3.2.0',
    summary: 'Members within a distance of another member, answered or kept in another key.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'member', keyAt: 1, store: 'option' }) },
  },
  {
    name: 'georadiusbymember_ro',
    arity: -5,
    flags: ['readonly'],
    keys: FIRST_KEY,
    group: 'geo',
    since: '3.2.10',
    summary: 'Members within a distance of another member.',
    complexity: COMPLEXITY,
    handler: { kind: 'data', run: searchWith({ by: 'member', keyAt: 1, store: 'never' }) },
  },
]);
