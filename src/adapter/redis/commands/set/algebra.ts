/**
 * Intersections, unions and differences of sets. A member is looked for in another set by its name, a row each; when many are looked for,
 * reading all names of the other set, some fifteen a row, is cheaper.
 */
import { newSet, openSet, type SetBody } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { countArgument, errors, optionName, RedisError, type Reply, SetReply } from '../../protocol/index.ts';

/** Makes the result of an operation over sets, each member once. */
type Operation = (sets: readonly SetBody[]) => Iterable<Buffer>;

/** Looking for more members than a set has, divided by this, costs more rows than reading all of its names. */
const NAMES_A_ROW = 8;
/** Members that are looked for at one time: so many rows come together where they come from afar. */
const BATCH = 1_024;

const nameOf = (member: Buffer): string => member.toString('latin1');

/** Opens sets in their order, so that errors come in it. @throws RedisError WRONGTYPE */
const openAll = (ctx: CommandContext, keys: readonly Buffer[]): SetBody[] => keys.map((key) => openSet(ctx, key));

/** Tells which members another set has: by a look each, until all its names cost less than what has been looked for. */
class Membership {
  private readonly set: SetBody;
  private looks: number;
  private names: Set<string> | undefined;

  /** @param expected how many members will be looked for, at least */
  constructor(set: SetBody, expected: number) {
    this.set = set;
    this.looks = expected;
  }

  /** Those of the members that the set has, or has not. */
  select(members: readonly Buffer[], isWanted: boolean): Buffer[] {
    if (this.looks * NAMES_A_ROW <= this.set.size) {
      this.looks += members.length;
      this.set.prefetch(members);
      return members.filter((member) => this.set.has(member) === isWanted);
    }
    this.names ??= new Set([...this.set.members()].map(nameOf));
    const { names } = this;
    return members.filter((member) => names.has(nameOf(member)) === isWanted);
  }
}

/** @param first size of the first batch; each other one is twice as large as the one before, up to `BATCH` */
function* inBatches(members: Iterable<Buffer>, first: number): Generator<readonly Buffer[]> {
  let size = Math.min(first, BATCH);
  let batch: Buffer[] = [];
  for (const member of members) {
    batch.push(member);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
    size = Math.min(size * 2, BATCH);
  }
  if (batch.length > 0) yield batch;
}

/**
 * Members of the first set that all others have, or that none of them has.
 * @param expected how many members will be looked for, at least
 */
function* selected(first: SetBody, others: readonly SetBody[], isWanted: boolean, expected: number): Generator<Buffer> {
  const memberships = others.map((other) => new Membership(other, expected));
  for (const batch of inBatches(first.members(), expected)) {
    let left = batch;
    for (const membership of memberships) if (left.length > 0) left = membership.select(left, isWanted);
    yield* left;
  }
}

/** @param limit members that are wanted at most */
function intersection(sets: readonly SetBody[], limit = Number.POSITIVE_INFINITY): Iterable<Buffer> {
  const [smallest, ...others] = sets.toSorted((one, other) => one.size - other.size);
  return smallest!.size === 0 ? [] : selected(smallest!, others, true, Math.min(smallest!.size, limit));
}

function union(sets: readonly SetBody[]): Iterable<Buffer> {
  const members = new Map<string, Buffer>();
  for (const set of sets) for (const member of set.members()) members.set(nameOf(member), member);
  return members.values();
}

const difference = ([first, ...others]: readonly SetBody[]): Iterable<Buffer> =>
  selected(
    first!,
    others.filter(({ size }) => size > 0),
    false,
    first!.size,
  );

/** SINTER, SUNION and SDIFF. */
const answer =
  (operation: Operation) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply =>
    new SetReply([...operation(openAll(ctx, args.slice(1)))]);

/** SINTERSTORE, SUNIONSTORE and SDIFFSTORE: the result replaces whatever the first key holds, an empty one deletes it. */
const store =
  (operation: Operation, event: string) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const members = [...operation(openAll(ctx, args.slice(2)))];
    return ctx.stored('set', event, args[1]!, () => {
      const target = newSet(ctx, args[1]!);
      for (const member of members) target.add(member);
      target.save();
      return members.length;
    });
  };

export const answerIntersection = answer(intersection);
export const answerUnion = answer(union);
export const answerDifference = answer(difference);
export const storeIntersection = store(intersection, 'sinterstore');
export const storeUnion = store(union, 'sunionstore');
export const storeDifference = store(difference, 'sdiffstore');

/** SINTERCARD. */
export function countIntersection(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const keyCount = countArgument(args[1]!, 1, 'ERR numkeys should be greater than 0');
  const optionsAt = 2 + keyCount;
  if (optionsAt > args.length) throw new RedisError("ERR Number of keys can't be greater than number of args");
  let limit = 0;
  for (let index = optionsAt; index < args.length; index += 2) {
    const argument = args[index + 1];
    if (optionName(args[index]!) !== 'LIMIT' || argument === undefined) throw errors.syntax();
    limit = countArgument(argument, 0, "ERR LIMIT can't be negative");
  }
  const sets = openAll(ctx, args.slice(2, optionsAt));
  let count = 0;
  for (const _ of intersection(sets, limit === 0 ? undefined : limit)) if (++count === limit) break;
  return count;
}
