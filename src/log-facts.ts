/** What may be logged of things that carry keys or values of users beside what an operator needs. */
import type { BalanceReport } from './kv/index.ts';
import { KvorumError } from './platform/index.ts';

/** Of an error its type, code, message and stack; facts beside them may be keys. */
export function shownError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = error instanceof KvorumError ? { code: error.code } : {};
  return { type: error.name, ...code, message: error.message, stack: error.stack };
}

/** Of what balancing does its kind and its numbers: ids of ranges, groups and nodes. Its own words name the keys of cuts. */
export function shownBalance({ duty, event, action }: BalanceReport): object {
  const numbers = Object.entries(action ?? {}).filter(([, value]) => typeof value === 'number');
  return {
    rule: duty,
    event,
    ...(action === undefined ? {} : { action: action.kind }),
    ...Object.fromEntries(numbers),
  };
}
