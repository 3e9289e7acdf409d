/** `members`, `add_learner`, `promote`, `remove`, `transfer_leader`: who belongs to a group and who leads it. */
import { type Command, Option } from 'commander';
import type { GroupMembers, Member, MembershipResult } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { progressBar } from '../../cli/bar.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { formatCount } from '../../cli/table.ts';
import { ExitCode } from '../exit-code.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import {
  collectGroupIds,
  formatDuration,
  parseDuration,
  parseEndpoints,
  parseGroupId,
  parseNodeId,
} from '../values.ts';

interface Row {
  readonly group: GroupMembers;
  readonly member: Member;
}

const COLUMNS: readonly Column<Row>[] = [
  { name: 'group', align: 'right', value: ({ group }) => String(group.groupId) },
  { name: 'node', align: 'right', value: ({ member }) => String(member.nodeId) },
  { name: 'address', value: ({ member }) => member.address || '-' },
  { name: 'member', value: ({ member }) => member.suffrage },
  { name: 'leads', value: ({ member }) => (member.isLeader ? 'yes' : '') },
  { name: 'state', value: ({ member }) => member.state || '-' },
  { name: 'answers', value: ({ member }) => (member.isActive ? 'yes' : 'no') },
  { name: 'match', align: 'right', value: ({ member }) => String(member.matchIndex) },
  { name: 'lag', align: 'right', value: ({ member }) => String(member.lagEntries) },
];

const GROUP = ['<group>', 'id of the group', parseGroupId] as const;
const NODE = ['<node>', 'id of the node', parseNodeId] as const;
/** Between two looks at a learner that catches up. */
const LOOK_MS = 500;

/** Adds the commands. */
export function addMembershipCommands(program: Command, declare: Declare): void {
  const members = program
    .command('members')
    .summary('who belongs to groups, and how far each is')
    .description('Asks the leader of each group. lag: entries that the leader has and the member has not confirmed.')
    .argument('[group...]', 'only these groups', collectGroupIds);
  declare(
    examples(members, ['members', 'of all groups'], ['members 2 -w simple', 'of group 2, for a shell script']),
    async (session: Session, groups: number[] | undefined) => {
      const reply = await session.cluster.call('Members', { groups: groups ?? [] });
      const rows = reply.groups.flatMap((group) => group.members.map((member) => ({ group, member })));
      session.rows(reply.groups, COLUMNS, rows);
      const unknown = reply.groups.filter(({ problem }) => problem !== '');
      for (const { groupId, problem } of unknown) session.note(`group ${groupId}: ${problem}`);
      if (unknown.length > 0)
        throw new CommandFailure(`the members of ${counted(unknown.length, 'group')} are not known`);
    },
  );

  const addLearner = program
    .command('add_learner')
    .alias('add-learner')
    .summary('take a node into a group without a vote')
    .description(
      'The node gets all data of the group and does not count in its majority. Repeating it is harmless. Exit code 1 when the ' +
        'node does not answer there: it is a learner all the same, and gets nothing before it does.',
    )
    .argument(...GROUP)
    .argument(...NODE)
    .argument('[address]', 'host:port of its gRPC port; not needed for a node that `nodes` lists', parseAddress);
  declare(
    examples(
      addLearner,
      ['add_learner 1 4 10.0.0.4:50051', 'node 4 becomes a learner of group 1'],
      ['add_learner 1 4 10.0.0.4:50051 && raftadmin promote 1 4 --wait', 'and a voter when it has caught up'],
    ),
    async (session: Session, groupId: number, nodeId: number, address: string | undefined) => {
      const result = await session.cluster.call('AddLearner', { groupId, nodeId, address: address ?? '' });
      told(session, result, `node ${nodeId} is a learner of group ${groupId}`);
      // It is a member and gets nothing: what comes next in a script must not go on as if it did.
      if (result.note !== '') throw new CommandFailure(result.note);
    },
  );

  const promote = program
    .command('promote')
    .summary('give a learner its vote')
    .description('Refused while the learner is not caught up, with how far it is behind.')
    .argument(...GROUP)
    .argument(...NODE)
    .option('--wait', 'wait until it has caught up, and show how far it is')
    .addOption(
      new Option('--wait-timeout <duration>', 'longest wait').argParser(parseDuration).default(600_000, '10m'),
    );
  declare(
    examples(promote, ['promote 1 4', 'now or not at all'], ['promote 1 4 --wait', 'when it has caught up']),
    async (session: Session, groupId: number, nodeId: number, flags: { wait?: boolean; waitTimeout: number }) => {
      const result = flags.wait
        ? await promoteWhenReady(session, groupId, nodeId, flags.waitTimeout)
        : await session.cluster.call('Promote', { groupId, nodeId });
      told(session, result, `node ${nodeId} is a voter of group ${groupId}`);
      session.note(result.note);
    },
  );

  const remove = program
    .command('remove')
    .summary('take a member out of a group')
    .description('Refused for the last voter, and when too few of the voters that stay answer.')
    .argument(...GROUP)
    .argument(...NODE);
  declare(
    examples(
      remove,
      ['remove 1 3', 'asks before it does it'],
      ['remove 1 3 --yes', 'does not ask; needed where nobody can be asked'],
    ),
    async (session: Session, groupId: number, nodeId: number) => {
      await session.confirm(
        `Node ${nodeId} will leave group ${groupId}: its copy of the group's data is given up and no longer counts.`,
      );
      const result = await session.cluster.call('Remove', { groupId, nodeId });
      told(session, result, `node ${nodeId} is no member of group ${groupId}`);
      session.note(result.note);
    },
  );

  const transfer = program
    .command('transfer_leader')
    .alias('transfer-leader')
    .summary('hand leadership of a group to another voter')
    .description('Writes of the group pause for a moment. Without a node, the voter that has most is chosen.')
    .argument(...GROUP)
    .argument('[node]', 'id of the voter that shall lead', parseNodeId);
  declare(
    examples(transfer, ['transfer_leader 1 2', 'node 2 leads group 1'], ['transfer_leader 1', 'somebody else does']),
    async (session: Session, groupId: number, to: number | undefined) => {
      const result = await session.cluster.call('TransferLeader', { groupId, ...(to === undefined ? {} : { to }) });
      session.outcome(
        result,
        result.changed
          ? `leadership of group ${groupId} went from node ${result.from} to node ${result.to}`
          : `node ${result.to} leads group ${groupId} already`,
      );
    },
  );
}

