/** What the declarations of stream commands have in common. */
import type { CommandContext, CommandSpec } from '../../command/index.ts';
import { RedisError, type Reply } from '../../protocol/index.ts';

type OwnFields = Omit<CommandSpec, 'group' | 'handler' | 'since'> & {
  readonly since?: string;
  run(ctx: CommandContext, args: readonly Buffer[]): Reply;
};

/** A data command of the group, on one key unless it says otherwise. */
export const declareStream = ({ run, ...own }: OwnFields): CommandSpec => ({
  keys: { first: 1, last: 1, step: 1 },
  group: 'stream',
  since: '5.0.0',
  ...own,
  handler: { kind: 'data', run },
});

/** A subcommand, whose key comes behind its name. */
export const declareSubcommand = (own: OwnFields): CommandSpec =>
  declareStream({ keys: { first: 2, last: 2, step: 1 }, ...own });

/** The error of commands that need a group. @param where what its text ends in */
export const noGroup = (key: Buffer, group: Buffer, where = ''): RedisError =>
  new RedisError(
    `NOGROUP No such key '${key.toString('latin1')}' or consumer group '${group.toString('latin1')}'${where}`,
  );

/** The error of commands that have found the key. */
export const noGroupOfKey = (key: Buffer, group: Buffer): RedisError =>
  new RedisError(
    `NOGROUP No such consumer group '${group.toString('latin1')}' for key name '${key.toString('latin1')}'`,
  );
