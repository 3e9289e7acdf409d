/** The arguments of SORT and SORT_RO. */
import type { FoundKeys } from '../../command/index.ts';
import { errors, optionName, RedisError, requirePosition } from '../../protocol/index.ts';
import { isElementPattern, starIn } from './key-pattern.ts';

export interface SortOptions {
  readonly isDescending: boolean;
  /** Compare bytes instead of numbers. */
  readonly isAlpha: boolean;
  /** How many elements of the result to leave out at its beginning, and how many to take; negative for all. */
  readonly limit: { readonly start: number; readonly count: number };
  /** Pattern of what is compared instead of the elements. */
  readonly by: Buffer | undefined;
  /** A BY without a place for the element, the last one or another, asks for no order. */
  readonly isUnordered: boolean;
  /** Patterns of what is answered instead of the elements. */
  readonly gets: readonly Buffer[];
  /** Where the result goes. */
  readonly storeAt: Buffer | undefined;
}

interface Option {
  readonly name: string;
  /** Where its first argument is, or would be. */
  readonly at: number;
}

const ARGUMENTS: Readonly<Record<string, number>> = { ASC: 0, DESC: 0, ALPHA: 0, LIMIT: 2, STORE: 1, BY: 1, GET: 1 };

/** The options one by one; one with the name `''` stands for what makes no sense, and ends them. */
function* optionsIn(args: readonly Buffer[], mayStore: boolean): Generator<Option> {
  for (let index = 2; index < args.length; ) {
    const name = optionName(args[index]!);
    const count = name === 'STORE' && !mayStore ? undefined : ARGUMENTS[name];
    if (count === undefined || index + count >= args.length) {
      yield { name: '', at: index };
      return;
    }
    yield { name, at: index + 1 };
    index += 1 + count;
  }
}

const denied = (option: string): RedisError =>
  new RedisError(`ERR ${option} option of SORT denied due to insufficient ACL permissions.`);

/** @param mayFindKeys the client may read keys that it does not name @throws RedisError */
export function parseSort(args: readonly Buffer[], mayStore: boolean, mayFindKeys: boolean): SortOptions {
  let isDescending = false;
  let isAlpha = false;
  let limit = { start: 0, count: -1 };
  let by: Buffer | undefined;
  let isUnordered = false;
  let storeAt: Buffer | undefined;
  const gets: Buffer[] = [];
  for (const { name, at } of optionsIn(args, mayStore)) {
    if (name === 'ASC') isDescending = false;
    else if (name === 'DESC') isDescending = true;
    else if (name === 'ALPHA') isAlpha = true;
    else if (name === 'LIMIT') limit = { start: requirePosition(args[at]!), count: requirePosition(args[at + 1]!) };
    else if (name === 'STORE') storeAt = args[at];
    else if (name === 'BY') {
      by = args[at]!;
      isUnordered ||= starIn(by) === undefined;
      if (starIn(by) !== undefined && !mayFindKeys) throw denied(name);
    } else if (name === 'GET') {
      if (!mayFindKeys) throw denied(name);
      gets.push(args[at]!);
    } else throw errors.syntax();
  }
  return { isDescending, isAlpha, limit, by, isUnordered, gets, storeAt };
}

/** Positions of the keys that the arguments name: of several STOREs the last one counts. */
export function sortKeys(args: readonly Buffer[]): number[] {
  let store: number | undefined;
  for (const { name, at } of optionsIn(args, true)) if (name === 'STORE') store = at;
  return store === undefined ? [1] : [1, store];
}

/** Whether a call of SORT has a place for its result. */
export const isStoring = (args: readonly Buffer[]): boolean => sortKeys(args).length > 1;

/** Keys that are found by the elements that are sorted. */
export function sortFinds(args: readonly Buffer[]): FoundKeys[] {
  const found: FoundKeys[] = [];
  for (const { name, at } of optionsIn(args, true)) {
    const pattern = args[at]!;
    const finds = name === 'BY' || (name === 'GET' && !isElementPattern(pattern));
    const star = finds ? starIn(pattern) : undefined;
    if (star === undefined) continue;
    found.push({ pattern, star, refusal: `ERR ${name} option of SORT denied in Cluster mode.` });
  }
  return found;
}
