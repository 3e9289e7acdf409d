/** `backup`: backups outside of the cluster. It makes and schedules them; the rest needs no cluster, only their place. */
import type { Command } from 'commander';
import {
  type BackupManifest,
  BackupPlace,
  ChangeLog,
  type ChangeWindow,
  type CleanUp,
  changeWindows,
  cleanUp,
  parsePlace,
  verifyBackup,
  verifyChanges,
} from '../../../src/backup/index.ts';
import type { BackupsView } from '../../../src/cluster/index.ts';
import type { ArchiveSource } from '../../../src/node/index.ts';
import { counted, type HlcTimestamp, physicalMs, SystemRandom } from '../../../src/platform/index.ts';
import { pooledCompression } from '../../../src/store/index.ts';
import { progressBar } from '../../cli/bar.ts';
import { CommandFailure } from '../../cli/failure.ts';
import {
  addPlaceFlags,
  backupAt,
  idOf,
  keysOf,
  openNamedObjects,
  type PlaceFlags,
  placeOf,
  shownBackup,
  sumOf,
  withPlace,
} from '../backup-place.ts';
import { ExitCode } from '../exit-code.ts';
import type { Column } from '../output.ts';
import { addRestoreFlags, nodeParts, type RestoreFlags, restoreCluster } from '../restoring.ts';
import { type Declare, examples, type Session } from '../session.ts';
import {
  formatBytes,
  formatDuration,
  formatMoment,
  formatTime,
  parseLongDuration,
  parseMoment,
  wholeNumber,
} from '../values.ts';
import { addArchiveCommands, archiveText } from './backup-archive.ts';

/** Between two looks at how far a backup is. */
const LOOK_MS = 500;
const MAX_EVERY_DAYS = 31;
const MAX_KEEP_DAYS = 3_650;
const MIB = 1 << 20;

/** A moment behind a backup. */
interface MomentFlags {
  readonly at?: HlcTimestamp;
}

interface Listed {
  readonly id: string;
  readonly backup: BackupManifest | undefined;
  readonly problem: string;
  /** The last moment that changes lead to from it; undefined when they do not. */
  readonly until: HlcTimestamp | undefined;
}

const figure = (of: (backup: BackupManifest) => string) => (row: Listed) =>
  row.backup === undefined ? '-' : of(row.backup);

const COLUMNS: readonly Column<Listed>[] = [
  { name: 'backup', value: ({ id }) => id },
  { name: 'made', value: figure(({ createdMs }) => formatTime(createdMs)) },
  { name: 'cluster', value: figure(({ clusterName }) => clusterName) },
  { name: 'groups', align: 'right', value: figure(({ groups }) => String(groups.length)) },
  { name: 'rows', align: 'right', value: figure((backup) => String(sumOf(backup, 'rows'))) },
  { name: 'size', align: 'right', value: figure((backup) => formatBytes(sumOf(backup, 'bytes'))) },
  { name: 'new in it', align: 'right', value: figure((backup) => formatBytes(sumOf(backup, 'newBytes'))) },
  { name: 'encrypted', value: figure(({ dataKey }) => (dataKey === undefined ? 'no' : 'yes')) },
  { name: 'moments until', value: ({ until }) => formatMoment(until === undefined ? 0 : physicalMs(until)) },
  { name: 'problem', value: ({ problem }) => problem || '-' },
];

/** Adds the commands. */
export function addBackupCommands(program: Command, declare: Declare): void {
  const backup = examples(
    program
      .command('backup')
      .summary('backups of the whole cluster, in a bucket or a folder outside of it')
      .description(
        'The cluster makes backups of one moment while it serves: its nodes store what changed, encrypted under their key ' +
          '(settings backup.key, backup.keyFile, backup.keyCommand of each node). A place is a folder, or ' +
          's3://bucket/prefix?endpoint=URL&region=NAME&pathStyle=yes.',
      ),
    ['backup schedule s3://backups/orders --every 6h --keep 28', 'from now on'],
    ['backup create', 'one more, now'],
    ['backup list', 'what there is'],
    ['backup restore latest /var/lib/kvorum --key-file /etc/kvorum/backup.keys', 'the folder of a new cluster'],
    ['backup archive start', 'changes as well, so that any moment can be restored'],
  );
  addCreate(backup, declare);
  addStatus(backup, declare);
  addSchedule(backup, declare);
  addList(backup, declare);
  addVerify(backup, declare);
  addRestore(backup, declare);
  addDelete(backup, declare);
  addRewrap(backup, declare);
  addArchiveCommands(backup, declare);
}

