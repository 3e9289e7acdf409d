/** `unsafe_recover`: a group whose majority is gone for good goes on with what one replica has. */
import type { Command } from 'commander';
import type { RecoverResult, SurvivingReplica } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { formatCount } from '../../cli/table.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { collectGroupIds, formatTime, parseNodeId } from '../values.ts';

const COLUMNS: readonly Column<SurvivingReplica>[] = [
  { name: 'node', align: 'right', value: (replica) => String(replica.nodeId) },
  { name: 'last term', align: 'right', value: (replica) => String(replica.lastTerm) },
  { name: 'last index', align: 'right', value: (replica) => String(replica.lastIndex) },
  { name: 'applied', align: 'right', value: (replica) => String(replica.appliedIndex) },
];

/** Adds the command. */
export function addUnsafeRecoverCommand(program: Command, declare: Declare): void {
  const recover = program
    .command('unsafe_recover')
    .alias('unsafe-recover')
    .summary('let a group that lost its majority for good go on; loses writes')
    .description(
      'For groups whose other voters will never come back. The replica that has most becomes the only voter; time is raised above ' +
        'everything that the lost ones may have given out; the lost nodes are fenced; a record of it stays in the catalog. ' +
        'Refused while a majority answers. Recover group 1, which has the catalog, first.',
    )
    .argument('<group...>', 'ids of the groups, one after the other', collectGroupIds)
    .option('--node <node>', 'the replica that goes on; otherwise the one that has most', parseNodeId)
    .option('--dry-run', 'only look');
  declare(
    examples(
      recover,
      ['unsafe_recover 2 --dry-run', 'what is left of group 2'],
      ['unsafe_recover 1 2 3 --yes', 'all three, the catalog first'],
    ),
    async (session: Session, groups: number[], flags: { node?: number; dryRun?: boolean }) => {
      const node = flags.node === undefined ? {} : { node: flags.node };
      for (const groupId of groups) {
        const plan = await session.cluster.call('Recover', { groupId, isDryRun: true, ...node });
        if (flags.dryRun) {
          session.rows(plan, COLUMNS, plan.survivors);
          session.note(consequences(plan));
          continue;
        }
        await session.confirm(consequences(plan));
        const result = await session.cluster.call('Recover', { groupId, isDryRun: false, node: plan.node });
        session.outcome(
          result,
          `group ${groupId} goes on with node ${result.node} alone; written down as ${result.audit}; ` +
            `timestamps begin at ${formatTime(result.floorMs)}`,
        );
        session.note(result.note);
      }
    },
  );
}

function consequences({ groupId, node, lost, survivors, uncertainEntries }: RecoverResult): string {
  const { lastIndex } = survivors.find(({ nodeId }) => nodeId === node)!;
  const kept =
    uncertainEntries === 0
      ? ''
      : `, with ${counted(uncertainEntries, 'entry', formatCount(uncertainEntries))} that nobody knows to be committed`;
  return (
    `Group ${groupId} goes on with the log of node ${node} up to entry ${formatCount(lastIndex)}${kept}. ` +
    `Acknowledged writes that only node ${lost.join(', ')} had are lost for good, and ` +
    `${lost.length === 1 ? 'that node' : 'those nodes'} can never come back with the old data folder.`
  );
}
