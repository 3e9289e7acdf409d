/** CLIENT and its subcommands. */

import type { Millis } from '../../../../platform/index.ts';
import { type ClientSession, type CommandSpec, type ConnectedClient, defineCommands } from '../../command/index.ts';
import {
  errors,
  integerArgument,
  MapReply,
  NO_REPLY,
  OK,
  RedisError,
  type Reply,
  SetReply,
  timeoutArgument,
  VerbatimReply,
  wordOf,
} from '../../protocol/index.ts';
import { MAX_STALENESS_MS } from '../../request/index.ts';
import { helpCommand } from '../help.ts';
import { checkClientName } from './connection.ts';

const CLIENT_TYPES: ReadonlySet<string> = new Set(['normal', 'master', 'replica', 'slave', 'pubsub']);

/** One line of CLIENT LIST. Fields that stand for what kvorum does not have keep the value that Redis shows for an idle client. */
function clientLine(client: ConnectedClient, nowMs: Millis): string {
  const seconds = (sinceMs: number) => Math.floor((nowMs - sinceMs) / 1000);
  const flags = [
    client.queuedCommands === undefined ? '' : 'x',
    client.noEvict ? 'e' : '',
    client.noTouch ? 'T' : '',
  ].join('');
  const fields: readonly (readonly [string, string | number])[] = [
    ['id', client.id],
    ['addr', client.remoteAddress],
    ['laddr', client.localAddress],
    ['fd', client.id],
    ['name', client.name],
    ['age', seconds(client.connectedMs)],
    ['idle', seconds(client.lastCommandMs)],
    ['flags', flags === '' ? 'N' : flags],
    ['db', client.db],
    ['sub', 0],
    ['psub', 0],
    ['ssub', 0],
    ['multi', client.queuedCommands ?? -1],
    ['qbuf', client.queryBufferBytes],
    ['qbuf-free', 0],
    ['argv-mem', 0],
    ['multi-mem', 0],
    ['rbs', 0],
    ['rbp', 0],
    ['obl', 0],
    ['oll', client.pendingReplies],
    ['omem', client.unreadReplyBytes],
    ['tot-mem', client.queryBufferBytes + client.unreadReplyBytes],
    ['events', 'r'],
    ['cmd', client.lastCommand],
    ['user', 'default'],
    ['redir', -1],
    ['resp', client.resp],
    ['lib-name', client.libName],
    ['lib-ver', client.libVersion],
  ];
  return fields.map(([name, value]) => `${name}=${value}`).join(' ');
}

/** @throws RedisError for a type that does not exist */
function clientType(argument: Buffer): string {
  const type = wordOf(argument);
  if (!CLIENT_TYPES.has(type)) throw new RedisError(`ERR Unknown client type '${argument.toString('latin1', 0, 128)}'`);
  return type;
}

function list(session: ClientSession, args: readonly Buffer[]): Reply {
  const nowMs = session.server.clock.monotonicMs();
  let selected = [...session.server.connections.values()];
  if (args.length === 4 && wordOf(args[2]!) === 'type') {
    if (clientType(args[3]!) !== 'normal') selected = [];
  } else if (args.length > 3 && wordOf(args[2]!) === 'id') {
    const ids = args.slice(3).map((id) => {
      const value = integerArgument(id, 'ERR Invalid client ID');
      if (value < 1n) throw new RedisError('ERR Invalid client ID');
      return Number(value);
    });
    selected = ids.flatMap((id) => session.server.connections.get(id) ?? []);
  } else if (args.length !== 2) {
    throw errors.syntax();
  }
  return new VerbatimReply(selected.map((one) => `${clientLine(one, nowMs)}\n`).join(''));
}

interface KillFilter {
  id: number | undefined;
  type: string | undefined;
  user: string | undefined;
  addr: string | undefined;
  laddr: string | undefined;
  skipMe: boolean;
}

function parseKillFilter(args: readonly Buffer[]): KillFilter {
  const filter: KillFilter = {
    id: undefined,
    type: undefined,
    user: undefined,
    addr: undefined,
    laddr: undefined,
    skipMe: true,
  };
  for (let index = 2; index < args.length; index += 2) {
    const value = args[index + 1];
    const option = wordOf(args[index]!);
    if (value === undefined) throw errors.syntax();
    if (option === 'id') {
      const id = integerArgument(value, 'ERR client-id should be greater than 0');
      if (id < 1n) throw new RedisError('ERR client-id should be greater than 0');
      filter.id = Number(id);
    } else if (option === 'type') {
      filter.type = clientType(value);
    } else if (option === 'addr') {
      filter.addr = value.toString('latin1');
    } else if (option === 'laddr') {
      filter.laddr = value.toString('latin1');
    } else if (option === 'user') {
      filter.user = value.toString('latin1');
      if (filter.user !== 'default') throw new RedisError(`ERR No such user '${filter.user}'`);
    } else if (option === 'skipme') {
      const word = wordOf(value);
      if (word !== 'yes' && word !== 'no') throw errors.syntax();
      filter.skipMe = word === 'yes';
    } else {
      throw errors.syntax();
    }
  }
  return filter;
}

