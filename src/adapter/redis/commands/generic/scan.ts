/** KEYS, SCAN, RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL: commands over the whole keyspace, through all groups. */

import { defineCommands, type ScanContext } from '../../command/index.ts';
import {
  cursorHash,
  DATABASE_COUNT,
  decodeCursor,
  decodeStorageKey,
  KEYSPACES,
  type KeyRange,
} from '../../keys/index.ts';
import { cursorArgument, errors, integerArgument, OK, type Reply, wordOf } from '../../protocol/index.ts';
import { randomKey } from './random-key.ts';

/** Keys that KEYS and cursor resolution look at in one page. */
const PAGE_KEYS = 1_000;
const DEFAULT_SCAN_COUNT = 10n;
/** A larger COUNT would hold a leader up for too long. */
const MAX_SCAN_COUNT = 10_000n;
const MATCH_ALL = Buffer.from('*');

const userKeyOf = (storageKey: Buffer): Buffer => decodeStorageKey(storageKey)!.userKey;

/** Every matching key of a range, page by page. */
async function collectKeys(ctx: ScanContext, range: KeyRange, pattern?: Buffer, typeName?: string): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  let start: Buffer | undefined = range.start;
  while (start !== undefined) {
    const page = await ctx.page({ start, end: range.end, limit: PAGE_KEYS, pattern, typeName });
    for (const key of page.storageKeys) keys.push(userKeyOf(key));
    start = page.next;
  }
  return keys;
}

interface ScanOptions {
  readonly cursor: bigint;
  readonly pattern: Buffer | undefined;
  readonly limit: number;
  readonly typeName: string | undefined;
}

function parseScan(args: readonly Buffer[]): ScanOptions {
  const cursor = cursorArgument(args[1]!);
  let pattern: Buffer | undefined;
  let typeName: string | undefined;
  let count = DEFAULT_SCAN_COUNT;
  for (let index = 2; index < args.length; index += 2) {
    const value = args[index + 1];
    const option = wordOf(args[index]!);
    if (value === undefined) throw errors.syntax();
    if (option === 'count') {
      count = integerArgument(value);
      if (count < 1n) throw errors.syntax();
    } else if (option === 'match') {
      pattern = value.equals(MATCH_ALL) ? undefined : value;
    } else if (option === 'type') {
      typeName = wordOf(value);
    } else {
      throw errors.syntax();
    }
  }
  const limit = Number(count > MAX_SCAN_COUNT ? MAX_SCAN_COUNT : count);
  return { cursor, pattern, limit, typeName };
}

async function scan(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const { cursor, pattern, limit, typeName } = parseScan(args);
  const { keyspace } = ctx;
  const { end } = keyspace.wholeDb();
  const found: Buffer[] = [];
  let start: Buffer | undefined = keyspace.wholeDb().start;
  if (cursor !== 0n) {
    const position = decodeCursor(cursor);
    if (position === undefined) return ['0', []];
    start = ctx.cursors.recall(cursor, keyspace.db);
    if (start === undefined) {
      const slot = keyspace.slotRange(position.slot, position.slot + 1);
      start = await findByHash(ctx, slot, position.hash);
      if (start === undefined) {
        // The key is gone. All of the slot at once: a scan that went back to the slot's start might never get past it.
        found.push(...(await collectKeys(ctx, slot, pattern, typeName)));
        start = slot.end;
      }
    }
  }
  const page = await ctx.page({ start, end, limit, pattern, typeName });
  for (const key of page.storageKeys) found.push(userKeyOf(key));
  return [nextCursor(ctx, page.next), found];
}

/** Where to go on may be a border between groups, which need not be as long as a key; no key lies between it and its slot. */
function nextCursor(ctx: ScanContext, next: Buffer | undefined): string {
  if (next === undefined) return '0';
  const slot = ((next[2] ?? 0) << 8) | (next[3] ?? 0);
  return String(ctx.cursors.cursorFor(next, ctx.keyspace.db, slot));
}

