/** Commands over keys of any type: DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, RENAMENX, COPY, MOVE. */

import { copyValue } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, inParts } from '../../command/index.ts';
import { DATABASE_COUNT, KEYSPACES } from '../../keys/index.ts';
import { errors, OK, optionName, type Reply, requireInt32, SimpleString } from '../../protocol/index.ts';
import { deleteKey, typeNameOf } from '../../values/index.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const TWO_KEYS = { first: 1, last: 2, step: 1 } as const;
const ALL_KEYS = { first: 1, last: -1, step: 1 } as const;

const NO_TYPE = new SimpleString('none');

function* deleteAll(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  let deleted = 0;
  for (let index = 1; index < args.length; index++) {
    if (deleteKey(ctx, args[index]!)) {
      deleted++;
      ctx.event('generic', 'del', args[index]!);
    }
    yield;
  }
  return deleted;
}

function countExisting(ctx: CommandContext, args: readonly Buffer[]): Reply {
  let existing = 0;
  for (let index = 1; index < args.length; index++) {
    if (ctx.view.get(ctx.storageKey(args[index]!)) !== undefined) existing++;
  }
  return existing;
}

function typeOf(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const live = ctx.view.get(ctx.storageKey(args[1]!));
  return live === undefined ? NO_TYPE : new SimpleString(typeNameOf(live.value));
}

/** Moves a key over another. @returns false when `ifAbsent` and the other exists */
function rename(ctx: CommandContext, args: readonly Buffer[], ifAbsent: boolean): boolean {
  const from = ctx.storageKey(args[1]!);
  const to = ctx.storageKey(args[2]!);
  if (ctx.view.get(from) === undefined) throw errors.noSuchKey();
  if (from.equals(to)) return !ifAbsent;
  if (ifAbsent && ctx.view.get(to) !== undefined) return false;
  ctx.replaced(to, args[2]!);
  copyValue(ctx, from, to);
  ctx.view.delete(from);
  ctx.event('generic', 'rename_from', args[1]!);
  ctx.event('generic', 'rename_to', args[2]!);
  return true;
}

/** A key and the database that an argument names, for routing; undefined when it names none (the handler says so). */
function keyIn(text: Buffer | undefined, key: Buffer): { readonly db: number; readonly key: Buffer } | undefined {
  const db = text === undefined ? Number.NaN : Number(text.toString('latin1'));
  return KEYSPACES[db] === undefined ? undefined : { db, key };
}

/** COPY's destination when it is in another database. */
function copyDestination(args: readonly Buffer[]): { readonly db: number; readonly key: Buffer } | undefined {
  const option = args.findIndex((arg, index) => index > 2 && optionName(arg) === 'DB');
  return option < 0 ? undefined : keyIn(args[option + 1], args[2]!);
}

/** @throws RedisError when it is no number of a database */
function requireDatabase(text: Buffer): number {
  const db = requireInt32(text, errors.int32OutOfRange);
  if (db < 0 || db >= DATABASE_COUNT) throw errors.dbIndexOutOfRange();
  return db;
}

function copy(ctx: CommandContext, args: readonly Buffer[]): Reply {
  let db = ctx.keyspace.db;
  let replace = false;
  for (let index = 3; index < args.length; index++) {
    const name = optionName(args[index]!);
    const argument = args[index + 1];
    if (name === 'REPLACE') {
      replace = true;
    } else if (name === 'DB' && argument !== undefined) {
      db = requireDatabase(argument);
      index++;
    } else {
      throw errors.syntax();
    }
  }
  const from = ctx.storageKey(args[1]!);
  const to = KEYSPACES[db]!.storageKey(args[2]!);
  if (from.equals(to)) throw errors.sameObject();
  if (ctx.view.get(from) === undefined) return 0;
  if (!replace && ctx.view.get(to) !== undefined) return 0;
  ctx.replaced(to, args[2]!, db);
  copyValue(ctx, from, to);
  ctx.event('generic', 'copy_to', args[2]!, db);
  return 1;
}

