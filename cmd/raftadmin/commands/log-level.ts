/** `log_level`: what nodes log. */
import { Argument, type Command, Option } from 'commander';
import { LOG_LEVELS, type NodeLogLevel } from '../../../src/cluster/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { wholeNumber } from '../values.ts';

const COLUMNS: readonly Column<NodeLogLevel>[] = [
  { name: 'node', align: 'right', value: ({ nodeId }) => String(nodeId) },
  { name: 'logs from', value: ({ level }) => level || '-' },
  { name: 'before', value: ({ before, level }) => (before === level ? '-' : before) || '-' },
  { name: 'problem', value: ({ problem }) => problem || '-' },
];

/** Adds the command. */
export function addLogLevelCommand(program: Command, declare: Declare): void {
  const command = program
    .command('log_level')
    .summary('what nodes log, and changes it while they run')
    .description(
      'Without a level says what is logged. A change holds until the node starts again with what it is configured with. Logs never ' +
        'have keys or values of users, at no level.',
    )
    .addArgument(new Argument('[level]', 'least severe messages that are logged').choices(LOG_LEVELS))
    .addOption(new Option('--node <id>', 'only this node').argParser(wholeNumber(1, 0xffff)));
  declare(
    examples(
      command,
      ['log_level', 'what all nodes log'],
      ['log_level debug --node 2', 'much, of one node'],
      ['log_level warn', 'little again'],
    ),
    async (session: Session, level: string | undefined, flags: { readonly node?: number }) => {
      const request = {
        ...(flags.node === undefined ? {} : { nodeId: flags.node }),
        ...(level === undefined ? {} : { level }),
      };
      const { nodes } = await session.cluster.call('LogLevel', request);
      session.rows(nodes, COLUMNS, nodes);
      const silent = nodes.filter(({ problem }) => problem !== '');
      if (silent.length > 0)
        throw new CommandFailure(`node ${silent.map(({ nodeId }) => nodeId).join(', ')} did not answer`);
    },
  );
}
