/**
 * Keys that a command looks for, and that are worth an event (`keymiss`) when they are not there: all of a command that only reads, none of one that
 * writes, but for the commands below, which Redis treats otherwise.
 */
import { optionName } from '../protocol/index.ts';
import { type CommandDeclaration, type KeyFinder, keyIndexes } from './declaration.ts';

const NONE: KeyFinder = () => [];
const FIRST: KeyFinder = () => [1];
const SECOND: KeyFinder = () => [2];

/** All arguments from a position on. */
const allFrom =
  (from: number): KeyFinder =>
  (args) =>
    Array.from({ length: Math.max(0, args.length - from) }, (_, nth) => from + nth);

/** Behind the destination and the number of sources. */
const counted: KeyFinder = (args) => allFrom(3)(args.slice(0, 3 + Number(args[2])));

/** A SET that answers what was there reads it. */
const ifGet: KeyFinder = (args) => (args.some((arg, at) => at > 2 && optionName(arg) === 'GET') ? [1] : []);

const WRITING_FIELDS: ReadonlySet<string> = new Set(['SET', 'INCRBY']);
const ifNoFieldIsWritten: KeyFinder = (args) =>
  args.some((arg, at) => at > 1 && WRITING_FIELDS.has(optionName(arg))) ? [] : [1];

/** By names; of subcommands their own word. */
const EXCEPTIONS: ReadonlyMap<string, KeyFinder> = new Map([
  ...['encoding', 'freq', 'idletime', 'refcount', 'usage'].map((name) => [name, NONE] as const),
  ...['getset', 'getdel', 'getex', 'copy', 'georadius', 'georadiusbymember', 'sort'].map(
    (name) => [name, FIRST] as const,
  ),
  ...['sunionstore', 'sinterstore', 'sdiffstore'].map((name) => [name, allFrom(2)] as const),
  ...['zunionstore', 'zinterstore', 'zdiffstore'].map((name) => [name, counted] as const),
  ...['zrangestore', 'geosearchstore'].map((name) => [name, SECOND] as const),
  ['set', ifGet],
  ['bitfield', ifNoFieldIsWritten],
  ['bitop', allFrom(3)],
  ['pfmerge', allFrom(1)],
]);

/** Indexes in `args` of the keys that a command looks for. The arity must have been checked. */
export function lookedForIn(
  spec: Pick<CommandDeclaration, 'name' | 'flags' | 'keys'>,
  args: readonly Buffer[],
): readonly number[] {
  const exception = EXCEPTIONS.get(spec.name);
  if (exception !== undefined) return exception(args);
  return spec.flags.includes('readonly') ? keyIndexes(spec, args) : [];
}
