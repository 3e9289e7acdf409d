/** The place of backups as raftadmin itself reaches it: named by a flag, the environment or the cluster's schedule, with a key of one's own. */
import type { Command } from 'commander';
import {
  type BackupManifest,
  BackupPlace,
  type MomentPlan,
  openObjects,
  parsePlace,
  planMoment,
} from '../../src/backup/index.ts';
import { type HlcTimestamp, physicalMs, SystemDisk, SystemRandom, SystemScheduler } from '../../src/platform/index.ts';
import { KeySource, Secret, type WrappingKeys } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import type { Session } from './session.ts';
import { formatMoment } from './values.ts';

const PLACE_VARIABLE = 'RAFTADMIN_BACKUP_PLACE';
const KEY_VARIABLE = 'RAFTADMIN_BACKUP_KEY';
/** The word for the newest backup. */
const LATEST = 'latest';

/** Where backups are, and what opens them. */
export interface PlaceFlags {
  readonly place?: string;
  readonly keyFile?: string;
  readonly keyCommand?: string;
}

/** Adds the flags. */
export const addPlaceFlags = (command: Command): Command =>
  command
    .option(
      '--place <place>',
      `s3://bucket/prefix?endpoint=... or a folder (env ${PLACE_VARIABLE}, default: where the cluster's schedule puts them)`,
    )
    .option(
      '--key-file <file>',
      `keys that open encrypted ones, one a line (env ${KEY_VARIABLE} has the keys themselves)`,
    )
    .option('--key-command <command>', 'or a command line for the shell that prints them');

/** The place that is meant. @throws CommandFailure when nobody names one */
export async function placeOf(session: Session, named: string | undefined): Promise<string> {
  const place = named ?? (session.terminal.env[PLACE_VARIABLE] || undefined);
  if (place !== undefined) return place;
  const { place: scheduled } = await session.cluster.call('Backups', {});
  if (scheduled !== '') return scheduled;
  throw new CommandFailure('the cluster has no place for backups: name one with --place', ExitCode.Usage);
}

/** The keys at hand. @throws EncryptionKeyError */
export async function keysOf({ terminal }: Session, flags: PlaceFlags): Promise<WrappingKeys | undefined> {
  const { keyFile: file, keyCommand: command } = flags;
  if (file !== undefined && command !== undefined) {
    throw new CommandFailure('--key-command: --key-file is there too: give one of them', ExitCode.Usage);
  }
  const given = terminal.env[KEY_VARIABLE] || undefined;
  const key = given === undefined || file !== undefined || command !== undefined ? undefined : new Secret(given);
  return (await KeySource.open({ key, file, command }))?.keys;
}

/** Opens the objects at a place that somebody named. The caller closes them. */
export const openNamedObjects = (place: string): ReturnType<typeof openObjects> =>
  openObjects(parsePlace(place, process.cwd()), {
    disk: new SystemDisk(),
    random: new SystemRandom(),
    scheduler: new SystemScheduler(),
  });

/** Runs `work` over the place of the backups, opened to read. */
export async function withPlace<Result>(
  session: Session,
  flags: PlaceFlags,
  work: (place: BackupPlace) => Promise<Result>,
): Promise<Result> {
  const keys = await keysOf(session, flags);
  const store = await openNamedObjects(await placeOf(session, flags.place));
  try {
    return await work(await BackupPlace.read(store, keys, new SystemRandom()));
  } finally {
    await store.close();
  }
}

/** The id of a backup that somebody named. @throws CommandFailure when there is none */
export async function idOf(place: BackupPlace, named: string): Promise<string> {
  if (named !== LATEST) return named;
  const newest = (await place.ids()).at(-1);
  if (newest === undefined) throw new CommandFailure(`there are no backups at ${place.store.place}`);
  return newest;
}

/** How a moment is restored, from a backup that somebody named. @throws BackupError that says which moments there are */
export const backupAt = (place: BackupPlace, named: string, at: HlcTimestamp): Promise<MomentPlan> =>
  planMoment(place, at, named === LATEST ? undefined : named, (moment) => formatMoment(physicalMs(moment)));

/** A backup in JSON: timestamps are text, and of objects only the number is of interest. */
export const shownBackup = ({ id, createdMs, version, clusterName, at, dataKey, groups }: BackupManifest) => ({
  id,
  createdMs,
  version,
  clusterName,
  at: at.toString(),
  dataKey: dataKey ?? '',
  groups: groups.map(({ group, index, rows, bytes, newBytes, segments }) => {
    return { group, index, rows, bytes, newBytes, segments: segments.length };
  }),
});

/** A figure of all groups together. */
export const sumOf = ({ groups }: BackupManifest, of: 'rows' | 'bytes' | 'newBytes'): number =>
  groups.reduce((sum, group) => sum + group[of], 0);
