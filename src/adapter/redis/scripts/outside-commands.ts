/**
 * Commands of scripts that look at all keys or at the node. Their answers are brought from outside, as of a moment before the script, and corrected by what
 * the script has written since: it sees its own writes.
 */
import { type CommandContext, RunAloneError } from '../command/index.ts';
import { DATABASE_COUNT, KEYSPACES } from '../keys/index.ts';
import { errors, globMatches, OK, type Reply, wordOf } from '../protocol/index.ts';

type Outside = (ctx: CommandContext, args: readonly Buffer[]) => Reply;

/** Draws of a random key that may be one that the script has deleted. */
const MAX_DRAWS = 16;
const ALL = Buffer.from('*');

function answerTo({ outside, keyspace }: CommandContext, args: readonly Buffer[]): Reply {
  if (outside === undefined) throw new RunAloneError();
  return outside.answerTo({ db: keyspace.db, args });
}

/** What the script has written, as sets of keys. */
function ownWrites({ outside, keyspace }: CommandContext): { readonly made: Buffer[]; readonly gone: Set<string> } {
  const written = outside!.written(keyspace.db);
  return {
    made: written.filter(({ exists }) => exists).map(({ userKey }) => userKey),
    gone: new Set(written.filter(({ exists }) => !exists).map(({ userKey }) => userKey.toString('latin1'))),
  };
}

const isGone = (gone: ReadonlySet<string>, key: Reply): boolean =>
  Buffer.isBuffer(key) && gone.has(key.toString('latin1'));

function keys(ctx: CommandContext, args: readonly Buffer[]): Buffer[] {
  const found = answerTo(ctx, args) as readonly Buffer[];
  const { made, gone } = ownWrites(ctx);
  if (made.length === 0 && gone.size === 0) return [...found];
  const all = new Map(found.map((key) => [key.toString('latin1'), key]));
  const isAll = args[1]!.equals(ALL);
  for (const key of made) if (isAll || globMatches(args[1]!, key)) all.set(key.toString('latin1'), key);
  for (const name of gone) all.delete(name);
  return [...all.values()];
}

function scan(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [cursor, found] = answerTo(ctx, args) as readonly [Reply, readonly Reply[]];
  const { gone } = ownWrites(ctx);
  return [cursor, found.filter((key) => !isGone(gone, key))];
}

function count(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const before = Number(answerTo(ctx, args));
  const change = ctx
    .outside!.written(ctx.keyspace.db)
    .reduce((sum, { existed, exists }) => sum + Number(exists) - Number(existed), 0);
  return before + change;
}

function randomKey(ctx: CommandContext, args: readonly Buffer[]): Reply {
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const key = answerTo(ctx, args);
    const { made, gone } = ownWrites(ctx);
    if (key === null) return made[0] ?? null;
    if (!isGone(gone, key)) return key;
    if (made.length > 0) return made[ctx.random.int(made.length)]!;
  }
  return null;
}

/** Deletes key by key: a script is one command, and must not be seen half. */
function flush(ctx: CommandContext, args: readonly Buffer[], databases: readonly number[]): Reply {
  if (args.length > 2 || (args.length === 2 && !['sync', 'async'].includes(wordOf(args[1]!)))) throw errors.syntax();
  for (const db of databases) {
    const keyspace = KEYSPACES[db]!;
    for (const key of keys(ctx.nested(db, ctx.resp), [Buffer.from('keys'), ALL]))
      ctx.view.delete(keyspace.storageKey(key));
  }
  return OK;
}

const EVERY_DATABASE = Array.from({ length: DATABASE_COUNT }, (_, db) => db);

const CORRECTED: Readonly<Record<string, Outside>> = {
  keys,
  scan,
  dbsize: count,
  randomkey: randomKey,
  flushdb: (ctx, args) => flush(ctx, args, [ctx.keyspace.db]),
  flushall: (ctx, args) => flush(ctx, args, EVERY_DATABASE),
};

/** @param name of the command @throws RunAloneError when the answer is not known yet; RedisError */
export const callOutside = (ctx: CommandContext, name: string, args: readonly Buffer[]): Reply =>
  (CORRECTED[name] ?? answerTo)(ctx, args);
