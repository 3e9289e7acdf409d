/** `doctor`: what is slow, uneven or forgotten, although it works. */
import type { Command } from 'commander';
import type { HealthProblem, NodeExamination } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { formatMs } from '../../cli/table.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatBytes } from '../values.ts';

const dash = (examination: NodeExamination, text: string): string => (examination.problem === '' ? text : '-');

const NODE_COLUMNS: readonly Column<NodeExamination>[] = [
  { name: 'node', align: 'right', value: (node) => String(node.nodeId) },
  { name: 'version', value: (node) => dash(node, node.version) },
  { name: 'runtime', value: (node) => dash(node, node.runtime) },
  { name: 'fsync', align: 'right', value: (node) => dash(node, formatMs(node.syncMedianMs)) },
  { name: 'worst', align: 'right', value: (node) => dash(node, formatMs(node.syncMaxMs)) },
  { name: 'disk free', align: 'right', value: (node) => dash(node, formatBytes(node.diskFreeBytes)) },
  { name: 'loop late', align: 'right', value: (node) => dash(node, formatMs(node.loopLagMaxMs)) },
  { name: 'memory', align: 'right', value: (node) => dash(node, formatBytes(node.memoryUsedBytes)) },
  {
    name: 'clock',
    align: 'right',
    value: (node) => dash(node, `${node.clockOffsetMs > 0 ? '+' : ''}${node.clockOffsetMs} ms ±${node.clockErrorMs}`),
  },
];

const PROBLEM_COLUMNS: readonly Column<HealthProblem>[] = [
  { name: 'severity', value: (problem) => problem.severity },
  { name: 'subject', value: (problem) => problem.subject },
  { name: 'what is wrong, and what helps', value: (problem) => problem.message },
];

/** Adds the command. */
export function addDoctorCommand(program: Command, declare: Declare): void {
  const doctor = program
    .command('doctor')
    .summary('disks, clocks, event loops, configuration, memberships: what is not right although it works')
    .description(
      'Every node measures itself for half a second: synced writes in its data folder, timers, memory, its clock. Leaders tell ' +
        'who belongs to their groups. Exit code 1 when something is critical.',
    );
  declare(
    examples(
      doctor,
      ['doctor', 'after a change of machines, and before an upgrade'],
      ['doctor -w simple', 'problems alone, for a script'],
    ),
    async (session: Session) => {
      const report = await session.cluster.call('Doctor', {});
      const { nodes, problems } = report;
      if (session.format === 'table') {
        session.rows(report, NODE_COLUMNS, nodes);
        session.line(problems.length === 0 ? '\nnothing is wrong' : '');
        if (problems.length > 0) session.terminal.write('\n');
      }
      if (session.format !== 'table' || problems.length > 0) session.rows(report, PROBLEM_COLUMNS, problems);
      const critical = problems.filter(({ severity }) => severity === 'critical').length;
      if (critical > 0) throw new CommandFailure(counted(critical, 'critical problem'));
    },
  );
}
