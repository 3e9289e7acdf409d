/** What the subcommands of CLIENT do; `client-commands.ts` declares them. */

import type { Millis } from '../../../../platform/index.ts';
import type { ClientSession, ConnectedClient } from '../../command/index.ts';
import {
  errors,
  integerArgument,
  NO_REPLY,
  OK,
  RedisError,
  type Reply,
  timeoutArgument,
  VerbatimReply,
  wordOf,
} from '../../protocol/index.ts';
import { MAX_STALENESS_MS } from '../../request/index.ts';
import { checkClientName } from './connection.ts';

const CLIENT_TYPES: ReadonlySet<string> = new Set(['normal', 'master', 'replica', 'slave', 'pubsub']);

/** Whether a client gets messages of any kind. */
const isListening = (client: ConnectedClient): boolean =>
  client.listensTo('channel') + client.listensTo('pattern') + client.listensTo('shard') > 0;

const isOfType = (client: ConnectedClient, type: string): boolean =>
  type === (isListening(client) ? 'pubsub' : 'normal');

/** One line of CLIENT LIST. Fields that stand for what kvorum does not have keep the value that Redis shows for an idle client. */
export function clientLine(client: ConnectedClient, nowMs: Millis): string {
  const seconds = (sinceMs: number) => Math.floor((nowMs - sinceMs) / 1000);
  const flags = [
    client.isMonitor ? 'O' : '',
    isListening(client) ? 'P' : '',
    client.queuedCommands === undefined ? '' : 'x',
    client.isBlocked ? 'b' : '',
    client.tracking.isOn ? 't' : '',
    client.tracking.isBroken ? 'R' : '',
    client.tracking.isBroadcast ? 'B' : '',
    client.readOnly ? 'r' : '',
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
    ['sub', client.listensTo('channel')],
    ['psub', client.listensTo('pattern')],
    ['ssub', client.listensTo('shard')],
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
    ['user', client.userName],
    ['redir', client.tracking.redirect],
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

/** CLIENT LIST [TYPE type | ID id ..]. */
export function list(session: ClientSession, args: readonly Buffer[]): Reply {
  const nowMs = session.server.clock.monotonicMs();
  let selected = [...session.server.connections.values()];
  if (args.length === 4 && wordOf(args[2]!) === 'type') {
    const type = clientType(args[3]!);
    selected = selected.filter((client) => isOfType(client, type));
  } else if (args.length > 3 && wordOf(args[2]!) === 'id') {
    const ids = args.slice(3).map((id) => Number(integerArgument(id, 'ERR Invalid client ID')));
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

function parseKillFilter(args: readonly Buffer[], isKnownUser: (name: string) => boolean): KillFilter {
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
      if (!isKnownUser(filter.user)) throw new RedisError(`ERR No such user '${filter.user}'`);
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

/** CLIENT KILL, with an address or with options. */
export function kill(session: ClientSession, args: readonly Buffer[]): Reply {
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
  const filter = parseKillFilter(args, (name) => session.server.users.find(name) !== undefined);
  let killed = 0;
  for (const one of [...connections.values()]) {
    if (filter.id !== undefined && one.id !== filter.id) continue;
    if (filter.type !== undefined && !isOfType(one, filter.type)) continue;
    if (filter.addr !== undefined && one.remoteAddress !== filter.addr) continue;
    if (filter.user !== undefined && one.userName !== filter.user) continue;
    if (filter.laddr !== undefined && one.localAddress !== filter.laddr) continue;
    if (filter.skipMe && one === session) continue;
    end(one);
    killed++;
  }
  return killed;
}

/** CLIENT REPLY ON, OFF or SKIP. */
export function reply(session: ClientSession, args: readonly Buffer[]): Reply {
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

/** CLIENT PAUSE for milliseconds, all commands or only writes. */
export function pause(session: ClientSession, args: readonly Buffer[]): Reply {
  let writesOnly = false;
  if (args.length === 4) {
    const mode = wordOf(args[3]!);
    if (mode !== 'write' && mode !== 'all') throw new RedisError('ERR CLIENT PAUSE mode must be WRITE or ALL');
    writesOnly = mode === 'write';
  } else if (args.length > 4) {
    throw errors.subcommandSyntax('CLIENT', args[1]!.toString('latin1'));
  }
  session.server.pauseClients(timeoutArgument(args[2]!), writesOnly);
  return OK;
}

/** CLIENT UNPAUSE. */
export function unpause(session: ClientSession): Reply {
  session.server.resumeClients();
  return OK;
}

/** CLIENT UNBLOCK. */
export function unblock({ server }: ClientSession, args: readonly Buffer[]): Reply {
  if (args.length > 4) throw errors.subcommandSyntax('CLIENT', args[1]!.toString('latin1'));
  const reason = args[3] === undefined ? 'timeout' : wordOf(args[3]);
  if (reason !== 'timeout' && reason !== 'error') {
    throw new RedisError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR');
  }
  const client = server.connections.get(Number(integerArgument(args[2]!)));
  return client?.unblock(reason) === true ? 1 : 0;
}

/** CLIENT SETINFO. */
export function setInfo(session: ClientSession, args: readonly Buffer[]): Reply {
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

/** CLIENT KVORUM-STALENESS. */
export function staleness(session: ClientSession, args: readonly Buffer[]): Reply {
  const ms = integerArgument(args[2]!, 'ERR the staleness is not an integer');
  if (ms < 0n || ms > BigInt(MAX_STALENESS_MS)) {
    throw new RedisError(`ERR the staleness is between 0 and ${MAX_STALENESS_MS} milliseconds`);
  }
  session.setStaleness(Number(ms));
  return OK;
}

/** Reads ON or OFF. @throws RedisError for another word */
function onOff(argument: Buffer): boolean {
  const word = wordOf(argument);
  if (word !== 'on' && word !== 'off') throw errors.syntax();
  return word === 'on';
}

/** A subcommand that takes ON or OFF. */
export const switching =
  (change: (session: ClientSession, isOn: boolean) => void) =>
  (session: ClientSession, args: readonly Buffer[]): Reply => {
    change(session, onOff(args[2]!));
    return OK;
  };

/** CLIENT INFO. */
export const info = (session: ClientSession): Reply =>
  new VerbatimReply(`${clientLine(session, session.server.clock.monotonicMs())}\n`);

/** CLIENT SETNAME. */
export function setName(session: ClientSession, args: readonly Buffer[]): Reply {
  session.setName(checkClientName(args[2]!));
  return OK;
}
