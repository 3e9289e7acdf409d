/** `accept_time`: the way out when the time of groups leads every clock, since clocks were wrong. */
import type { Command } from 'commander';
import { acceptanceOf, durationText, type GroupTime, leadOf } from '../../../src/cluster/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatTime } from '../values.ts';

/** Adds the command. */
export function addAcceptTimeCommand(program: Command, declare: Declare): void {
  const accept = program
    .command('accept_time')
    .alias('accept-time')
    .summary('let all nodes go by the time of groups that are ahead of the clocks')
    .description(
      'For groups whose time was moved ahead by clocks that were wrong: they serve, but nothing that spans them and other groups is ' +
        'done. The time of all nodes is set to that of the group that is furthest, at once, and then goes nine tenths as fast as ' +
        'the clocks until these have caught up. It cannot be taken back. Set the clocks right first: see `doctor`.',
    )
    .option('--dry-run', 'only look');
  declare(
    examples(
      accept,
      ['accept_time --dry-run', 'which groups are ahead, and by how much'],
      ['accept_time --yes', 'go by the one that is furthest'],
    ),
    async (session: Session, flags: { dryRun?: boolean }) => {
      const report = await session.cluster.call('Time', {});
      const silent = report.groups.filter(({ problem }) => problem !== '');
      if (silent.length > 0) {
        const [{ groupId, problem }] = silent as [GroupTime];
        throw new CommandFailure(`group ${groupId} does not say how far its time has come: ${problem}`);
      }
      const columns: readonly Column<GroupTime>[] = [
        { name: 'group', align: 'right', value: (group) => String(group.groupId) },
        {
          name: 'leads the clocks by',
          align: 'right',
          value: (group) => durationText(leadOf(group, report)),
        },
      ];
      if (flags.dryRun) session.rows(report, columns, report.groups);
      if (report.acceptedLeadMs > 0) {
        session.note(`time leads the clocks by ${durationText(report.acceptedLeadMs)} already, as was accepted`);
      }
      const acceptance = acceptanceOf(report);
      if (acceptance === undefined) {
        session.outcome(report, 'no group is ahead; there is nothing to accept');
        return;
      }
      const { leadMs, caughtUpAtMs } = acceptance;
      const consequences = consequencesOf(leadMs, caughtUpAtMs);
      if (flags.dryRun) {
        session.note(consequences);
        return;
      }
      await session.confirm(consequences);
      const setting = await session.cluster.call('SetSetting', {
        name: 'time.caughtUpAt',
        value: String(caughtUpAtMs),
      });
      session.outcome(
        setting,
        `the time of all nodes leads the clocks by ${durationText(leadMs)}; they will have caught up ${untilText(caughtUpAtMs)}`,
      );
    },
  );
}

/** Dates beyond this are no news to anybody. */
const LAST_DATE_MS = 253_402_300_799_000;

const untilText = (atMs: number): string => (atMs > LAST_DATE_MS ? 'in thousands of years' : `at ${formatTime(atMs)}`);

function consequencesOf(leadMs: number, caughtUpAtMs: number): string {
  const lead = durationText(leadMs);
  return (
    `The time of all nodes jumps ahead by ${lead}, and this cannot be taken back. Keys that would expire within ${lead} expire at once; ` +
    'what is older than the retention can no longer be read; transactions that are open end. ' +
    `Until the clocks have caught up, ${untilText(caughtUpAtMs)}, keys live a ninth longer than they should.`
  );
}
