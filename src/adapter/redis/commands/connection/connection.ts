/** PING, ECHO, SELECT, QUIT, RESET, HELLO, AUTH. */

import { type ClientSession, defineCommands } from '../../command/index.ts';
import { DATABASE_COUNT } from '../../keys/index.ts';
import {
  errors,
  MapReply,
  OK,
  PONG,
  parseInteger,
  RedisError,
  type Reply,
  SERVER_VERSION,
  SimpleString,
  smallIntegerArgument,
  wordOf,
} from '../../protocol/index.ts';

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.';
const TOO_MANY_GUESSES = 'ERR too many wrong passwords from this address, try again later';
const HELLO_WITHOUT_AUTH =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can ' +
  'be used to authenticate the client and select the RESP protocol version at the same time';

/** Client names travel in CLIENT LIST's space-separated lines. @throws RedisError */
export function checkClientName(name: Buffer): string {
  if (name.some((byte) => byte < 0x21 || byte > 0x7e)) {
    throw new RedisError('ERR Client names cannot contain spaces, newlines or special characters.');
  }
  return name.toString('latin1');
}

/** The client's address without its port: where guesses come from. */
const hostOf = ({ remoteAddress }: ClientSession): string => remoteAddress.slice(0, remoteAddress.lastIndexOf(':'));

/** Lets the client in, or leaves it where it was. @param command as the client wrote it @throws RedisError */
function authenticate(session: ClientSession, command: Buffer, userName: string, password: Buffer): void {
  const { users, guesses } = session.server;
  const identity = users.admit(userName, password);
  if (identity !== undefined) {
    session.authenticated(identity);
    return;
  }
  guesses.mistake(hostOf(session));
  session.noteDenial('auth', command, userName);
  throw new RedisError(WRONG_PASSWORD);
}

/** Runs what looks at a password when it is this address' turn. @throws RedisError */
function inTurn(session: ClientSession, run: () => Reply): Reply | Promise<Reply> {
  const { guesses, users } = session.server;
  const admission = users.asksWho ? guesses.admit(hostOf(session)) : undefined;
  if (admission?.kind === 'after') return admission.turn.then(run);
  if (admission?.kind !== 'refused') return run();
  session.closeAfterReplies();
  throw new RedisError(TOO_MANY_GUESSES);
}

function auth(session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> {
  // Only what looks at a password waits.
  return args.length > 3 ? checkedAuth(session, args) : inTurn(session, () => checkedAuth(session, args));
}

function checkedAuth(session: ClientSession, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.syntax();
  if (args.length === 2) {
    if (session.server.users.defaultIdentity.user.isOpen) {
      throw new RedisError(
        'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
      );
    }
    authenticate(session, args[0]!, 'default', args[1]!);
    return OK;
  }
  authenticate(session, args[0]!, args[1]!.toString('latin1'), args[2]!);
  return OK;
}

function hello(session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> {
  const looksAtPassword = args.some((word, index) => index > 1 && wordOf(word) === 'auth');
  return looksAtPassword ? inTurn(session, () => checkedHello(session, args)) : checkedHello(session, args);
}

function checkedHello(session: ClientSession, args: readonly Buffer[]): Reply {
  let version: 2 | 3 = session.resp;
  let name: string | undefined;
  if (args.length > 1) {
    const asked = parseInteger(args[1]!);
    if (asked === undefined) throw new RedisError('ERR Protocol version is not an integer or out of range');
    if (asked !== 2n && asked !== 3n) throw new RedisError('NOPROTO unsupported protocol version');
    version = asked === 3n ? 3 : 2;
  }
  for (let index = 2; index < args.length; index++) {
    const option = wordOf(args[index]!);
    const more = args.length - 1 - index;
    if (option === 'auth' && more >= 2) {
      authenticate(session, args[0]!, args[index + 1]!.toString('latin1'), args[index + 2]!);
      index += 2;
    } else if (option === 'setname' && more >= 1) {
      name = checkClientName(args[index + 1]!);
      index += 1;
    } else {
      throw new RedisError(`ERR Syntax error in HELLO option '${args[index]!.toString('latin1', 0, 128)}'`);
    }
  }
  if (!session.isAuthenticated) throw new RedisError(HELLO_WITHOUT_AUTH);
  session.useProtocol(version);
  if (name !== undefined) session.setName(name);
  return new MapReply([
    ['server', 'redis'],
    ['version', SERVER_VERSION],
    ['proto', version],
    ['id', session.id],
    ['mode', session.isClusterMode ? 'cluster' : 'standalone'],
    ['role', 'master'],
    ['modules', []],
  ]);
}

function select(session: ClientSession, args: readonly Buffer[]): Reply {
  const db = smallIntegerArgument(args[1]!);
  if (db < 0 || db >= DATABASE_COUNT) throw errors.dbIndexOutOfRange();
  session.select(db);
  return OK;
}

function reset(session: ClientSession): Reply {
  session.reset();
  return new SimpleString('RESET');
}

export const connectionCommands = defineCommands([
  {
    name: 'auth',
    arity: -2,
    flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'],
    group: 'connection',
    since: '1.0.0',
    summary: 'Gives the password of a user.',
    complexity: 'O(N) in the number of passwords',
    handler: { kind: 'connection', run: auth },
  },
  {
    name: 'echo',
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    group: 'connection',
    since: '1.0.0',
    summary: 'Answers its argument.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: (_session, args) => args[1]! },
  },
  {
    name: 'hello',
    arity: -1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'],
    group: 'connection',
    since: '6.0.0',
    summary: 'Agrees on a protocol version, with a password and a name if need be.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: hello },
  },
  {
    name: 'ping',
    arity: -1,
    flags: ['fast'],
    group: 'connection',
    since: '1.0.0',
    summary: 'Answers PONG, or its argument.',
    complexity: 'O(1)',
    handler: {
      kind: 'connection',
      run: (session, args) => {
        if (args.length > 2) throw errors.wrongArity('ping');
        if (session.isListening) return ['pong', args[1] ?? ''];
        return args[1] ?? PONG;
      },
    },
  },
  {
    name: 'quit',
    arity: -1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'],
    group: 'connection',
    since: '1.0.0',
    summary: 'Ends the connection behind its own reply.',
    complexity: 'O(1)',
    handler: {
      kind: 'connection',
      run: (session) => {
        session.closeAfterReplies();
        return OK;
      },
    },
  },
  {
    name: 'reset',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'],
    group: 'connection',
    since: '6.2.0',
    summary: 'Makes the connection as it was when it was opened.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: reset },
  },
  {
    name: 'select',
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    group: 'connection',
    since: '1.0.0',
    summary: 'Chooses the database of the commands that follow.',
    differences: 'Works in a cluster too; only database 0 has slots.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: select },
  },
]);
