/** ACL categories of commands, as COMMAND INFO and ACL CAT tell them. */
import type { CommandDeclaration, DeclaredCommand } from '../command/index.ts';

/** In the order in which Redis lists them. */
export const CATEGORIES = [
  'keyspace',
  'read',
  'write',
  'set',
  'sortedset',
  'list',
  'hash',
  'string',
  'bitmap',
  'hyperloglog',
  'geo',
  'stream',
  'pubsub',
  'admin',
  'fast',
  'slow',
  'blocking',
  'dangerous',
  'connection',
  'transaction',
  'scripting',
] as const;

/** Categories that follow from a command's group. */
const CATEGORY_BY_GROUP: Readonly<Partial<Record<CommandDeclaration['group'], string>>> = {
  string: 'string',
  bitmap: 'bitmap',
  generic: 'keyspace',
  connection: 'connection',
  transactions: 'transaction',
  hash: 'hash',
  list: 'list',
  set: 'set',
  'sorted-set': 'sortedset',
  stream: 'stream',
  scripting: 'scripting',
  hyperloglog: 'hyperloglog',
  geo: 'geo',
};

/** Whether a command of no type's group says of which types' values it is (SORT): then it is not about keys as such. */
const namesTypes = ({ aclCategories = [] }: CommandDeclaration): boolean =>
  ['list', 'set', 'sortedset'].some((type) => aclCategories.includes(type));

/** ACL categories of a command, without `@`. */
export function categoriesOf({ spec, subcommands }: Pick<DeclaredCommand, 'spec' | 'subcommands'>): string[] {
  const { flags } = spec;
  const found = new Set<string>(spec.aclCategories);
  found.add(flags.includes('fast') ? 'fast' : 'slow');
  if (flags.includes('write')) found.add('write');
  // What a script may read is up to the script.
  if (flags.includes('readonly') && spec.group !== 'scripting') found.add('read');
  if (flags.includes('blocking')) found.add('blocking');
  if (flags.includes('admin')) {
    found.add('admin');
    found.add('dangerous');
  }
  if (flags.includes('pubsub')) found.add('pubsub');
  const touchesKeys = flags.includes('write') || flags.includes('readonly');
  const byGroup = subcommands === undefined ? CATEGORY_BY_GROUP[spec.group] : undefined;
  if (byGroup === 'keyspace' ? touchesKeys && !namesTypes(spec) : byGroup !== undefined) found.add(byGroup!);
  return CATEGORIES.filter((category) => found.has(category));
}