function addCreate(backup: Command, declare: Declare): void {
  const create = backup
    .command('create')
    .summary('make one now')
    .description(
      'Begins a backup and waits for its end; the cluster goes on with it when this is interrupted, and when the node that makes it dies.',
    )
    .argument('[place]', "default: where the cluster's schedule puts them")
    .option('--no-wait', 'only begin it');
  declare(
    examples(
      create,
      ['backup create', 'where scheduled ones go'],
      ['backup create "s3://spare/orders?endpoint=https://s3.example.com"', 'somewhere else'],
    ),
    async (session: Session, place: string | undefined, { wait }: { wait: boolean }) => {
      const { id } = await session.cluster.call('CreateBackup', place === undefined ? {} : { place });
      if (!wait) {
        session.outcome({ id }, `backup ${id} was begun; \`backup status\` shows how far it is`);
        return;
      }
      await waitFor(session, id);
    },
  );
}

async function waitFor(session: Session, id: string): Promise<void> {
  for (;;) {
    const { running, last, failed } = await session.cluster.call('Backups', {});
    if (last?.id === id) {
      session.progressDone();
      const { groups, bytes, newBytes, begunMs, doneMs, place } = last;
      session.outcome(
        last,
        `backup ${id} of ${counted(groups, 'group')} is at ${place}: ${formatBytes(bytes)}, of which ${formatBytes(newBytes)} were new, ` +
          `in ${formatDuration(doneMs - begunMs)}`,
      );
      return;
    }
    if (failed?.id === id) {
      session.progressDone();
      throw new CommandFailure(`backup ${id} was given up: ${failed.problem}`);
    }
    if (running?.id === id) session.progress(progressOf(running));
    await session.pause(LOOK_MS);
  }
}

function progressOf({
  groups,
  groupsDone,
  bytes,
  doneBytes,
  attempt,
  problem,
}: NonNullable<BackupsView['running']>): string {
  // Groups count, since those that were not begun have no bytes yet.
  const share = groups === 0 ? 0 : Math.min(1, (groupsDone + (bytes === 0 ? 0 : doneBytes / bytes)) / (groups + 1));
  const again = attempt > 1 ? `, attempt ${attempt} after: ${problem}` : '';
  return `${progressBar(share)}  ${groupsDone} of ${counted(groups, 'group')}, ${formatBytes(doneBytes)} of ${formatBytes(bytes)}${again}`;
}

function addStatus(backup: Command, declare: Declare): void {
  const status = backup
    .command('status')
    .summary('the backup under way, the last one, what is scheduled')
    .description('Shows how the cluster stands with its backups.');
  declare(examples(status, ['backup status', 'at any time']), async (session: Session) => {
    const view = await session.cluster.call('Backups', {});
    session.outcome(view, statusText(view));
  });
}

function statusText({ isActive, running, last, failed, cleaned, archive, ...schedule }: BackupsView): string {
  const lines: string[] = [];
  if (!isActive) lines.push('the feature backups is not active: none are made until every node can take part');
  if (running !== undefined) {
    const who = running.node === undefined ? 'nobody is at it now' : `node ${running.node} makes it`;
    lines.push(`${running.id}: ${who}, ${progressOf(running)}`);
  }
  if (last === undefined) lines.push('none was made yet');
  else {
    const { id, place, begunMs, bytes, newBytes } = last;
    lines.push(`last good one: ${id}, begun ${formatTime(begunMs)}, at ${place}`);
    lines.push(`  ${formatBytes(bytes)}, of which ${formatBytes(newBytes)} were new`);
  }
  if (failed !== undefined)
    lines.push(`last one that was given up: ${failed.id}, ${formatTime(failed.atMs)}: ${failed.problem}`);
  if (cleaned !== undefined) {
    const what = `${counted(cleaned.removed, 'backup')} and ${counted(cleaned.objects, 'object')} (${formatBytes(cleaned.bytes)}) taken away`;
    lines.push(`last clean-up: ${formatTime(cleaned.atMs)}, ${cleaned.problem || what}`);
  }
  lines.push(scheduleText(schedule), archiveText(archive));
  return lines.join('\n');
}