function kill(session: ClientSession, args: readonly Buffer[]): Reply {
  const { connections } = session.server;
  const end = (victim: ConnectedClient) => {
    if (victim === session) victim.closeAfterReplies();
    else victim.destroy();
  };
  if (args.length === 3) {
    const address = args[2]!.toString('latin1');
    const victim = [...connections.values()].find((one) => one.remoteAddress === address);
    if (victim === undefined) throw new RedisError('ERR No such client');
    end(victim);
    return OK;
  }
  const filter = parseKillFilter(args);
  let killed = 0;
  for (const one of [...connections.values()]) {
    if (filter.id !== undefined && one.id !== filter.id) continue;
    if (filter.type !== undefined && filter.type !== 'normal') continue;
    if (filter.addr !== undefined && one.remoteAddress !== filter.addr) continue;
    if (filter.laddr !== undefined && one.localAddress !== filter.laddr) continue;
    if (filter.skipMe && one === session) continue;
    end(one);
    killed++;
  }
  return killed;
}

function reply(session: ClientSession, args: readonly Buffer[]): Reply {
  switch (wordOf(args[2]!)) {
    case 'on':
      session.setReplyMode('on');
      return OK;
    case 'off':
      session.setReplyMode('off');
      return NO_REPLY;
    case 'skip':
      session.setReplyMode('skip');
      return NO_REPLY;
    default:
      throw errors.syntax();
  }
}

function pause(session: ClientSession, args: readonly Buffer[]): Reply {
  let writesOnly = false;
  if (args.length === 4) {
    const mode = wordOf(args[3]!);
    if (mode !== 'write' && mode !== 'all') throw new RedisError('ERR CLIENT PAUSE mode must be WRITE or ALL');
    writesOnly = mode === 'write';
  } else if (args.length > 4) {
    throw errors.syntax();
  }
  session.server.pauseClients(timeoutArgument(args[2]!), writesOnly);
  return OK;
}

function unpause(session: ClientSession): Reply {
  session.server.resumeClients();
  return OK;
}

function tracking(args: readonly Buffer[]): Reply {
  const mode = wordOf(args[2]!);
  if (mode === 'on')
    throw new RedisError('ERR client-side caching with CLIENT TRACKING is not available on this server');
  if (mode !== 'off') throw errors.syntax();
  return OK;
}

function unblock(args: readonly Buffer[]): Reply {
  const reason = args[3] === undefined ? 'timeout' : wordOf(args[3]);
  if (args.length > 4 || (reason !== 'timeout' && reason !== 'error')) {
    throw new RedisError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR');
  }
  integerArgument(args[2]!);
  // No command of this server blocks a client, so there is never one to unblock.
  return 0;
}

function setInfo(session: ClientSession, args: readonly Buffer[]): Reply {
  const attribute = wordOf(args[2]!);
  const value = args[3]!;
  if (attribute !== 'lib-name' && attribute !== 'lib-ver') {
    throw new RedisError(`ERR Unrecognized option '${args[2]!.toString('latin1', 0, 128)}'`);
  }
  if (value.some((byte) => byte < 0x21 || byte > 0x7e)) {
    throw new RedisError(`ERR ${attribute} cannot contain spaces, newlines or special characters.`);
  }
  session.setLibrary(attribute === 'lib-name' ? 'name' : 'version', value.toString('latin1'));
  return OK;
}

function staleness(session: ClientSession, args: readonly Buffer[]): Reply {
  const ms = integerArgument(args[2]!, 'ERR the staleness is not an integer');
  if (ms < 0n || ms > BigInt(MAX_STALENESS_MS)) {
    throw new RedisError(`ERR the staleness is between 0 and ${MAX_STALENESS_MS} milliseconds`);
  }
  session.setStaleness(Number(ms));
  return OK;
}

function onOff(argument: Buffer): boolean {
  const word = wordOf(argument);
  if (word !== 'on' && word !== 'off') throw errors.syntax();
  return word === 'on';
}

type Run = (session: ClientSession, args: readonly Buffer[]) => Reply;

const ANYTIME = ['noscript', 'loading', 'stale'] as const;

function sub(name: string, arity: number, since: string, summary: string, run: Run, admin = false): CommandSpec {
  return {
    name,
    arity,
    flags: admin ? ['admin', ...ANYTIME] : ANYTIME,
    group: 'connection',
    aclCategories: ['connection'],
    since,
    summary,
    complexity: 'O(1)',
    handler: { kind: 'connection', run },
  };
}

