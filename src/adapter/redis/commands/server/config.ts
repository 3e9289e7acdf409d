/** CONFIG GET, SET, RESETSTAT, REWRITE, HELP. */

import { type ClientSession, defineCommands, type RedisConfig, type ServerContext } from '../../command/index.ts';
import { errors, globMatches, MapReply, OK, RedisError, type Reply, wordOf } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { SETTING_BY_NAME, SETTINGS, type Setting } from './settings.ts';

function get(session: ClientSession, patterns: readonly Buffer[]): Reply {
  const matching = SETTINGS.filter(({ name }) =>
    patterns.some((pattern) => globMatches(pattern, Buffer.from(name), true)),
  );
  return new MapReply(matching.map((setting) => [setting.name, setting.get(session.server, session)]));
}

interface Change {
  readonly setting: Setting;
  readonly value: Buffer;
}

/** All or nothing: what was changed before a refusal is put back. */
function set(state: ServerContext, args: readonly Buffer[]): Reply | Promise<Reply> {
  if (args.length % 2 === 1) throw errors.wrongArity('config|set');
  const changes: Change[] = [];
  const failed = (name: string, reason: string) =>
    new RedisError(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`);
  for (let index = 0; index < args.length; index += 2) {
    const setting = SETTING_BY_NAME.get(wordOf(args[index]!));
    if (setting === undefined) {
      const name = args[index]!.toString('latin1', 0, 128);
      throw new RedisError(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`);
    }
    if (changes.some((change) => change.setting === setting)) throw failed(setting.name, 'duplicate parameter');
    if (setting.set === undefined && setting.setShared === undefined)
      throw failed(setting.name, "can't set immutable config");
    changes.push({ setting, value: args[index + 1]! });
  }
  const before = state.config;
  for (const { setting, value } of changes) {
    try {
      setting.set?.(state, value);
    } catch (error) {
      state.reconfigure(before);
      if (error instanceof RedisError) throw failed(setting.name, error.message);
      throw error;
    }
  }
  const shared = changes.filter(({ setting }) => setting.setShared !== undefined);
  if (shared.length === 0) return OK;
  return setShared(state, shared, before);
}

/** What all nodes have comes last: it is not put back. */
async function setShared(state: ServerContext, changes: readonly Change[], before: RedisConfig): Promise<Reply> {
  try {
    for (const { setting, value } of changes) await setting.setShared!(state, value);
  } catch (error) {
    state.reconfigure(before);
    throw error;
  }
  return OK;
}

const sub = declareWith({ group: 'server', flags: ['admin', 'noscript', 'loading', 'stale'], complexity: 'O(1)' });

export const configCommands = defineCommands([
  {
    name: 'config',
    arity: -2,
    flags: [],
    group: 'server',
    since: '2.0.0',
    summary: 'Looks at settings and changes them.',
    complexity: 'That of the subcommand',
    subcommands: [
      sub({
        name: 'get',
        arity: -3,
        since: '2.0.0',
        summary: 'Settings whose names a pattern fits, with their values.',
        differences: 'Shows the settings that mean something here, and those that tools ask for.',
        complexity: 'O(N) in the number of patterns',
        run: (session, args) => get(session, args.slice(2)),
      }),
      helpCommand({
        container: 'config',
        group: 'server',
        since: '5.0.0',
        lines: [
          'GET <pattern>',
          '    The settings whose names <pattern> fits, with their values.',
          'SET <directive> <value>',
          '    Changes the setting <directive> until the node stops.',
          'RESETSTAT',
          '    Begins to count anew what INFO counts.',
          'REWRITE',
          '    Refused: the configuration comes from the node, which does not write it.',
        ],
      }),
      sub({
        name: 'resetstat',
        arity: 2,
        since: '2.0.0',
        summary: 'Begins to count anew.',
        run: ({ server }) => {
          server.resetStats();
          return OK;
        },
      }),
      sub({
        name: 'rewrite',
        arity: 2,
        since: '2.8.0',
        summary: 'Would write the settings down; the node does not.',
        standing: 'refused',
        differences: 'Settings come from the configuration of the node, which it does not write.',
        run: () => {
          throw new RedisError('ERR The server is running without a config file');
        },
      }),
      sub({
        name: 'set',
        arity: -4,
        since: '2.0.0',
        summary: 'Changes settings, all of them or none.',
        differences:
          'Changes this node until it stops, but for notify-keyspace-events, which is one setting of the whole cluster and stays. Settings of Redis that ' +
          'decide nothing here are checked and remembered.',
        complexity: 'O(N) in the number of settings',
        run: (session, args) => set(session.server, args.slice(2)),
      }),
    ],
  },
]);