function scheduleText(
  schedule: Pick<BackupsView, 'place' | 'everyMs' | 'keepCount' | 'keepMs' | 'bytesPerSecond' | 'nextMs'>,
): string {
  const { place, everyMs, keepCount, keepMs, bytesPerSecond, nextMs } = schedule;
  if (place === '' || everyMs === 0) return 'none are scheduled';
  const age = keepMs === 0 ? '' : ` and all of the last ${formatDuration(keepMs)}`;
  return (
    `scheduled: every ${formatDuration(everyMs)} to ${place}, at most ${formatBytes(bytesPerSecond)} a second and node; ` +
    `the newest ${keepCount}${age} are kept; next ${formatTime(nextMs)}`
  );
}

interface ScheduleFlags {
  readonly every?: number;
  readonly keep?: number;
  readonly keepFor?: number;
  readonly rate?: number;
  readonly off?: boolean;
}

function addSchedule(backup: Command, declare: Declare): void {
  const schedule = backup
    .command('schedule')
    .summary('have the cluster make them by itself')
    .description(
      'Sets where, how often and how long. What is not named stays as it is; without anything it shows what holds. ' +
        'Every node has to reach the place, with credentials of its own, and to have the key.',
    )
    .argument('[place]', 'where they go')
    .option('--every <duration>', 'between two, such as 6h', parseLongDuration(MAX_EVERY_DAYS))
    .option('--keep <count>', 'the newest ones are kept', wholeNumber(1, 10_000))
    .option('--keep-for <duration>', 'and all that are younger, such as 30d', parseLongDuration(MAX_KEEP_DAYS))
    .option('--rate <MiB>', 'that a node stores a second', wholeNumber(1, 16_384))
    .option('--off', 'make none by itself any more');
  declare(
    examples(
      schedule,
      ['backup schedule s3://backups/orders --every 6h --keep 28 --keep-for 30d', 'four a day'],
      ['backup schedule --off', 'no more'],
    ),
    async (session: Session, place: string | undefined, flags: ScheduleFlags) => {
      if (place !== undefined) parsePlace(place);
      const wanted: readonly (readonly [name: string, value: string | number | undefined])[] = [
        ['backup.place', place],
        ['backup.keepCount', flags.keep],
        ['backup.keepMs', flags.keepFor],
        ['backup.bytesPerSecond', flags.rate === undefined ? undefined : flags.rate * MIB],
        // Last, for they are made from then on.
        ['backup.everyMs', flags.off === true ? '' : flags.every],
      ];
      for (const [name, value] of wanted) {
        if (value !== undefined) await session.cluster.call('SetSetting', { name, value: String(value) });
      }
      const view = await session.cluster.call('Backups', {});
      session.outcome(view, scheduleText(view));
    },
  );
}

function addList(backup: Command, declare: Declare): void {
  const list = addPlaceFlags(
    backup
      .command('list')
      .summary('which backups there are')
      .description(
        'Lists backups, newest first, and up to which moment changes lead on from each. Needs no key; `verify` reads all of one.',
      ),
  );
  declare(examples(list, ['backup list', "at the cluster's place"]), async (session: Session, flags: PlaceFlags) => {
    const found = await withPlace(session, flags, async (place) => {
      const read: Pick<Listed, 'id' | 'backup' | 'problem'>[] = [];
      for (const id of await place.ids()) {
        try {
          read.push({ id, backup: await place.manifest(id), problem: '' });
        } catch (error) {
          read.push({ id, backup: undefined, problem: (error as Error).message });
        }
      }
      const whole = read.flatMap(({ backup: one }) => (one === undefined ? [] : [one]));
      const windows = await changeWindows(new ChangeLog(place), whole);
      for (const window of windows) session.note(windowText(window));
      const untilOf = (id: string): HlcTimestamp | undefined =>
        windows.findLast(({ backups }) => backups.some((one) => one.id === id))?.to;
      return read.map((one): Listed => ({ ...one, until: untilOf(one.id) })).reverse();
    });
    const value = found.map(({ id, backup: one, problem, until }) =>
      one === undefined ? { id, problem } : { ...shownBackup(one), until: until?.toString() ?? '' },
    );
    session.rows(value, COLUMNS, found);
  });
}

