/** INFO, TIME, ROLE, LASTSAVE, SAVE, BGSAVE, LOLWUT. */

import { type ClientSession, defineCommands, type ScanContext } from '../../command/index.ts';
import {
  errors,
  integerArgument,
  OK,
  type Reply,
  SERVER_VERSION,
  SimpleString,
  VerbatimReply,
  wordOf,
} from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { INFO_SECTIONS } from './info-sections.ts';
import { keyCounts } from './key-counts.ts';

async function info(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> {
  const asked = new Set(args.slice(1).map(wordOf));
  const everything = asked.has('all') || asked.has('everything');
  const usual = everything || asked.size === 0 || asked.has('default');
  const parts: string[] = [];
  for (const [name, { title, fields, isExtra }] of INFO_SECTIONS) {
    if (!(isExtra ? everything : usual) && !asked.has(name)) continue;
    const lines = fields(ctx.session.server, ctx.session).map(([field, value]) => `${field}:${value}\r\n`);
    parts.push(`# ${title}\r\n${lines.join('')}`);
  }
  if (usual || asked.has('keyspace')) parts.push(`# Keyspace\r\n${await keyspaceLines(ctx)}`);
  return new VerbatimReply(parts.join('\r\n'));
}

async function keyspaceLines(ctx: ScanContext): Promise<string> {
  const counts = await keyCounts(ctx);
  const lines = counts.map(async (keys, db) => {
    if (keys === 0) return '';
    const sample = await ctx.sample(db, keys);
    const expires = sample.keys === 0 ? 0 : Math.round((keys * sample.expiring) / sample.keys);
    const averageMs = sample.expiring === 0 ? 0 : Math.round(sample.leftMs / sample.expiring);
    return `db${db}:keys=${keys},expires=${expires},avg_ttl=${averageMs}\r\n`;
  });
  return (await Promise.all(lines)).join('');
}

function time(session: ClientSession): Reply {
  const nowMs = session.server.clock.nowMs();
  return [String(Math.floor(nowMs / 1000)), String((nowMs % 1000) * 1000)];
}

function lolwut(args: readonly Buffer[]): Reply {
  if (args.length > 2 && wordOf(args[1]!) === 'version') integerArgument(args[2]!);
  const picture = ['   o---o', '   |\\ /|', '   | o |', '   |/ \\|', '   o---o'];
  return new VerbatimReply(
    `${picture.join('\n')}\n\nFive agree, or three of them. kvorum, Redis ver. ${SERVER_VERSION}\n`,
  );
}

const server = declareWith({ group: 'server', flags: ['loading', 'stale', 'fast'], complexity: 'O(1)' });

const SAVING = ['admin', 'noscript', 'no_async_loading'] as const;

export const serverCommands = defineCommands([
  server({
    name: 'bgsave',
    arity: -1,
    flags: SAVING,
    since: '1.0.0',
    summary: 'Succeeds at once: everything acknowledged is on disk already.',
    differences: 'Has nothing to do: what is acknowledged is on the disks of a quorum.',
    run: (_session, args) => {
      if (args.length > 2 || (args.length === 2 && wordOf(args[1]!) !== 'schedule')) throw errors.syntax();
      return new SimpleString('Background saving started');
    },
  }),
  server({
    name: 'info',
    arity: -1,
    flags: ['loading', 'stale'],
    aclCategories: ['dangerous'],
    since: '1.0.0',
    summary: 'Facts and figures about the server, section by section.',
    differences:
      'What means nothing here is 0. `role` is `master` on every node. `commandstats` has the calls of the clients of a node and the time of what the ' +
      'node itself has evaluated, for whatever client; `keyspace_hits` are of the latter too. `expires` and `avg_ttl` are estimates from 256 keys of ' +
      'those that the node leads. Libraries and their functions are those that the node has run or was asked about.',
    handler: { kind: 'scan', run: info },
  }),
  server({
    name: 'lastsave',
    arity: 1,
    aclCategories: ['admin', 'dangerous'],
    since: '1.0.0',
    summary: 'The unix time at which everything acknowledged was on disk: now.',
    differences: 'Is now.',
    run: (session) => Math.floor(session.server.clock.nowMs() / 1000),
  }),
  server({
    name: 'lolwut',
    arity: -1,
    flags: ['readonly', 'fast'],
    since: '5.0.0',
    summary: 'A picture, and the version.',
    run: (_session, args) => lolwut(args),
  }),
  server({
    name: 'role',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast'],
    aclCategories: ['admin', 'dangerous'],
    since: '2.8.12',
    summary: 'What the node is to its clients: a master.',
    differences: 'Every node takes writes, so every node is a master without replicas.',
    run: () => ['master', 0, []],
  }),
  server({
    name: 'save',
    arity: 1,
    flags: [...SAVING, 'no_multi'],
    since: '1.0.0',
    summary: 'Succeeds at once: everything acknowledged is on disk already.',
    differences: 'Has nothing to do: what is acknowledged is on the disks of a quorum.',
    run: () => OK,
  }),
  server({
    name: 'time',
    arity: 1,
    since: '2.6.0',
    summary: 'The time of the server: seconds and microseconds.',
    run: time,
  }),
]);
