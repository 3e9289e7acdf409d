/** What a command is to somebody who passes it on. */
import { ALL_COMMANDS, CommandTable, keyIndexes, mayWrite } from '../../src/adapter/redis/index.ts';

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
const WITHOUT_KEYS = new Set([
  ...['flushall', 'flushdb', 'swapdb', 'script|load', 'script|flush'],
  ...['function|load', 'function|delete', 'function|flush', 'function|restore'],
]);
const SCRIPTS = new Set(['eval', 'evalsha', 'fcall']);

/** Looks a command up. */
export function describe(args: readonly Buffer[]): Described {
  const found = table.resolve(args);
  const name = found?.fullName ?? args[0]!.toString('latin1').toLowerCase();
  if (found === undefined) return { kind: 'unknown', name, keys: [], isBlocking: false };
  const { spec } = found;
  const keys = keyIndexes(spec, args).flatMap((index) => args[index] ?? []);
  const isBlocking = spec.flags.includes('blocking');
  const known = BY_NAME.get(name);
  if (known !== undefined) return { kind: known, name, keys: [], isBlocking: false };
  if (WITHOUT_KEYS.has(name) || SCRIPTS.has(name)) return { kind: 'write', name, keys, isBlocking };
  if (keys.length === 0) return { kind: 'session', name, keys, isBlocking };
  return { kind: mayWrite(spec, args) ? 'write' : 'read', name, keys, isBlocking };
}