/** What a chain of changes is good for, when that is not all that it should be. */
function windowText({ chain, clusterName, to, backups, problem }: ChangeWindow): string {
  if (problem !== '') return `the archive of changes ${chain} is damaged: ${problem}`;
  const until = formatMoment(physicalMs(to));
  if (backups.length === 0) return `the changes ${chain} of ${clusterName}, up to ${until}, lead on from no backup`;
  return `of ${clusterName} every moment from ${formatMoment(physicalMs(backups[0]!.at))} to ${until} can be restored`;
}

const AT_FLAG = [
  '--at <moment>',
  'such as 2026-01-02T03:04:05.678Z; default: that of the backup',
  parseMoment,
] as const;

function addVerify(backup: Command, declare: Declare): void {
  const verify = addPlaceFlags(
    backup
      .command('verify')
      .summary('read every byte of one')
      .description(
        'Proves that a backup is whole, opens with the key and matches its hashes; names each object that is damaged.',
      )
      .argument('<id>', 'of a backup, or latest')
      .option(...AT_FLAG),
  );
  declare(
    examples(
      verify,
      ['backup verify latest --key-file /etc/kvorum/backup.keys', 'before it is needed'],
      ['backup verify latest --at 2026-01-02T03:04:05Z', 'with the changes that lead to a moment'],
    ),
    async (session: Session, named: string, flags: PlaceFlags & MomentFlags) => {
      await withPlace(session, flags, async (place) => {
        const plan = flags.at === undefined ? undefined : await backupAt(place, named, flags.at);
        const one = plan?.backup ?? (await place.readable(await idOf(place, named)));
        const check = await verifyBackup({
          place,
          backup: one,
          onBytes: (done, total) => session.progress(progressBar(total === 0 ? 1 : done / total)),
          signal: session.terminal.interrupted,
        });
        const changes = plan && (await verifyChanges(plan, { compression: pooledCompression }));
        session.progressDone();
        const { objects, rows, bytes } = check;
        const problems = [...check.problems, ...(changes?.problems ?? [])];
        if (problems.length > 0) {
          for (const problem of problems) session.note(problem);
          throw new CommandFailure(
            `backup ${one.id} is damaged: ${counted(problems.length, 'problem')}, and it must not be restored`,
          );
        }
        session.outcome(
          { backup: shownBackup(one), ...check, ...(changes && { changes }) },
          `backup ${one.id} is sound: ${counted(one.groups.length, 'group')}, ${counted(objects, 'object')}, ${counted(rows, 'row')}, ${formatBytes(bytes)}` +
            (changes === undefined
              ? ''
              : `, and behind it ${counted(changes.steps, 'step')} with ${counted(changes.versions, 'version')}`),
        );
      });
    },
  );
}

function addRestore(backup: Command, declare: Declare): void {
  const restore = addRestoreFlags(
    addPlaceFlags(
      backup
        .command('restore')
        .summary('make a data folder of a new cluster from one')
        .description(
          'Proves a backup and writes the data folder of one node of a new cluster, whose timestamps begin above those of the old one. ' +
            'With several members, run it for each of them with the incarnation that the first one prints. The old cluster must be stopped for good. ' +
            'With --at it goes on by archived changes to that moment: data is as it was then, groups, ranges and settings are as in the backup.',
        )
        .argument('<id>', 'of a backup, or latest; with --at that is the latest one at or before the moment')
        .argument('<data-folder>', 'absent or empty')
        .option(...AT_FLAG),
    ),
  );
  declare(
    examples(
      restore,
      ['backup restore latest ./data --place s3://backups/orders --yes', 'then: kvorum server --data-folder ./data'],
      ['backup restore latest ./n2 --node-id 2 --members 1,2,3 --incarnation 1767225600000', 'the second of three'],
      ['backup restore latest ./data --at 2026-01-02T03:04:05.678Z --yes', 'right before a mistake'],
    ),
    async (session: Session, named: string, dataFolder: string, flags: PlaceFlags & RestoreFlags & MomentFlags) => {
      await withPlace(session, flags, async (place) => {
        await restoreCluster(session, await sourceOf(session, place, named, flags.at), dataFolder, flags);
      });
    },
  );
}

