/** INFO, TIME, WAIT, ROLE, LASTSAVE, SAVE, BGSAVE, DEBUG SLEEP, LOLWUT. */

import { type ClientSession, type CommandSpec, defineCommands, type ScanContext } from '../../command/index.ts';
import { DATABASE_COUNT } from '../../keys/index.ts';
import {
  errors,
  integerArgument,
  OK,
  RedisError,
  type Reply,
  SERVER_VERSION,
  SimpleString,
  timeoutArgument,
  VerbatimReply,
  wordOf,
} from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';
import { INFO_SECTIONS } from './info-sections.ts';

/** INFO's key counts are left out when the leaders do not answer within this time. */
const KEYSPACE_TIMEOUT_MS = 1_000;

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
  const counts = await Promise.all(
    Array.from({ length: DATABASE_COUNT }, (_, db) => ctx.count(db, KEYSPACE_TIMEOUT_MS).catch(() => 0)),
  );
  return counts.map((keys, db) => (keys === 0 ? '' : `db${db}:keys=${keys},expires=0,avg_ttl=0\r\n`)).join('');
}

function time(session: ClientSession): Reply {
  const nowMs = session.server.clock.nowMs();
  return [String(Math.floor(nowMs / 1000)), String((nowMs % 1000) * 1000)];
}

/** How long DEBUG SLEEP may take, seconds. */
const MAX_SLEEP_SECONDS = 3_600;

function debugSleep(session: ClientSession, args: readonly Buffer[]): Promise<Reply> {
  if (!session.server.config.debugCommands) {
    throw new RedisError(
      'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local ' +
        'connection, otherwise you need to set this option in the configuration file, and then restart the server.',
    );
  }
  const seconds = Number.parseFloat(args[2]!.toString('latin1'));
  const sleepMs = Math.min(Math.max(Number.isNaN(seconds) ? 0 : seconds, 0), MAX_SLEEP_SECONDS) * 1000;
  return new Promise((resolve) => {
    session.server.scheduler.after(sleepMs, () => resolve(OK));
  });
}

function lolwut(args: readonly Buffer[]): Reply {
  if (args.length > 2 && wordOf(args[1]!) === 'version') integerArgument(args[2]!);
  const picture = ['   o---o', '   |\\ /|', '   | o |', '   |/ \\|', '   o---o'];
  return new VerbatimReply(
    `${picture.join('\n')}\n\nFive agree, or three of them. kvorum, Redis ver. ${SERVER_VERSION}\n`,
  );
}

type Run = (session: ClientSession, args: readonly Buffer[]) => Reply | Promise<Reply>;

const server = (
  name: string,
  arity: number,
  flags: CommandSpec['flags'],
  since: string,
  summary: string,
  run: Run,
  aclCategories: readonly string[] = [],
): CommandSpec => ({
  name,
  arity,
  flags,
  group: 'server',
  aclCategories,
  since,
  summary,
  complexity: 'O(1)',
  handler: { kind: 'connection', run },
});

export const serverCommands = defineCommands([
  server(
    'bgsave',
    -1,
    ['admin', 'noscript', 'no_async_loading'],
    '1.0.0',
    'Asynchronously save the dataset to disk',
    (_session, args) => {
      if (args.length > 2 || (args.length === 2 && wordOf(args[1]!) !== 'schedule')) throw errors.syntax();
      return new SimpleString('Background saving started');
    },
  ),
  {
    name: 'debug',
    arity: -2,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    group: 'server',
    since: '1.0.0',
    summary: 'A container for debugging commands',
    complexity: 'Depends on subcommand.',
    subcommands: [
      helpCommand('debug', 'server', '1.0.0', [
        'SLEEP <seconds>',
        '    Stop this connection for <seconds>. Decimals allowed.',
      ]),
      server('sleep', 3, ['admin', 'noscript', 'loading', 'stale'], '1.0.0', 'Pause the connection', debugSleep),
    ],
  },
  {
    name: 'info',
    arity: -1,
    flags: ['loading', 'stale'],
    group: 'server',
    aclCategories: ['dangerous'],
    since: '1.0.0',
    summary: 'Get information and statistics about the server',
    complexity: 'O(1)',
    handler: { kind: 'scan', run: info },
  },
  server(
    'lastsave',
    1,
    ['loading', 'stale', 'fast'],
    '1.0.0',
    'Get the UNIX time stamp of the last successful save to disk',
    (session) => Math.floor(session.server.clock.nowMs() / 1000),
    ['admin', 'dangerous'],
  ),
  server('lolwut', -1, ['readonly', 'fast'], '5.0.0', 'Display some computer art and the Redis version', (_c, args) =>
    lolwut(args),
  ),
  server(
    'role',
    1,
    ['noscript', 'loading', 'stale', 'fast'],
    '2.8.12',
    'Return the role of the instance in the context of replication',
    () => ['master', 0, []],
    ['admin', 'dangerous'],
  ),
  // Everything acknowledged is on disk already.
  server(
    'save',
    1,
    ['admin', 'noscript', 'no_async_loading', 'no_multi'],
    '1.0.0',
    'Synchronously save the dataset to disk',
    () => OK,
  ),
  server('time', 1, ['loading', 'stale', 'fast'], '2.6.0', 'Return the current server time', (session) =>
    time(session),
  ),
  {
    name: 'wait',
    arity: 3,
    flags: ['noscript'],
    group: 'generic',
    aclCategories: ['connection'],
    since: '3.0.0',
    summary:
      'Wait for the synchronous replication of all the write commands sent in the context of the current connection',
    complexity: 'O(1)',
    handler: {
      kind: 'scan',
      run: async (ctx, args) => {
        integerArgument(args[1]!);
        timeoutArgument(args[2]!);
        return ctx.session.server.quorumReplicas();
      },
    },
  },
]);
