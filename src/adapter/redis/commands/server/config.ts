/** CONFIG GET, SET, RESETSTAT, REWRITE, HELP. */

import { type ClientSession, defineCommands, type ServerContext } from '../../command/index.ts';
import { errors, globMatches, MapReply, OK, RedisError, type Reply, wordOf } from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';
import { serverSubcommand } from '../server-subcommand.ts';
import { SETTING_BY_NAME, SETTINGS, type Setting } from './settings.ts';

function get(session: ClientSession, patterns: readonly Buffer[]): Reply {
  const matching = SETTINGS.filter(({ name }) =>
    patterns.some((pattern) => globMatches(pattern, Buffer.from(name), true)),
  );
  return new MapReply(matching.map((setting) => [setting.name, setting.get(session.server, session)]));
}

/** All or nothing: what was changed before a refusal is put back. */
function set(state: ServerContext, args: readonly Buffer[]): Reply {
  if (args.length % 2 === 1) throw errors.wrongArity('config|set');
  const changes: { readonly setting: Setting; readonly value: Buffer }[] = [];
  const failed = (name: string, reason: string) =>
    new RedisError(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`);
  for (let index = 0; index < args.length; index += 2) {
    const setting = SETTING_BY_NAME.get(wordOf(args[index]!));
    if (setting === undefined) {
      const name = args[index]!.toString('latin1', 0, 128);
      throw new RedisError(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`);
    }
    if (changes.some((change) => change.setting === setting)) throw failed(setting.name, 'duplicate parameter');
    if (setting.set === undefined) throw failed(setting.name, "can't set immutable config");
    changes.push({ setting, value: args[index + 1]! });
  }
  const before = state.config;
  for (const { setting, value } of changes) {
    try {
      setting.set!(state, value);
    } catch (error) {
      state.reconfigure(before);
      if (error instanceof RedisError) throw failed(setting.name, error.message);
      throw error;
    }
  }
  return OK;
}

const sub = serverSubcommand({ flags: ['admin', 'noscript', 'loading', 'stale'] });

export const configCommands = defineCommands([
  {
    name: 'config',
    arity: -2,
    flags: [],
    group: 'server',
    since: '2.0.0',
    summary: 'A container for server configuration commands',
    complexity: 'Depends on subcommand.',
    subcommands: [
      sub(
        'get',
        -3,
        '2.0.0',
        'Get the values of configuration parameters',
        'O(N) when N is the number of configuration parameters provided',
        (session, args) => get(session, args.slice(2)),
      ),
      helpCommand('config', 'server', '5.0.0', [
        'GET <pattern>',
        '    Return parameters matching the glob-like <pattern> and their values.',
        'SET <directive> <value>',
        '    Set the configuration <directive> to <value>.',
        'RESETSTAT',
        '    Reset statistics reported by the INFO command.',
        'REWRITE',
        '    Rewrite the configuration file.',
      ]),
      sub('resetstat', 2, '2.0.0', 'Reset the stats returned by INFO', 'O(1)', (session) => {
        session.server.resetStats();
        return OK;
      }),
      sub('rewrite', 2, '2.8.0', 'Rewrite the configuration file with the in memory configuration', 'O(1)', () => {
        throw new RedisError('ERR The server is running without a config file');
      }),
      sub(
        'set',
        -4,
        '2.0.0',
        'Set configuration parameters to the given values',
        'O(N) when N is the number of configuration parameters provided',
        (session, args) => set(session.server, args.slice(2)),
      ),
    ],
  },
]);