async function sourceOf(
  session: Session,
  place: BackupPlace,
  named: string,
  at: HlcTimestamp | undefined,
): Promise<ArchiveSource> {
  const { backupSource, momentSource } = await nodeParts();
  if (at === undefined) return backupSource(place, await place.readable(await idOf(place, named)));
  return momentSource(await backupAt(place, named, at), {
    compression: pooledCompression,
    onStep: (done, total) => session.progress(`${progressBar(done / total)}  step ${done + 1} of ${total}`),
    signal: session.terminal.interrupted,
  });
}

function addDelete(backup: Command, declare: Declare): void {
  const remove = addPlaceFlags(
    backup
      .command('delete')
      .summary('take backups away, and what only they needed')
      .description(
        'Takes backups away and then every object that no backup names any more; without an id only those. Reads every manifest first, and deletes ' +
          'nothing when one cannot be read, or while a backup is being made. Needs no key.',
      )
      .argument('[ids...]', 'of backups'),
  );
  declare(
    examples(
      remove,
      ['backup delete 20260102T030405Z-1f3a5c7e --yes', 'one of them'],
      ['backup delete --yes', 'what attempts have left that never became a backup'],
    ),
    async (session: Session, ids: readonly string[], flags: PlaceFlags) => {
      const done = await withPlace(session, flags, async (place): Promise<CleanUp> => {
        for (const id of ids) await place.manifest(id);
        const what = ids.length === 0 ? 'What no backup needs' : `Backups ${ids.join(', ')}, and what only they need,`;
        await session.confirm(`${what} will be deleted from ${place.store.place}, for good.`);
        return cleanUp({
          place,
          choose: () => ids,
          nowMs: () => Date.now(),
          random: new SystemRandom(),
          onObject: (at, total) => session.progress(`${progressBar(at / total)} objects`),
        });
      });
      session.progressDone();
      const { removed, steps, objects, bytes } = done;
      const changes = steps === 0 ? '' : `, ${counted(steps, 'step')} of archives of changes`;
      session.outcome(
        done,
        `deleted ${counted(removed.length, 'backup')}${changes} and ${counted(objects, 'object')}: ${formatBytes(bytes)}`,
      );
    },
  );
}

function addRewrap(backup: Command, declare: Declare): void {
  const rewrap = addPlaceFlags(
    backup
      .command('rewrap')
      .summary('change the key of all backups')
      .description(
        'Wraps the keys of the place with the first of the keys that are given, which takes moments: no backup is written again. Put the new key in ' +
          'front of the old one on every node, run this, and take the old one out with --retire; without --retire both open the backups.',
      )
      .option('--retire', 'the other keys open nothing any more'),
  );
  declare(
    examples(
      rewrap,
      ['backup rewrap --key-file backup.keys', 'the new key, above the old one'],
      ['backup rewrap --key-file backup.keys --retire --yes', 'only the first one opens them'],
    ),
    async (session: Session, flags: PlaceFlags & { retire?: boolean }) => {
      const keys = await keysOf(session, flags);
      if (keys === undefined) throw new CommandFailure('give the keys, the new one first', ExitCode.Usage);
      const retired = flags.retire === true;
      const store = await openNamedObjects(await placeOf(session, flags.place));
      try {
        if (retired) await session.confirm(`Only key ${keys.name} will open the backups at ${store.place}.`);
        const count = await BackupPlace.rewrap(store, keys, retired, new SystemRandom());
        session.outcome(
          { keys: count, name: keys.name, retired },
          `key ${keys.name} wraps ${counted(count, 'key')} at ${store.place}${retired ? ', and no other does' : ''}`,
        );
      } finally {
        await store.close();
      }
    },
  );
}