const HELP = [
  'GETREDIR',
  '    Return the client ID we are redirecting to when tracking is enabled.',
  'GETNAME',
  '    Return the name of the current connection.',
  'ID',
  '    Return the ID of the current connection.',
  'INFO',
  '    Return information about the current client connection.',
  'KILL <ip:port>',
  '    Kill connection made from <ip:port>.',
  'KILL <option> <value> [<option> <value> [...]]',
  '    Kill connections. Options are:',
  '    * ADDR (<ip:port>|<unixsocket>:0)',
  '      Kill connections made from the specified address',
  '    * LADDR (<ip:port>|<unixsocket>:0)',
  '      Kill connections made to specified local address',
  '    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)',
  '      Kill connections by type.',
  '    * USER <username>',
  '      Kill connections authenticated by <username>.',
  '    * SKIPME (YES|NO)',
  '      Skip killing current connection (default: yes).',
  'KVORUM-REDIRECTS (ON|OFF)',
  '    Answer MOVED for slots that other nodes lead, or pass commands on to them.',
  'KVORUM-STALENESS <milliseconds>',
  '    How old the answers to reads may be after READONLY.',
  'LIST [options ...]',
  '    Return information about client connections. Options:',
  '    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)',
  '      Return clients of specified type.',
  'UNPAUSE',
  '    Stop the current client pause, resuming traffic.',
  'PAUSE <timeout> [WRITE|ALL]',
  '    Suspend all, or just write, clients for <timeout> milliseconds.',
  'REPLY (ON|OFF|SKIP)',
  '    Control the replies sent to the current connection.',
  'SETINFO <option> <value>',
  '    Set client meta attr. Options are:',
  '    * LIB-NAME: the client lib name.',
  '    * LIB-VER: the client lib version.',
  'SETNAME <name>',
  '    Assign the name <name> to the current connection.',
  'UNBLOCK <clientid> [TIMEOUT|ERROR]',
  '    Unblock the specified blocked client.',
  'TRACKING OFF',
  '    Server assisted client side caching is always off.',
  'TRACKINGINFO',
  '    Report tracking status for the current connection.',
  'NO-EVICT (ON|OFF)',
  '    Protect current client connection from eviction.',
  'NO-TOUCH (ON|OFF)',
  '    Will not touch LRU/LFU stats when this mode is on.',
];

export const clientCommands = defineCommands([
  {
    name: 'client',
    arity: -2,
    flags: [],
    group: 'connection',
    since: '2.4.0',
    summary: 'A container for client connection commands',
    complexity: 'Depends on subcommand.',
    subcommands: [
      sub('getname', 2, '2.6.9', 'Get the current connection name', (session) =>
        session.name === '' ? null : session.name,
      ),
      sub('getredir', 2, '6.0.0', 'Get tracking notifications redirection client ID if any', () => -1),
      sub('id', 2, '5.0.0', 'Returns the client ID for the current connection', (session) => session.id),
      sub(
        'info',
        2,
        '6.2.0',
        'Returns information about the current client connection.',
        (session) => new VerbatimReply(`${clientLine(session, session.server.clock.monotonicMs())}\n`),
      ),
      sub('kill', -3, '2.4.0', 'Kill the connection of a client', kill, true),
      sub('kvorum-staleness', 3, '7.0.0', 'Set how old answers may be after READONLY', staleness),
      sub(
        'kvorum-redirects',
        3,
        '7.0.0',
        'Redirect commands on this connection with MOVED, as Redis Cluster does, or pass them on',
        (session, args) => {
          session.setRedirects(onOff(args[2]!));
          return OK;
        },
      ),
      sub('list', -2, '2.4.0', 'Get the list of client connections', list, true),
      sub(
        'no-evict',
        3,
        '7.0.0',
        'Set client eviction mode for the current connection',
        (session, args) => {
          session.setNoEvict(onOff(args[2]!));
          return OK;
        },
        true,
      ),
      sub(
        'no-touch',
        3,
        '7.2.0',
        'Controls whether commands sent by the client affect the LRU/LFU of accessed keys.',
        (session, args) => {
          session.setNoTouch(onOff(args[2]!));
          return OK;
        },
      ),
      sub('pause', -3, '3.0.0', 'Stop processing commands from clients for some time', pause, true),
      sub('reply', 3, '3.2.0', 'Instruct the server whether to reply to commands', reply),
      sub('setinfo', 4, '7.2.0', 'Sets information specific to the client or connection.', setInfo),
      sub('setname', 3, '2.6.9', 'Set the current connection name', (session, args) => {
        session.setName(checkClientName(args[2]!));
        return OK;
      }),
      sub('tracking', -3, '6.0.0', 'Enable or disable server assisted client side caching support', (_session, args) =>
        tracking(args),
      ),
      sub(
        'trackinginfo',
        2,
        '6.2.0',
        'Return information about server assisted client side caching for the current connection',
        () =>
          new MapReply([
            ['flags', new SetReply(['off'])],
            ['redirect', -1],
            ['prefixes', []],
          ]),
      ),
      sub(
        'unblock',
        -3,
        '5.0.0',
        'Unblock a client blocked in a blocking command from a different connection',
        (_session, args) => unblock(args),
        true,
      ),
      sub('unpause', 2, '6.2.0', 'Resume processing of clients that were paused', unpause, true),
      helpCommand('client', 'connection', '5.0.0', HELP),
    ],
  },
]);