function parseAddress(text: string): string {
  return parseEndpoints(text)[0]!;
}

/** Says what is so now. */
function told(session: Session, result: MembershipResult, sentence: string): void {
  const voters = result.group.members.filter(({ suffrage }) => suffrage === 'voter').map(({ nodeId }) => nodeId);
  session.outcome(result, `${sentence}${result.changed ? '' : ' already'}; its voters are ${voters.join(', ')}`);
}

/** How much of what it must have the learner has, as a bar. */
function catchUp(member: Member, lastIndex: number): string {
  const bar = progressBar(lastIndex === 0 ? 1 : member.matchIndex / lastIndex);
  const how = member.state === 'snapshot' ? ', receiving a snapshot' : '';
  return `${bar}, ${formatCount(member.lagEntries)} entries behind${how}`;
}

async function promoteWhenReady(
  session: Session,
  groupId: number,
  nodeId: number,
  waitTimeoutMs: number,
): Promise<MembershipResult> {
  const deadlineMs = performance.now() + waitTimeoutMs;
  try {
    for (;;) {
      try {
        return await session.cluster.call('Promote', { groupId, nodeId });
      } catch (error) {
        // Whether it is near enough is the leader's to say.
        if (!(error instanceof CommandFailure) || error.code !== 'LEARNER_BEHIND') throw error;
        if (performance.now() >= deadlineMs) {
          const why = `not caught up within ${formatDuration(waitTimeoutMs)}: ${error.message}`;
          throw new CommandFailure(why, ExitCode.Failed, error.code);
        }
      }
      const { groups } = await session.cluster.call('Members', { groups: [groupId] });
      const member = groups[0]?.members.find((each) => each.nodeId === nodeId);
      if (member !== undefined) session.progress(`node ${nodeId} ${catchUp(member, groups[0]!.lastIndex)}`);
      await session.pause(LOOK_MS);
    }
  } finally {
    session.progressDone();
  }
}
