/** When fields expire: the HEXPIRE family sets it, the HTTL family tells it, HPERSIST removes it. */
import type { Millis } from '../../../../platform/index.ts';
import { type HashBody, NO_EXPIRY, openHash } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { optionName, type Reply } from '../../protocol/index.ts';
import type { ExpiryUnit } from '../../values/index.ts';
import { declareWith } from '../declare.ts';
import { requireFieldExpiry, requireFields } from './field-arguments.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

/** What is answered for a field. */
const NO_FIELD = -2;
const HAS_NO_EXPIRY = -1;
const CONDITION_NOT_MET = 0;
const DONE = 1;
/** The field was deleted, because its new expiry has passed. */
const DELETED = 2;

type Condition = 'NX' | 'XX' | 'GT' | 'LT';
const isCondition = (word: string): word is Condition => ['NX', 'XX', 'GT', 'LT'].includes(word);

/** True when an expiry may replace the present one; no expiry counts as latest for LT, and GT never replaces it. */
function conditionHolds(condition: Condition | undefined, currentMs: Millis, nextMs: Millis): boolean {
  const hasExpiry = currentMs !== NO_EXPIRY;
  if (condition === 'NX') return !hasExpiry;
  if (condition === 'XX') return hasExpiry;
  if (condition === 'GT') return hasExpiry && nextMs > currentMs;
  return condition !== 'LT' || !hasExpiry || nextMs < currentMs;
}

/** Gives a field an expiry, which deletes it when it is past. @returns whether the field is still there */
export function expireField(hash: HashBody, field: Buffer, expireMs: Millis, nowMs: Millis): boolean {
  if (expireMs > nowMs) hash.setExpiry(field, expireMs);
  else hash.delete([field]);
  return expireMs > nowMs;
}

function expire(ctx: CommandContext, args: readonly Buffer[], command: string, unit: ExpiryUnit): Reply {
  const hash = openHash(ctx, args[1]!);
  const expireMs = requireFieldExpiry(command, unit, args[2]!, ctx.nowMs);
  const word = optionName(args[3]!);
  const condition = isCondition(word) ? word : undefined;
  const fields = requireFields(
    args,
    condition === undefined ? 3 : 4,
    'ERR Parameter `numFields` should be greater than 0',
  );
  hash.prefetchExpiries(fields, expireMs);
  const replies = fields.map((field) => {
    const currentMs = hash.expiryOf(field);
    if (currentMs === undefined) return NO_FIELD;
    if (!conditionHolds(condition, currentMs, expireMs)) return CONDITION_NOT_MET;
    return expireField(hash, field, expireMs, ctx.nowMs) ? DONE : DELETED;
  });
  hash.save();
  return replies;
}

function tell(ctx: CommandContext, args: readonly Buffer[], isRelative: boolean, inSeconds: boolean): Reply {
  const hash = openHash(ctx, args[1]!);
  const fields = requireFields(args, 2);
  hash.prefetch(fields);
  return fields.map((field) => {
    const expireMs = hash.expiryOf(field);
    if (expireMs === undefined) return NO_FIELD;
    if (expireMs === NO_EXPIRY) return HAS_NO_EXPIRY;
    const ms = expireMs - (isRelative ? ctx.nowMs : 0);
    return inSeconds ? Math.ceil(ms / 1000) : ms;
  });
}

function persist(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const hash = openHash(ctx, args[1]!);
  const fields = requireFields(args, 2);
  hash.prefetchExpiries(fields);
  const replies = fields.map((field) => {
    const expireMs = hash.expiryOf(field);
    if (expireMs === undefined) return NO_FIELD;
    if (expireMs === NO_EXPIRY) return HAS_NO_EXPIRY;
    hash.setExpiry(field, NO_EXPIRY);
    return DONE;
  });
  hash.save();
  return replies;
}

const COMPLEXITY = 'O(N) in the number of fields given';
const EXACT =
  'An expired field is gone for every command in its very millisecond: HLEN does not count it, and a hash whose last field has expired does not exist.';
const setting = declareWith({ flags: ['write', 'denyoom', 'fast'], group: 'hash', complexity: COMPLEXITY });
const telling = declareWith({ flags: ['readonly', 'fast'], group: 'hash', complexity: COMPLEXITY });

const expireCommand = (name: string, unit: ExpiryUnit, summary: string): CommandSpec =>
  setting({
    name,
    arity: -6,
    keys: ONE_KEY,
    since: '7.4.0',
    summary,
    differences: EXACT,
    handler: { kind: 'data', run: (ctx, args) => expire(ctx, args, name, unit) },
  });

const tellCommand = (name: string, isRelative: boolean, inSeconds: boolean, summary: string): CommandSpec =>
  telling({
    name,
    arity: -5,
    keys: ONE_KEY,
    since: '7.4.0',
    summary,
    handler: { kind: 'data', run: (ctx, args) => tell(ctx, args, isRelative, inSeconds) },
  });

export const fieldExpiryCommands: readonly CommandSpec[] = defineCommands([
  expireCommand('hexpire', 'EX', 'Lets fields of a hash expire after some seconds.'),
  expireCommand('hpexpire', 'PX', 'Lets fields of a hash expire after some milliseconds.'),
  expireCommand('hexpireat', 'EXAT', 'Lets fields of a hash expire at a unix time in seconds.'),
  expireCommand('hpexpireat', 'PXAT', 'Lets fields of a hash expire at a unix time in milliseconds.'),
  tellCommand('httl', true, true, 'Seconds until fields of a hash expire.'),
  tellCommand('hpttl', true, false, 'Milliseconds until fields of a hash expire.'),
  tellCommand('hexpiretime', false, true, 'Unix times in seconds at which fields of a hash expire.'),
  tellCommand('hpexpiretime', false, false, 'Unix times in milliseconds at which fields of a hash expire.'),
  setting({
    name: 'hpersist',
    arity: -5,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    since: '7.4.0',
    summary: 'Removes the expiries of fields of a hash.',
    handler: { kind: 'data', run: persist },
  }),
]);
