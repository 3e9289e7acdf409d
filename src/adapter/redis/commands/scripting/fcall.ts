/** FCALL and FCALL_RO: functions of libraries. */
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { RedisError, type Reply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { CALL_FIELDS, CALL_FLAGS, callIn, requireScripts } from './eval.ts';

const badKeyCount = (): RedisError => new RedisError('ERR Bad number of keys provided');

const callFunction =
  (isReadOnly: boolean) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply =>
    requireScripts(ctx).libraries.call(ctx, args[1]!, () => callIn(args, badKeyCount), isReadOnly);

const functionCall = declareWith({
  flags: CALL_FLAGS,
  group: 'scripting',
  complexity: 'That of the function',
  differences:
    'A function that takes more than 60 million instructions or 150 ms of processor time, or calls 120,000 commands, is refused and has done nothing. ' +
    'Keys need not be declared. ' +
    'What a library keeps in local variables is known to one node only, and for a while.',
});

export const fcallCommands: readonly CommandSpec[] = defineCommands([
  functionCall({
    ...CALL_FIELDS,
    name: 'fcall',
    since: '7.0.0',
    summary: 'Calls a function of a library.',
    writes: () => true,
    handler: { kind: 'data', run: callFunction(false) },
  }),
  functionCall({
    ...CALL_FIELDS,
    name: 'fcall_ro',
    flags: [...CALL_FLAGS, 'readonly'],
    since: '7.0.0',
    summary: 'Calls a function of a library that writes nothing.',
    handler: { kind: 'data', run: callFunction(true) },
  }),
]);
