/** `replace`: another node takes the place of a dead one, in all of its groups. */
import { type Command, Option } from 'commander';
import type { ReplacedGroup, ReplaceStatus } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { progressBar } from '../../cli/bar.ts';
import { formatCount } from '../../cli/table.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { untilDone } from '../until-done.ts';
import { parseDuration, parseEndpoints, parseNodeId } from '../values.ts';

const COLUMNS: readonly Column<ReplacedGroup>[] = [
  { name: 'group', align: 'right', value: (group) => String(group.groupId) },
  { name: 'had', value: (group) => (group.isVoter ? 'a vote' : 'a copy') },
  { name: 'state', value: (group) => group.state },
  { name: 'lag', align: 'right', value: (group) => (group.state === 'learner' ? formatCount(group.lagEntries) : '-') },
  { name: 'problem', value: (group) => group.problem || '-' },
];

interface Flags {
  readonly evenIfItAnswers?: boolean;
  readonly dryRun?: boolean;
  readonly waitTimeout: number;
}

/** Adds the command. */
export function addReplaceCommand(program: Command, declare: Declare): void {
  const replace = program
    .command('replace')
    .summary('put another node in the place of a dead one')
    .description(
      'Fences the dead node, takes it out of every group, makes the new node a learner there and gives it the votes when it ' +
        'has caught up. Interrupted, it goes on when it is said again, at any node.',
    )
    .argument('<dead>', 'id of the node that does not come back', parseNodeId)
    .argument('<new>', 'id of the node that takes its place, started with --join and an empty data folder', parseNodeId)
    .argument(
      '[address]',
      'host:port of its gRPC port; not needed for a node that `nodes` lists',
      (text: string) => parseEndpoints(text)[0]!,
    )
    .option('--dry-run', 'only say what would be done, and whether it may be')
    .option('--even-if-it-answers', 'take out a node that still runs; it is told to stop')
    .addOption(
      new Option('--wait-timeout <duration>', 'longest wait').argParser(parseDuration).default(1_800_000, '30m'),
    );
  declare(
    examples(
      replace,
      ['replace 3 4 10.0.0.4:50051 --dry-run', 'whether node 3 can be done without'],
      ['replace 3 4 10.0.0.4:50051', 'asks before it does it, and shows how far it is'],
      ['replace 3 3 --yes', 'the same machine with an empty data folder'],
    ),
    async (session: Session, dead: number, successor: number, address: string | undefined, flags: Flags) => {
      const request = { dead, successor, address: address ?? '', mayAnswer: flags.evenIfItAnswers === true };
      const look = await session.cluster.call('Replace', { ...request, isDryRun: true });
      if (flags.dryRun) {
        session.rows(look, COLUMNS, look.groups);
        session.note(`node ${dead} can be replaced: ${look.message}`);
        return;
      }
      if (look.stage === 'CHECK') {
        await session.confirm(`Node ${dead} is taken out of the cluster for good: ${look.message}.`);
      }
      const status = await untilDone(session, flags.waitTimeout, {
        step: () => session.cluster.call('Replace', { ...request, isDryRun: false }),
        isDone: ({ stage }) => stage === 'DONE',
        describe,
      });
      session.outcome(status, `${status.message}, in ${counted(status.groups.length, 'group')}`);
    },
  );
}

function describe({ stage, groups, message }: ReplaceStatus): string {
  if (stage === 'AWAIT_NODE') return message;
  const end = stage === 'REMOVE' ? 'removed' : 'done';
  const count = groups.filter(({ state }) => state === end).length;
  const lag = groups.reduce((sum, { lagEntries, state }) => sum + (state === 'learner' ? lagEntries : 0), 0);
  const behind = stage === 'CATCH_UP' ? `, ${counted(lag, 'entry', formatCount(lag))} behind` : '';
  const bar = progressBar(groups.length === 0 ? 0 : count / groups.length);
  // What a learner that catches up is told every time is no problem.
  const stuck = groups.find(({ problem, lagEntries }) => problem !== '' && lagEntries === 0);
  const why = stuck === undefined ? '' : `; group ${stuck.groupId}: ${stuck.problem}`;
  return `${stage} ${bar}, ${count} of ${counted(groups.length, 'group')}${behind}${why}`;
}