function move(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const db = requireDatabase(args[2]!);
  if (db === ctx.keyspace.db) throw errors.sameObject();
  const from = ctx.storageKey(args[1]!);
  const to = KEYSPACES[db]!.storageKey(args[1]!);
  if (ctx.view.get(from) === undefined || ctx.view.get(to) !== undefined) return 0;
  copyValue(ctx, from, to);
  ctx.view.delete(from);
  ctx.event('generic', 'move_from', args[1]!);
  ctx.event('generic', 'move_to', args[1]!, db);
  return 1;
}

export const keyCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'del',
    arity: -2,
    flags: ['write'],
    keys: ALL_KEYS,
    group: 'generic',
    since: '1.0.0',
    summary: 'Deletes keys.',
    complexity: 'O(N) in the number of keys',
    handler: inParts(deleteAll),
  },
  {
    name: 'unlink',
    arity: -2,
    flags: ['write', 'fast'],
    keys: ALL_KEYS,
    group: 'generic',
    since: '4.0.0',
    summary: 'Deletes keys; the space is always reclaimed later.',
    differences: 'Is DEL: deletion of anything is one small write, and space comes back later in any case.',
    complexity: 'O(N) in the number of keys',
    handler: inParts(deleteAll),
  },
  {
    name: 'exists',
    readsEach: 'sum',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: ALL_KEYS,
    group: 'generic',
    since: '1.0.0',
    summary: 'Counts the keys that exist, each as often as it is named.',
    complexity: 'O(N) in the number of keys',
    handler: { kind: 'data', run: countExisting },
  },
  {
    name: 'touch',
    readsEach: 'sum',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: ALL_KEYS,
    group: 'generic',
    since: '3.2.1',
    summary: 'Counts the keys that exist; times of access are not kept.',
    differences: 'Is EXISTS: times of access are not kept.',
    complexity: 'O(N) in the number of keys',
    handler: { kind: 'data', run: countExisting },
  },
  {
    name: 'type',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: ONE_KEY,
    group: 'generic',
    since: '1.0.0',
    summary: 'Type of the value at a key.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: typeOf },
  },
  {
    name: 'rename',
    writesWholeValue: true,
    arity: 3,
    flags: ['write'],
    keys: TWO_KEYS,
    group: 'generic',
    since: '1.0.0',
    summary: 'Renames a key, over another if there is one.',
    differences: 'Works between slots too.',
    complexity: 'O(N) in the size of the value',
    handler: {
      kind: 'data',
      run: (ctx, args) => {
        rename(ctx, args, false);
        return OK;
      },
    },
  },
  {
    name: 'renamenx',
    writesWholeValue: true,
    arity: 3,
    flags: ['write', 'fast'],
    keys: TWO_KEYS,
    group: 'generic',
    since: '1.0.0',
    summary: 'Renames a key if no other has the new name.',
    differences: 'Works between slots too.',
    complexity: 'O(N) in the size of the value',
    handler: { kind: 'data', run: (ctx, args) => (rename(ctx, args, true) ? 1 : 0) },
  },
  {
    name: 'copy',
    writesWholeValue: true,
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    keyElsewhere: copyDestination,
    group: 'generic',
    since: '6.2.0',
    summary: 'Copies the value and expiry of a key to another key, in this database or another.',
    differences: 'Works between slots too.',
    complexity: 'O(N) in the size of the value',
    handler: { kind: 'data', run: copy },
  },
  {
    name: 'move',
    writesWholeValue: true,
    arity: 3,
    flags: ['write', 'fast'],
    keys: ONE_KEY,
    keyElsewhere: (args) => keyIn(args[2], args[1]!),
    group: 'generic',
    since: '1.0.0',
    summary: 'Moves a key to another database if it does not exist there.',
    differences: 'Works in a cluster too.',
    complexity: 'O(N) in the size of the value',
    handler: { kind: 'data', run: move },
  },
]);
