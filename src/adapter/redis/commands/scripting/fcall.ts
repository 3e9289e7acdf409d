/** FCALL and FCALL_RO: functions of libraries. */
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { parseInteger, RedisError, type Reply } from '../../protocol/index.ts';
import { countedKeys, declareWith } from '../declare.ts';
import { checkedKeyCount, requireScripts } from './eval.ts';

/** Where the number of keys stands, behind the command's name and the function's. */
const COUNT_AT = 2;
const FIRST_KEY_AT = 3;

const callFunction =
  (isReadOnly: boolean) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const callOf = () => {
      const given = parseInteger(args[COUNT_AT]!);
      if (given === undefined) throw new RedisError('ERR Bad number of keys provided');
      const count = checkedKeyCount(given, args);
      return { keys: args.slice(FIRST_KEY_AT, FIRST_KEY_AT + count), args: args.slice(FIRST_KEY_AT + count) };
    };
    return requireScripts(ctx).libraries.call(ctx, args[1]!, callOf, isReadOnly);
  };

const FLAGS = ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys'] as const;

const functionCall = declareWith({
  flags: FLAGS,
  group: 'scripting',
  complexity: 'That of the function',
  differences:
    'A function of more than 60 million instructions, about 200 ms, is refused and has done nothing. Keys need not be declared. ' +
    'What a library keeps in local variables is known to one node only, and for a while.',
});

const COMMON = { arity: -3, keys: countedKeys(COUNT_AT), findsAnyKey: true, since: '7.0.0' } as const;

export const fcallCommands: readonly CommandSpec[] = defineCommands([
  functionCall({
    ...COMMON,
    name: 'fcall',
    summary: 'Calls a function of a library.',
    writes: () => true,
    handler: { kind: 'data', run: callFunction(false) },
  }),
  functionCall({
    ...COMMON,
    name: 'fcall_ro',
    flags: [...FLAGS, 'readonly'],
    summary: 'Calls a function of a library that writes nothing.',
    handler: { kind: 'data', run: callFunction(true) },
  }),
]);
