/** EVAL, EVALSHA and those that write nothing. */
import {
  type CommandContext,
  type CommandSpec,
  defineCommands,
  type KnownScripts,
  type ScriptRunner,
} from '../../command/index.ts';
import { errors, parseInteger, RedisError, type Reply } from '../../protocol/index.ts';
import { countedKeys, declareWith } from '../declare.ts';

/** Where the number of keys stands, behind the command's name and the script. */
const COUNT_AT = 2;
const FIRST_KEY_AT = 3;

/** What runs scripts. @throws RedisError where there is nothing that does */
export function requireScripts(ctx: CommandContext): ScriptRunner<CommandContext> {
  if (ctx.scripts === undefined) throw new RedisError('ERR scripts cannot be run here');
  return ctx.scripts;
}

/** The number of keys. @throws RedisError with Redis' text */
function keyCount(args: readonly Buffer[]): number {
  const count = parseInteger(args[COUNT_AT]!);
  if (count === undefined) throw errors.notInteger();
  return checkedKeyCount(count, args);
}

/** @throws RedisError with Redis' text when there are not so many arguments behind the number */
export function checkedKeyCount(count: bigint, args: readonly Buffer[]): number {
  if (count > args.length - FIRST_KEY_AT) {
    throw new RedisError("ERR Number of keys can't be greater than number of args");
  }
  if (count < 0) throw new RedisError("ERR Number of keys can't be negative");
  return Number(count);
}

function run(ctx: CommandContext, args: readonly Buffer[], sha: string, text: Buffer, isReadOnly: boolean): Reply {
  const count = keyCount(args);
  const keys = args.slice(FIRST_KEY_AT, FIRST_KEY_AT + count);
  return requireScripts(ctx).run(ctx, { sha, text }, { keys, args: args.slice(FIRST_KEY_AT + count), isReadOnly });
}

const evaluate =
  (isReadOnly: boolean) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply =>
    run(ctx, args, requireScripts(ctx).shaOf(args[1]!), args[1]!, isReadOnly);

/** What is left of EVALSHA when its script is not known where the client is: it became EVAL otherwise. */
const evaluateKnown =
  (isReadOnly: boolean) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const sha = shaIn(args);
    const text = requireScripts(ctx).find(sha);
    if (text === undefined) throw new RedisError('NOSCRIPT No matching script. Please use EVAL.');
    return run(ctx, args, sha, text, isReadOnly);
  };

const shaIn = (args: readonly Buffer[]): string => args[1]!.toString('latin1').toLowerCase();

/** A client may call the script by its SHA-1 next. */
function keepText(scripts: KnownScripts, args: readonly Buffer[]): readonly Buffer[] {
  scripts.keep({ sha: scripts.shaOf(args[1]!), text: args[1]! });
  return args;
}

/** EVALSHA with the script itself: who evaluates it may not know it. */
const withText =
  (name: string) =>
  (scripts: KnownScripts, args: readonly Buffer[]): readonly Buffer[] => {
    const text = scripts.find(shaIn(args));
    return text === undefined ? args : [Buffer.from(name), text, ...args.slice(2)];
  };

/** The SHA-1 of the script that must be looked for, when it is not known here. */
const needsScript = (scripts: KnownScripts, args: readonly Buffer[]): string | undefined =>
  scripts.find(shaIn(args)) === undefined ? shaIn(args) : undefined;

const script = declareWith({
  flags: ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys'],
  group: 'scripting',
  complexity: 'That of the script',
  differences:
    'A script of more than 60 million instructions, about 200 ms, is refused and has done nothing. Keys need not be declared. ' +
    'What KEYS, SCAN, DBSIZE and RANDOMKEY answer in it is of a moment before the script; it may ask 100 times, a walk with SCAN counts once.',
});

const COMMON = { arity: -3, keys: countedKeys(COUNT_AT), findsAnyKey: true } as const;

export const evalCommands: readonly CommandSpec[] = defineCommands([
  script({
    ...COMMON,
    name: 'eval',
    since: '2.6.0',
    summary: 'Runs a Lua script.',
    writes: () => true,
    ingress: keepText,
    handler: { kind: 'data', run: evaluate(false) },
  }),
  script({
    ...COMMON,
    name: 'evalsha',
    since: '2.6.0',
    summary: 'Runs a Lua script that is known by its SHA-1.',
    writes: () => true,
    ingress: withText('eval'),
    needsScript,
    handler: { kind: 'data', run: evaluateKnown(false) },
  }),
  script({
    ...COMMON,
    name: 'eval_ro',
    flags: ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys', 'readonly'],
    since: '7.0.0',
    summary: 'Runs a Lua script that writes nothing.',
    ingress: keepText,
    handler: { kind: 'data', run: evaluate(true) },
  }),
  script({
    ...COMMON,
    name: 'evalsha_ro',
    flags: ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys', 'readonly'],
    since: '7.0.0',
    summary: 'Runs a Lua script that is known by its SHA-1 and writes nothing.',
    ingress: withText('eval_ro'),
    needsScript,
    handler: { kind: 'data', run: evaluateKnown(true) },
  }),
]);
