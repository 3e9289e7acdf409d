/** EVAL, EVALSHA and those that write nothing. */
import {
  type CommandContext,
  type CommandSpec,
  defineCommands,
  type FunctionCall,
  type KnownScripts,
  type ScriptRunner,
} from '../../command/index.ts';
import { RedisError, type Reply, requireInteger } from '../../protocol/index.ts';
import { countedKeys, declareWith } from '../declare.ts';

/** Where the number of keys stands, behind the command's name and the script, or the function's name. */
const COUNT_AT = 2;
const FIRST_KEY_AT = 3;

/** What runs scripts. @throws RedisError where there is nothing that does */
export function requireScripts(ctx: CommandContext): ScriptRunner<CommandContext> {
  if (ctx.scripts === undefined) throw new RedisError('ERR scripts cannot be run here');
  return ctx.scripts;
}

/**
 * The keys of a call and its arguments.
 * @param notInteger the error for a number of keys that is none, if it has one of its own
 * @throws RedisError with Redis' text
 */
export function callIn(args: readonly Buffer[], notInteger?: () => RedisError): FunctionCall {
  const count = requireInteger(args[COUNT_AT]!, notInteger);
  if (count > args.length - FIRST_KEY_AT) {
    throw new RedisError("ERR Number of keys can't be greater than number of args");
  }
  if (count < 0) throw new RedisError("ERR Number of keys can't be negative");
  const firstArgumentAt = FIRST_KEY_AT + Number(count);
  return { keys: args.slice(FIRST_KEY_AT, firstArgumentAt), args: args.slice(firstArgumentAt) };
}

function run(ctx: CommandContext, args: readonly Buffer[], sha: string, text: Buffer, isReadOnly: boolean): Reply {
  const call = callIn(args);
  return requireScripts(ctx).run(ctx, { sha, text }, { ...call, isReadOnly });
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

/** What the declarations of EVAL, FCALL and their kin have in common. */
export const CALL_FLAGS = ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys'] as const;
export const CALL_FIELDS = { arity: -3, keys: countedKeys(COUNT_AT), findsAnyKey: true } as const;

const script = declareWith({
  flags: CALL_FLAGS,
  group: 'scripting',
  complexity: 'That of the script',
  differences:
    'A script that takes more than 60 million instructions or 150 ms of processor time, or calls 120,000 commands, is refused and has done nothing. ' +
    'Keys need not be declared. ' +
    'What KEYS, SCAN, DBSIZE and RANDOMKEY answer in it is of a moment before the script; it may ask 100 times, a walk with SCAN counts once.',
});

export const evalCommands: readonly CommandSpec[] = defineCommands([
  script({
    ...CALL_FIELDS,
    name: 'eval',
    since: '2.6.0',
    summary: 'Runs a Lua script.',
    writes: () => true,
    ingress: keepText,
    handler: { kind: 'data', run: evaluate(false) },
  }),
  script({
    ...CALL_FIELDS,
    name: 'evalsha',
    since: '2.6.0',
    summary: 'Runs a Lua script that is known by its SHA-1.',
    writes: () => true,
    ingress: withText('eval'),
    needsScript,
    handler: { kind: 'data', run: evaluateKnown(false) },
  }),
  script({
    ...CALL_FIELDS,
    name: 'eval_ro',
    flags: [...CALL_FLAGS, 'readonly'],
    since: '7.0.0',
    summary: 'Runs a Lua script that writes nothing.',
    ingress: keepText,
    handler: { kind: 'data', run: evaluate(true) },
  }),
  script({
    ...CALL_FIELDS,
    name: 'evalsha_ro',
    flags: [...CALL_FLAGS, 'readonly'],
    since: '7.0.0',
    summary: 'Runs a Lua script that is known by its SHA-1 and writes nothing.',
    ingress: withText('eval_ro'),
    needsScript,
    handler: { kind: 'data', run: evaluateKnown(true) },
  }),
]);