/** The key of a slot that a cursor's hash was made of. */
async function findByHash(ctx: ScanContext, slot: KeyRange, hash: bigint): Promise<Buffer | undefined> {
  let start: Buffer | undefined = slot.start;
  while (start !== undefined) {
    const page = await ctx.page({ start, end: slot.end, limit: PAGE_KEYS, pattern: undefined, typeName: undefined });
    const found = page.storageKeys.find((key) => cursorHash(key) === hash);
    if (found !== undefined) return found;
    start = page.next;
  }
  return undefined;
}

/** SYNC and ASYNC are accepted and mean the same: a flush is one small entry in each group's log either way. */
async function flush(ctx: ScanContext, args: readonly Buffer[], range: KeyRange): Promise<Reply> {
  if (args.length > 2) throw errors.syntax();
  if (args.length === 2 && !['sync', 'async'].includes(wordOf(args[1]!))) throw errors.syntax();
  await ctx.flush(range);
  return OK;
}

const ALL_DATABASES: KeyRange = {
  start: KEYSPACES[0]!.wholeDb().start,
  end: KEYSPACES[DATABASE_COUNT - 1]!.wholeDb().end,
};

export const scanCommands = defineCommands([
  {
    name: 'dbsize',
    arity: 1,
    flags: ['readonly', 'fast'],
    group: 'server',
    aclCategories: ['keyspace'],
    since: '1.0.0',
    summary: 'Counts the keys of the selected database.',
    differences: 'Counts expired keys until they are purged, within a second or so.',
    complexity: 'O(1)',
    handler: { kind: 'scan', run: (ctx) => ctx.count(ctx.keyspace.db) },
  },
  {
    name: 'flushall',
    arity: -1,
    flags: ['write'],
    group: 'server',
    aclCategories: ['keyspace', 'dangerous'],
    since: '1.0.0',
    summary: 'Deletes all keys of all databases.',
    differences: 'Atomic in each range of a group, not across them.',
    complexity: 'O(N) in the number of ranges',
    handler: { kind: 'scan', run: (ctx, args) => flush(ctx, args, ALL_DATABASES) },
  },
  {
    name: 'flushdb',
    arity: -1,
    flags: ['write'],
    group: 'server',
    aclCategories: ['keyspace', 'dangerous'],
    since: '1.0.0',
    summary: 'Deletes all keys of the selected database.',
    differences: 'As FLUSHALL.',
    complexity: 'O(N) in the number of ranges',
    handler: { kind: 'scan', run: (ctx, args) => flush(ctx, args, ctx.keyspace.wholeDb()) },
  },
  {
    name: 'keys',
    arity: 2,
    flags: ['readonly'],
    group: 'generic',
    aclCategories: ['dangerous'],
    since: '1.0.0',
    summary: 'All keys that a pattern fits.',
    complexity: 'O(N) in the number of keys',
    handler: {
      kind: 'scan',
      run: (ctx, args) => collectKeys(ctx, ctx.keyspace.wholeDb(), args[1]!.equals(MATCH_ALL) ? undefined : args[1]!),
    },
  },
  {
    name: 'randomkey',
    arity: 1,
    flags: ['readonly'],
    group: 'generic',
    since: '1.0.0',
    summary: 'A key by chance.',
    differences: 'Favours keys that share their slot with few others, and knows 16,384 keys of a slot.',
    complexity: 'O(1)',
    handler: { kind: 'scan', run: randomKey },
  },
  {
    name: 'scan',
    arity: -2,
    flags: ['readonly'],
    group: 'generic',
    since: '2.8.0',
    summary: 'Walks over all keys, a part a call.',
    differences: 'A call looks at 10,000 keys at most. TYPE takes the types that there are.',
    complexity: 'O(N) in COUNT for a call, in the number of keys for a walk',
    handler: { kind: 'scan', run: scan },
  },
]);
