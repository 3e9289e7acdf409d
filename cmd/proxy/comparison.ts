/** Whether two sides have answered the same, as far as an answer says something. */
import { type ReplyValue, ServerError } from '../redis/index.ts';

/** Answers without an order. */
const UNORDERED = new Set(['smembers', 'sunion', 'sinter', 'sdiff', 'hkeys', 'hvals']);
const PAIRS = new Set(['hgetall']);
/** Times that are left or reached, and how far they may be apart. */
const TIMES = new Map([
  ['ttl', 1],
  ['expiretime', 1],
  ['pttl', 1_000],
  ['pexpiretime', 1_000],
]);
/** Chance, or a matter of the server. */
const UNCOMPARED = new Set([
  ...[
    'randomkey',
    'srandmember',
    'hrandfield',
    'zrandmember',
    'spop',
    'scan',
    'sscan',
    'hscan',
    'zscan',
    'dump',
    'sort',
    'sort_ro',
  ],
  ...[
    'object|encoding',
    'object|freq',
    'object|idletime',
    'object|refcount',
    'memory|usage',
    'xinfo|stream',
    'xinfo|consumers',
    'xinfo|groups',
  ],
  ...['xpending', 'debug', 'eval', 'eval_ro', 'evalsha', 'evalsha_ro', 'fcall', 'fcall_ro', 'touch', 'pfcount'],
]);

/** @returns whether the answers differ; undefined when that would say nothing */
export function differ(name: string, left: ReplyValue, right: ReplyValue): boolean | undefined {
  if (UNCOMPARED.has(name)) return undefined;
  if (left instanceof ServerError || right instanceof ServerError)
    return !(left instanceof ServerError && right instanceof ServerError && left.code === right.code);
  const tolerance = TIMES.get(name);
  if (tolerance !== undefined && typeof left === 'number' && typeof right === 'number') {
    const areTimes = left >= 0 && right >= 0;
    return areTimes ? Math.abs(left - right) > tolerance : left !== right;
  }
  const [one, other] = [flat(left), flat(right)];
  if (UNORDERED.has(name)) return one.sort().join(SEPARATOR) !== other.sort().join(SEPARATOR);
  if (PAIRS.has(name)) return pairs(one) !== pairs(other);
  return one.join(SEPARATOR) !== other.join(SEPARATOR);
}

const SEPARATOR = '\n';

/** Nested arrays lie one behind the other: the protocols nest the same things in different ways. */
function flat(value: ReplyValue): string[] {
  if (value === null) return ['null'];
  if (Buffer.isBuffer(value)) return [JSON.stringify(value.toString('latin1'))];
  if (Array.isArray(value)) return (value as readonly ReplyValue[]).flatMap(flat);
  return [JSON.stringify(String(value))];
}

function pairs(parts: readonly string[]): string {
  const found: string[] = [];
  for (let at = 0; at < parts.length; at += 2) found.push(`${parts[at]} ${parts[at + 1]}`);
  return found.sort().join(SEPARATOR);
}
