/** What a command is to somebody who passes it on. */
import { ALL_COMMANDS, CommandTable, keyIndexes, mayWrite } from '../../src/adapter/redis/index.ts';
import type { KeyPlace } from './key-place.ts';

/** `session`: about the connection or the server, only the side that answers hears of it. `unknown`: nobody knows what it changes. */
export type CommandKind =
  | 'read'
  | 'write'
  | 'session'
  | 'multi'
  | 'exec'
  | 'discard'
  | 'subscribe'
  | 'select'
  | 'unknown';

export interface Described {
  readonly kind: CommandKind;
  /** Lower case, `container|sub` for a subcommand. */
  readonly name: string;
  readonly keys: readonly Buffer[];
  readonly isBlocking: boolean;
  /** It may change what is under keys that it does not name. */
  readonly hasUnnamedKeys: boolean;
}

const table = new CommandTable(ALL_COMMANDS);
const BY_NAME = new Map<string, CommandKind>([
  ['multi', 'multi'],
  ['exec', 'exec'],
  ['discard', 'discard'],
  ['reset', 'discard'],
  ['select', 'select'],
  ['subscribe', 'subscribe'],
  ['psubscribe', 'subscribe'],
  ['ssubscribe', 'subscribe'],
  ['monitor', 'subscribe'],
  ['publish', 'session'],
  ['spublish', 'session'],
  ['watch', 'session'],
  ['unwatch', 'session'],
]);
/** They change what is there, and name no key. */
const OF_EVERYTHING = new Set([
  ...['flushall', 'flushdb', 'swapdb'],
  ...['function|load', 'function|delete', 'function|flush', 'function|restore'],
]);
/** They change no data. */
const OF_SCRIPTS = new Set(['script|load', 'script|flush']);
const SCRIPTS = new Set(['eval', 'evalsha', 'fcall']);

/** They wait only when they are told to. */
const STREAM_READS = new Set(['xread', 'xreadgroup']);

function hasBlock(args: readonly Buffer[]): boolean {
  const words = args.map((arg) => arg.toString('latin1').toUpperCase());
  return words.slice(0, words.lastIndexOf('STREAMS')).includes('BLOCK');
}

/** Looks a command up. */
export function describe(args: readonly Buffer[]): Described {
  const found = table.resolve(args);
  const name = found?.fullName ?? args[0]!.toString('latin1').toLowerCase();
  const plain = { name, keys: [], isBlocking: false, hasUnnamedKeys: false };
  if (found === undefined) return { ...plain, kind: 'unknown', hasUnnamedKeys: true };
  const { spec } = found;
  const known = BY_NAME.get(name);
  if (known !== undefined) return { ...plain, kind: known };
  if (OF_SCRIPTS.has(name)) return { ...plain, kind: 'write' };
  const keys = keyIndexes(spec, args).flatMap((index) => args[index] ?? []);
  const isBlocking = spec.flags.includes('blocking') && (!STREAM_READS.has(name) || hasBlock(args));
  if (OF_EVERYTHING.has(name) || SCRIPTS.has(name))
    return { kind: 'write', name, keys, isBlocking, hasUnnamedKeys: keys.length === 0 };
  if (keys.length === 0) return { ...plain, kind: 'session' };
  return { kind: mayWrite(spec, args) ? 'write' : 'read', name, keys, isBlocking, hasUnnamedKeys: false };
}

/** Where the keys of a command are. @param database that the connection has selected */
export function placesOf({ name, keys }: Described, args: readonly Buffer[], database: number): KeyPlace[] {
  const places = keys.map((key) => ({ database, key }));
  const other = otherDatabase(name, args);
  return other === undefined ? places : [...places, ...keys.map((key) => ({ database: other, key }))];
}

/** A database that a command names besides. */
function otherDatabase(name: string, args: readonly Buffer[]): number | undefined {
  if (name === 'move') return numberOf(args[2]);
  if (name !== 'copy') return undefined;
  const at = args.findIndex((arg, index) => index > 2 && arg.toString('latin1').toUpperCase() === 'DB');
  return at < 0 ? undefined : numberOf(args[at + 1]);
}

function numberOf(arg: Buffer | undefined): number | undefined {
  const number = Number(arg?.toString('latin1'));
  return Number.isSafeInteger(number) ? number : undefined;
}
