/** GEOADD, GEOPOS, GEOHASH and GEODIST. */
import { type OrderedBody, openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, NIL_ARRAY, optionName, type Reply } from '../../protocol/index.ts';
import { addMembers } from '../sorted-set/index.ts';
import { hashOf, type Position, positionAt, scoreAt } from './cells.ts';
import { distanceReply, meters, positionArgument, unitMeters } from './distance.ts';
import { positionReply } from './search.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
/** Longitude, latitude and member. */
const ARGUMENTS_A_MEMBER = 3;

function add(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const options = { isNx: false, isXx: false, isCh: false };
  let from = 2;
  for (; from < args.length; from++) {
    const name = optionName(args[from]!);
    if (name === 'NX') options.isNx = true;
    else if (name === 'XX') options.isXx = true;
    else if (name === 'CH') options.isCh = true;
    else break;
  }
  const given = args.length - from;
  if (given === 0 || given % ARGUMENTS_A_MEMBER !== 0 || (options.isNx && options.isXx)) throw errors.syntax();
  const members: { member: Buffer; score: number }[] = [];
  for (let at = from; at < args.length; at += ARGUMENTS_A_MEMBER)
    members.push({ member: args[at + 2]!, score: scoreAt(positionArgument(args, at)) });
  return addMembers(ctx, args[1]!, members, options);
}

function positionOf(set: OrderedBody, member: Buffer): Position | undefined {
  const score = set.score(member);
  return score === undefined ? undefined : positionAt(score);
}

/** Answers something about the position of each member that is named. */
const aboutEach =
  (answer: (position: Position) => Reply, nothing: Reply) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const set = openOrdered(ctx, args[1]!);
    const members = args.slice(2);
    set.prefetch(members);
    return members.map((member) => {
      const position = positionOf(set, member);
      return position === undefined ? nothing : answer(position);
    });
  };

function distance(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [, key, from, to, unitArgument, ...more] = args;
  if (more.length > 0) throw errors.syntax();
  const unit = unitArgument === undefined ? 1 : unitMeters(unitArgument);
  const set = openOrdered(ctx, key!);
  set.prefetch([from!, to!]);
  const [first, second] = [positionOf(set, from!), positionOf(set, to!)];
  return first === undefined || second === undefined ? null : distanceReply(meters(first, second) / unit);
}

export const positionCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'geoadd',
    arity: -5,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'geo',
    since: '3.2.0',
    summary: 'Adds members with positions, or moves members that are there.',
    complexity: 'O(log(N)) for each member',
    handler: { kind: 'data', run: add },
  },
  {
    name: 'geodist',
    arity: -4,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'geo',
    since: '3.2.0',
    summary: 'Distance between two members.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: distance },
  },
  {
    name: 'geohash',
    arity: -2,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'geo',
    since: '3.2.0',
    summary: 'Positions of members as geohash texts.',
    complexity: 'O(1) for each member',
    handler: { kind: 'data', run: aboutEach(hashOf, null) },
  },
  {
    name: 'geopos',
    arity: -2,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'geo',
    since: '3.2.0',
    summary: 'Positions of members as longitude and latitude.',
    complexity: 'O(1) for each member',
    handler: { kind: 'data', run: aboutEach(positionReply, NIL_ARRAY) },
  },
]);
