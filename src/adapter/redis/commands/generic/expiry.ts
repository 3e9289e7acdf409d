/** When keys expire: the EXPIRE family sets it, the TTL family tells it, PERSIST removes it. */
import { NEVER, physicalMs } from '../../../../platform/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, INT64_MAX, INT64_MIN, type Reply, requireInteger } from '../../protocol/index.ts';
import { expiriesOf, expiryAt, writeExpiry } from '../../values/index.ts';
import { conditionsHold, parseExpireConditions } from './expiry-options.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const MS_PER_SECOND = 1000n;

/** One of the four commands that set an expiry. */
interface ExpireForm {
  readonly name: string;
  readonly inSeconds: boolean;
  /** Whether the argument is a unix time instead of a duration. */
  readonly absolute: boolean;
}

function expire(ctx: CommandContext, args: readonly Buffer[], form: ExpireForm): Reply {
  const conditions = parseExpireConditions(args);
  let atMs = requireInteger(args[2]!);
  if (form.inSeconds) {
    if (atMs > INT64_MAX / MS_PER_SECOND || atMs < INT64_MIN / MS_PER_SECOND) throw errors.invalidExpire(form.name);
    atMs *= MS_PER_SECOND;
  }
  if (!form.absolute) atMs += BigInt(ctx.nowMs);
  if (atMs > INT64_MAX) throw errors.invalidExpire(form.name);
  const key = ctx.storageKey(args[1]!);
  const live = ctx.view.get(key);
  if (live === undefined) return 0;
  const { ofKey } = expiriesOf(live);
  const currentMs = ofKey === NEVER ? undefined : physicalMs(ofKey);
  if (!conditionsHold(conditions, currentMs, atMs)) return 0;
  const isPast = atMs <= BigInt(ctx.nowMs);
  if (isPast) ctx.view.delete(key);
  else writeExpiry(ctx, key, live, expiryAt(atMs));
  ctx.event('generic', isPast ? 'del' : 'expire', args[1]!);
  return 1;
}

const NO_KEY = -2;
const NO_EXPIRY = -1;

/** One of the four commands that tell an expiry. */
function tell(ctx: CommandContext, userKey: Buffer, absolute: boolean, inSeconds: boolean): Reply {
  const live = ctx.view.get(ctx.storageKey(userKey));
  if (live === undefined) return NO_KEY;
  const { ofKey } = expiriesOf(live);
  if (ofKey === NEVER) return NO_EXPIRY;
  const ms = Math.max(0, physicalMs(ofKey) - (absolute ? 0 : ctx.nowMs));
  return inSeconds ? Math.floor((ms + 500) / 1000) : ms;
}

function persist(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = ctx.storageKey(args[1]!);
  const live = ctx.view.get(key);
  if (live === undefined || expiriesOf(live).ofKey === NEVER) return 0;
  writeExpiry(ctx, key, live, NEVER);
  ctx.event('generic', 'persist', args[1]!);
  return 1;
}

function expireCommand(form: ExpireForm, since: string, summary: string): CommandSpec {
  return {
    name: form.name,
    arity: -3,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    group: 'generic',
    since,
    summary,
    complexity: 'O(1)',
    handler: { kind: 'data', run: (ctx, args) => expire(ctx, args, form) },
  };
}

function tellCommand(name: string, absolute: boolean, inSeconds: boolean, since: string, summary: string): CommandSpec {
  return {
    name,
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'generic',
    since,
    summary,
    complexity: 'O(1)',
    handler: { kind: 'data', run: (ctx, args) => tell(ctx, args[1]!, absolute, inSeconds) },
  };
}

export const expiryCommands: readonly CommandSpec[] = defineCommands([
  expireCommand({ name: 'expire', inSeconds: true, absolute: false }, '1.0.0', 'Lets a key expire after some seconds.'),
  expireCommand(
    { name: 'pexpire', inSeconds: false, absolute: false },
    '2.6.0',
    'Lets a key expire after some milliseconds.',
  ),
  expireCommand(
    { name: 'expireat', inSeconds: true, absolute: true },
    '1.2.0',
    'Lets a key expire at a unix time in seconds.',
  ),
  expireCommand(
    { name: 'pexpireat', inSeconds: false, absolute: true },
    '2.6.0',
    'Lets a key expire at a unix time in milliseconds.',
  ),
  tellCommand('ttl', false, true, '1.0.0', 'Seconds until a key expires.'),
  tellCommand('pttl', false, false, '2.6.0', 'Milliseconds until a key expires.'),
  tellCommand('expiretime', true, true, '7.0.0', 'Unix time in seconds at which a key expires.'),
  tellCommand('pexpiretime', true, false, '7.0.0', 'Unix time in milliseconds at which a key expires.'),
  {
    name: 'persist',
    arity: 2,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    group: 'generic',
    since: '2.2.0',
    summary: 'Removes the expiry of a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: persist },
  },
]);
