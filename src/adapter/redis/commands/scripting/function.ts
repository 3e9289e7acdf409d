/** FUNCTION: libraries of functions. All of them are one value, which every node reads when it calls a function. */
import {
  type CommandContext,
  type CommandDeclaration,
  type CommandSpec,
  defineCommands,
  type LibraryRunner,
  type ListedLibrary,
} from '../../command/index.ts';
import { FUNCTION_DB, LIBRARIES_KEY } from '../../keys/index.ts';
import {
  errors,
  globMatches,
  MapReply,
  OK,
  RedisError,
  type Reply,
  SetReply,
  SimpleString,
  wordOf,
} from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { requireScripts } from './eval.ts';

/** Where all libraries are. */
const atLibraries: Pick<CommandDeclaration, 'keyElsewhere' | 'findsAnyKey'> = {
  keyElsewhere: () => ({ db: FUNCTION_DB, key: LIBRARIES_KEY }),
  findsAnyKey: true,
};

const ENGINE = 'LUA';

const librariesOf = (ctx: CommandContext): LibraryRunner<CommandContext> => requireScripts(ctx).libraries;

function load(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const options = args.slice(2, -1);
  for (const option of options) {
    if (wordOf(option) !== 'replace') throw new RedisError(`ERR Unknown option given: ${option.toString('latin1')}`);
  }
  return librariesOf(ctx).load(ctx, args.at(-1)!, options.length > 0);
}

function remove(ctx: CommandContext, args: readonly Buffer[]): Reply {
  librariesOf(ctx).delete(ctx, args[2]!.toString('latin1'));
  return OK;
}

function flush(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.subcommandSyntax('FUNCTION', args[1]!.toString('latin1'));
  if (args.length === 3 && !['sync', 'async'].includes(wordOf(args[2]!))) {
    throw new RedisError('ERR FUNCTION FLUSH only supports SYNC|ASYNC option');
  }
  librariesOf(ctx).flush(ctx);
  return OK;
}

interface ListOptions {
  readonly pattern: Buffer | undefined;
  readonly withCode: boolean;
}

function listOptions(args: readonly Buffer[]): ListOptions {
  let pattern: Buffer | undefined;
  let withCode = false;
  for (let index = 2; index < args.length; index++) {
    const option = wordOf(args[index]!);
    if (option === 'withcode' && !withCode) {
      withCode = true;
    } else if (option === 'libraryname' && pattern === undefined) {
      pattern = args[++index];
      if (pattern === undefined) throw new RedisError('ERR library name argument was not given');
    } else {
      throw new RedisError(`ERR Unknown argument ${args[index]!.toString('latin1')}`);
    }
  }
  return { pattern, withCode };
}

function list(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { pattern, withCode } = listOptions(args);
  return librariesOf(ctx)
    .list(ctx)
    .filter(({ name }) => pattern === undefined || globMatches(pattern, Buffer.from(name), true))
    .map((library) => listed(library, withCode));
}

function listed({ name, code, functions }: ListedLibrary, withCode: boolean): Reply {
  const described = functions.map(
    (one) =>
      new MapReply([
        ['name', one.name],
        ['description', one.description ?? null],
        ['flags', new SetReply(one.flags.map((flag) => new SimpleString(flag)))],
      ]),
  );
  return new MapReply([
    ['library_name', name],
    ['engine', ENGINE],
    ['functions', described],
    ...(withCode ? [['library_code', code] as const] : []),
  ]);
}

/** No function runs while another command is evaluated. */
function stats(ctx: CommandContext): Reply {
  const libraries = librariesOf(ctx).list(ctx);
  const functions = libraries.reduce((sum, one) => sum + one.functions.length, 0);
  const counts = new MapReply([
    ['libraries_count', libraries.length],
    ['functions_count', functions],
  ]);
  return new MapReply([
    ['running_script', null],
    ['engines', new MapReply([[ENGINE, counts]])],
  ]);
}

const POLICIES = ['flush', 'append', 'replace'] as const;

