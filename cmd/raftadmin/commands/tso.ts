/** `tso`: who grants timestamps, and how each group stands in time. */
import type { Command } from 'commander';
import type { GroupTime } from '../../../src/cluster/index.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatDuration, formatTime } from '../values.ts';

const isKnown = (group: GroupTime): boolean => group.problem === '';

const COLUMNS: readonly Column<GroupTime>[] = [
  { name: 'group', align: 'right', value: (group) => String(group.groupId) },
  {
    name: 'listens to',
    value: (group) => (isKnown(group) ? (group.mode === 'local' ? 'none' : `group ${group.oracle}`) : '-'),
  },
  { name: 'epoch', align: 'right', value: (group) => (isKnown(group) ? String(group.epoch) : '-') },
  {
    name: 'grants',
    value: (group) =>
      isKnown(group) && group.mode !== 'local' && group.oracle === group.groupId && group.isOpen ? 'yes' : '',
  },
  { name: 'newest', value: (group) => formatTime(group.newestMs) },
  { name: 'ceiling', value: (group) => formatTime(group.ceilingMs) },
  {
    name: 'leads the clock by',
    align: 'right',
    value: (group) =>
      isKnown(group) ? `${group.leadMs < 0 ? '-' : ''}${formatDuration(Math.abs(group.leadMs))}` : '-',
  },
  { name: 'issues', value: (group) => (isKnown(group) ? (group.boundMs > 0 ? 'yes' : 'no') : group.problem) },
];

/** Adds the command. */
export function addTsoCommand(program: Command, declare: Declare): void {
  const tso = program
    .command('tso')
    .summary('who grants the timestamps of what spans groups')
    .description(
      'The authority that each group listens to, and how far its clock has come. tso.group (see `settings`) names the group whose ' +
        'leader grants; it is changed without a pause by `settings set tso.group N`.',
    );
  declare(
    examples(tso, ['tso', 'all groups'], ['settings set tso.group 4', 'group 4 grants from now on']),
    async (session: Session) => {
      const report = await session.cluster.call('Time', {});
      session.rows(report, COLUMNS, report.groups);
      const shadow = report.shadowGroup === 0 ? '' : `; group ${report.shadowGroup} is measured beside it`;
      session.note(
        report.wantedGroup === 0
          ? 'no group shall grant (tso.group is 0)'
          : `group ${report.wantedGroup} shall grant (tso.group)${shadow}`,
      );
    },
  );
}
