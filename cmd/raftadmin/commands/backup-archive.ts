/** `backup archive`: changes between backups, so that any moment can be restored. */
import type { Command } from 'commander';
import { parsePlace } from '../../../src/backup/index.ts';
import type { ArchiveView } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatDuration, formatMoment, formatTime, parseDuration, parseLongDuration } from '../values.ts';

const DEFAULT_EVERY_MS = 10_000;
const MAX_HOLD_DAYS = 30;

interface StartFlags {
  readonly every: number;
  readonly hold?: number;
}

/** Adds the commands. */
export function addArchiveCommands(backup: Command, declare: Declare): void {
  const archive = examples(
    backup
      .command('archive')
      .summary('changes between backups, so that any moment can be restored')
      .description(
        'Every few seconds the nodes store what was committed since, at the place of the backups and under their key. From the first backup that is made ' +
          'then on every moment can be restored: `backup restore latest <data-folder> --at <moment>`.',
      ),
    ['backup archive start', "at the place of the cluster's schedule"],
    ['backup archive status', 'which moments there are'],
  );
  addStart(archive, declare);
  addStop(archive, declare);
  addStatus(archive, declare);
}

function addStart(archive: Command, declare: Declare): void {
  const start = archive
    .command('start')
    .summary('archive changes from now on')
    .description(
      'Archives changes from now on, and makes a backup that they lead on from when there is none. Started again it takes other settings. ' +
        'The past that is not archived yet is kept from collection for as long as --hold says; then the archive breaks off, which is said by a metric, ' +
        'the log and `backup list`, and begins again with another backup.',
    )
    .argument('[place]', 'where changes and scheduled backups go; default: as it is')
    .option('--every <duration>', 'between two steps, at most 1h', parseDuration, DEFAULT_EVERY_MS)
    .option(
      '--hold <duration>',
      'that the past is kept when it does not get on, such as 6h',
      parseLongDuration(MAX_HOLD_DAYS),
    );
  declare(
    examples(
      start,
      ['backup archive start s3://backups/orders', 'a step every ten seconds'],
      ['backup archive start --every 1m --hold 2d', 'fewer steps, and a place that may be away for two days'],
    ),
    async (session: Session, place: string | undefined, { every, hold }: StartFlags) => {
      if (place !== undefined) parsePlace(place);
      else if ((await session.cluster.call('Backups', {})).place === '') {
        throw new CommandFailure('there is no place for backups yet: name one');
      }
      const wanted: readonly (readonly [name: string, value: string | number | undefined])[] = [
        ['backup.place', place],
        ['backup.archiveHoldMs', hold],
        // Last, for it begins then.
        ['backup.archiveEveryMs', every],
      ];
      for (const [name, value] of wanted) {
        if (value !== undefined) await session.cluster.call('SetSetting', { name, value: String(value) });
      }
      const { archive: view } = await session.cluster.call('Backups', {});
      session.outcome(view, archiveText(view));
    },
  );
}

function addStop(archive: Command, declare: Declare): void {
  const stop = archive
    .command('stop')
    .summary('archive no more changes')
    .description(
      'What is archived stays and can be restored. Started again soon it goes on without a hole, and otherwise with another backup.',
    );
  declare(examples(stop, ['backup archive stop', 'the window ends here']), async (session: Session) => {
    await session.cluster.call('SetSetting', { name: 'backup.archiveEveryMs', value: '' });
    const { archive: view } = await session.cluster.call('Backups', {});
    session.outcome(view, archiveText(view));
  });
}

function addStatus(archive: Command, declare: Declare): void {
  const status = archive
    .command('status')
    .summary('which moments can be restored, and what is wrong')
    .description('Shows how the cluster stands with its archive of changes.');
  declare(examples(status, ['backup archive status', 'at any time']), async (session: Session) => {
    const { archive: view } = await session.cluster.call('Backups', {});
    session.outcome(view, archiveText(view));
  });
}

/** How it stands, in some lines. */
export function archiveText(view: ArchiveView): string {
  const { isOn, everyMs, holdMs, place, node, chain, steps, versions, sinceMs, untilMs, failures, problem, broken } =
    view;
  const lines: string[] = [];
  if (everyMs > 0 && !isOn)
    lines.push('the feature backups.archive is not active: every node has to be able to take part');
  else if (everyMs === 0) lines.push('changes are not archived');
  else {
    const who = node === undefined ? 'nobody is at it now' : `node ${node} is at it`;
    const kept = `the past is kept for it for ${formatDuration(holdMs)}`;
    lines.push(`changes are archived every ${formatDuration(everyMs)} at ${place}; ${who}; ${kept}`);
  }
  if (chain !== '')
    lines.push(`${chain}: ${counted(steps, 'step')}, ${counted(versions, 'version')}, up to ${formatMoment(untilMs)}`);
  if (sinceMs > 0) lines.push(`moments from ${formatMoment(sinceMs)} to ${formatMoment(untilMs)} can be restored`);
  else if (chain !== '') lines.push('no moment can be restored by it yet: it leads on from no backup');
  if (failures > 0) lines.push(`${counted(failures, 'attempt')} at the next step failed: ${problem}`);
  if (broken !== undefined) {
    lines.push(
      `the one before broke off ${formatTime(broken.atMs)}, and leads up to ${formatMoment(broken.untilMs)}: ${broken.why}`,
    );
  }
  return lines.join('\n');
}
