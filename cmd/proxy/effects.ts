/** What the second side is told when the first one has answered: the same command, or what it has come to where chance or waiting decided. */
import { type ReplyValue, ServerError } from '../redis/index.ts';

/** A command for the second side; undefined when nothing has happened. */
export type Effect = readonly (Buffer | string)[] | undefined;

const POPS = new Map([
  ['blpop', 'LPOP'],
  ['brpop', 'RPOP'],
  ['bzpopmin', 'ZPOPMIN'],
  ['bzpopmax', 'ZPOPMAX'],
]);

/**
 * @param name lower case
 * @param reply of the first side
 */
export function effectOf(name: string, args: readonly Buffer[], reply: ReplyValue): Effect {
  // A script that fails keeps what it has written.
  if (reply instanceof ServerError) return name === 'eval' || name === 'evalsha' || name === 'fcall' ? args : undefined;
  const pop = POPS.get(name);
  if (pop !== undefined) return Array.isArray(reply) ? [pop, reply[0] as Buffer] : undefined;
  switch (name) {
    case 'blmove':
      return reply === null ? undefined : ['LMOVE', ...args.slice(1, 5)];
    case 'brpoplpush':
      return reply === null ? undefined : ['RPOPLPUSH', ...args.slice(1, 3)];
    case 'blmpop':
    case 'bzmpop':
      return reply === null ? undefined : [name.slice(1).toUpperCase(), ...args.slice(2)];
    case 'spop':
      return popped(args[1]!, reply);
    case 'xadd':
      return Buffer.isBuffer(reply) ? withId(args, reply) : undefined;
    case 'xreadgroup':
      return reply === null ? undefined : withoutBlock(args);
    default:
      return args;
  }
}

/** What the second side should answer to the effect, where that is not what the first one has answered. */
export function expectedOf(name: string, reply: ReplyValue): ReplyValue {
  if (!Array.isArray(reply) || !POPS.has(name)) return reply;
  const [, ...rest] = reply as readonly ReplyValue[];
  return rest.length === 1 ? rest[0]! : rest;
}

function popped(key: Buffer, reply: ReplyValue): Effect {
  const members = Array.isArray(reply) ? (reply as readonly Buffer[]) : Buffer.isBuffer(reply) ? [reply] : [];
  return members.length === 0 ? undefined : ['SREM', key, ...members];
}

/** XADD with the id that the first side has chosen. */
function withId(args: readonly Buffer[], id: Buffer): Effect {
  let at = 2;
  for (; at < args.length; at++) {
    const word = args[at]!.toString('latin1').toUpperCase();
    if (word === 'NOMKSTREAM') continue;
    if (word === 'LIMIT') at += 1;
    else if (word === 'MAXLEN' || word === 'MINID') at += /^[=~]$/.test(args[at + 1]?.toString('latin1') ?? '') ? 2 : 1;
    else break;
  }
  return [...args.slice(0, at), id, ...args.slice(at + 1)];
}

function withoutBlock(args: readonly Buffer[]): Effect {
  const at = args.findIndex((arg, index) => index > 3 && arg.toString('latin1').toUpperCase() === 'BLOCK');
  const streams = args.findIndex((arg, index) => index > 3 && arg.toString('latin1').toUpperCase() === 'STREAMS');
  return at < 0 || at > streams ? args : [...args.slice(0, at), ...args.slice(at + 2)];
}