function restore(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length > 4) throw errors.subcommandSyntax('FUNCTION', args[1]!.toString('latin1'));
  const word = args.length === 4 ? wordOf(args[3]!) : 'append';
  const policy = POLICIES.find((one) => one === word);
  if (policy === undefined) {
    throw new RedisError('ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.');
  }
  librariesOf(ctx).restore(ctx, args[2]!, policy);
  return OK;
}

const sub = declareWith({ flags: ['noscript'], group: 'scripting', complexity: 'O(N) in the number of functions' });

export const functionCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'function',
    arity: -2,
    flags: [],
    group: 'scripting',
    since: '7.0.0',
    summary: 'Libraries of functions.',
    subcommands: [
      sub({
        ...atLibraries,
        name: 'load',
        arity: -3,
        flags: ['write', 'denyoom', 'noscript'],
        since: '7.0.0',
        summary: 'Makes the functions of a library known to all nodes.',
        complexity: 'That of the code of the library',
        differences: 'All libraries together may take 4 MiB.',
        handler: { kind: 'data', run: load },
      }),
      sub({
        ...atLibraries,
        name: 'delete',
        arity: 3,
        flags: ['write', 'noscript'],
        since: '7.0.0',
        summary: 'Deletes a library and its functions.',
        handler: { kind: 'data', run: remove },
      }),
      sub({
        ...atLibraries,
        name: 'flush',
        arity: -2,
        flags: ['write', 'noscript'],
        since: '7.0.0',
        summary: 'Deletes all libraries.',
        handler: { kind: 'data', run: flush },
      }),
      sub({
        ...atLibraries,
        name: 'list',
        arity: -2,
        since: '7.0.0',
        summary: 'The libraries and their functions.',
        differences: 'In the order in which they were loaded.',
        handler: { kind: 'data', run: list },
      }),
      sub({
        ...atLibraries,
        name: 'dump',
        arity: 2,
        since: '7.0.0',
        summary: 'All libraries as a payload that FUNCTION RESTORE takes, that of Redis too.',
        handler: { kind: 'data', run: (ctx) => librariesOf(ctx).dump(ctx) },
      }),
      sub({
        ...atLibraries,
        name: 'restore',
        arity: -3,
        flags: ['write', 'denyoom', 'noscript'],
        since: '7.0.0',
        summary: 'Loads the libraries of a payload.',
        complexity: 'That of the code of the libraries',
        handler: { kind: 'data', run: restore },
      }),
      sub({
        ...atLibraries,
        name: 'stats',
        arity: 2,
        flags: ['noscript', 'allow_busy'],
        since: '7.0.0',
        summary: 'How many libraries and functions there are.',
        differences: 'No function is ever told as running: one that runs too long ends by itself.',
        handler: { kind: 'data', run: stats },
      }),
      sub({
        name: 'kill',
        arity: 2,
        flags: ['noscript', 'allow_busy'],
        since: '7.0.0',
        summary: 'Ends a running function; functions end by themselves here.',
        complexity: 'O(1)',
        differences: 'There is never one to end: a function that runs too long ends by itself.',
        run: () => {
          throw new RedisError('NOTBUSY No scripts in execution right now.');
        },
      }),
      helpCommand({
        container: 'function',
        group: 'scripting',
        since: '7.0.0',
        lines: [
          'DELETE <library name>',
          '    Deletes a library and its functions.',
          'DUMP',
          '    All libraries as a payload that RESTORE takes.',
          'FLUSH [ASYNC|SYNC]',
          '    Deletes all libraries.',
          'KILL',
          '    There is never a function to end: they end by themselves.',
          'LIST [LIBRARYNAME <pattern>] [WITHCODE]',
          '    The libraries and their functions.',
          'LOAD [REPLACE] <code>',
          '    Makes the functions of a library known to all nodes.',
          'RESTORE <payload> [FLUSH|APPEND|REPLACE]',
          '    Loads the libraries of a payload: instead of all that are there, beside them (that is the default), or instead of those of the same name.',
          'STATS',
          '    How many libraries and functions there are.',
        ],
      }),
    ],
  },
]);
