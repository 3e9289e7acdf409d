/** `groups`: which Raft groups there are. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { GroupView } from '../../../src/cluster/index.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatTime, parseGroupId, parseNodeId, parseNodeIds, parseRequestName } from '../values.ts';

/** The server stops counting here. */
const MAX_COUNTED = 256;

const COLUMNS: readonly Column<GroupView>[] = [
  { name: 'group', align: 'right', value: (group) => String(group.id) },
  { name: 'state', value: (group) => group.state },
  { name: 'leader', align: 'right', value: (group) => String(group.leader ?? '-') },
  { name: 'preferred', align: 'right', value: (group) => String(group.preferredLeader ?? '-') },
  { name: 'founders', value: (group) => group.founders.join(',') },
  {
    name: 'routes',
    align: 'right',
    value: (group) => (group.routeCount >= MAX_COUNTED ? `${MAX_COUNTED}+` : String(group.routeCount)),
  },
  { name: 'created', value: (group) => formatTime(group.createdMs) },
];

/** Adds the commands. */
export function addGroupCommands(program: Command, declare: Declare): void {
  const groups = examples(
    program
      .command('groups')
      .summary('list, create and remove Raft groups')
      .description('A group replicates the ranges that `routes move` gives to it. Ids are never used again.'),
    ['groups list', 'all of them'],
    ['groups create 1,2,3', 'one more, on three nodes'],
    ['groups remove 7 --yes', 'one that owns nothing any more'],
  );

  const list = groups
    .command('list')
    .summary('which groups there are')
    .description('Lists the groups of the catalog. leader: as far as the asked node knows.');
  declare(
    examples(list, ['groups list', 'all groups'], ['groups list -w json', 'for a program']),
    async (session: Session) => {
      const reply = await session.cluster.call('ListGroups', {});
      session.rows(reply.groups, COLUMNS, reply.groups);
    },
  );

  const create = groups
    .command('create')
    .summary('add a group')
    .description('The named nodes become its first voters. It owns nothing until a route is moved to it.')
    .argument('<nodes>', 'its founders, such as 1,2,3', parseNodeIds)
    .option('--id <group>', 'its id; otherwise the next free one', parseGroupId)
    .option('--preferred-leader <node>', 'where its leader should be', parseNodeId)
    .option('--request-id <hex>', 'name of an earlier request whose answer was lost', parseRequestName);
  declare(
    examples(create, ['groups create 1,2,3 --preferred-leader 2', 'three replicas, led by node 2 when all is well']),
    async (
      session: Session,
      founders: number[],
      flags: { id?: number; preferredLeader?: number; requestId?: Buffer },
    ) => {
      const requestId = flags.requestId ?? randomBytes(16);
      if (session.format === 'table') session.note(`request ${requestId.toString('hex')}`);
      const group = await session.cluster.call('CreateGroup', { founders, ...flags, requestId });
      session.outcome(group, `group ${group.id} was created on nodes ${group.founders.join(', ')}`);
    },
  );

  const remove = groups
    .command('remove')
    .summary('remove a group that owns nothing')
    .description(
      'Its replicas and what is left of their data are deleted on all nodes. Refused while a route or a job names it.',
    )
    .argument('<group>', 'id of the group', parseGroupId);
  declare(examples(remove, ['groups remove 7', 'asks before it does it']), async (session: Session, id: number) => {
    await session.confirm(`Group ${id} and what is left of its data will be deleted on all nodes, for good.`);
    const group = await session.cluster.call('RemoveGroup', { id });
    session.outcome(group, `group ${group.id} was removed`);
  });
}
