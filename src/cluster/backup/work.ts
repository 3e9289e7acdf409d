/**
 * The unit of work that makes backups: the one that was begun and has no end yet, the one that an operator asks for, the one whose time has
 * come. What was begun is in the notes before anything is done, so when a node dies another one goes on with the same backup, and finds what was
 * stored. Behind each backup goes what nobody wants to keep any more.
 */
import { type BackupManifest, backupIdOf, type CleanUp } from '../../backup/index.ts';
import { type Clock, dispositionOf, type Millis, type Random } from '../../platform/index.ts';
import type { WorkContext, WorkUnit } from '../work/index.ts';
import { type BackupNotes, type BegunBackup, decodeBackupNotes, encodeBackupNotes } from './notes.ts';
import { type BackupSettings, isScheduled } from './settings.ts';

/** Name of the unit. */
export const BACKUP_UNIT = 'backup';

/** A backup is tried so often; then it is given up, and said. */
const ATTEMPTS = 6;
/** Between attempts, times how many there were. */
const RETRY_MS: Millis = 15_000;
const CHANCE_BYTES = 4;

/** A backup that somebody asks for. */
export interface AskedBackup {
  readonly place: string;
}

export interface BackupWorkOptions {
  /** Undefined while this node was not told, or while not every node can take part. */
  readonly settings: () => BackupSettings | undefined;
  /** Takes what an operator has asked this node for; once. */
  readonly takeAsked: () => AskedBackup | undefined;
  /** Called when a backup is in the notes. */
  readonly onBegun: (backup: BegunBackup) => void;
  /** Makes it. @param onProgress may be called as often as there is something to say */
  readonly make: (
    backup: BegunBackup,
    onProgress: (progress: Partial<BegunBackup>) => void,
    context: WorkContext,
  ) => Promise<BackupManifest>;
  /** Takes away what the settings do not keep, as they are by then. */
  readonly cleanUp: (place: string) => Promise<CleanUp>;
  readonly clock: Clock;
  readonly random: Random;
  readonly onError: (error: unknown) => void;
}

/** When the next scheduled backup is due; undefined when none is scheduled. */
export function nextBackupMs(notes: BackupNotes, settings: BackupSettings): Millis | undefined {
  if (!isScheduled(settings)) return undefined;
  const { last, failed } = notes;
  return Math.max(last?.begunMs ?? 0, failed?.atMs ?? 0) + settings.everyMs;
}

/** The unit of work. */
export function backupWork(options: BackupWorkOptions): WorkUnit {
  const { settings, clock } = options;
  return {
    name: BACKUP_UNIT,
    isDue(bytes) {
      const wanted = settings();
      if (wanted === undefined) return false;
      const notes = decodeBackupNotes(bytes);
      if (notes.running !== undefined) return clock.nowMs() >= notes.running.retryAtMs;
      const next = nextBackupMs(notes, wanted);
      return next !== undefined && clock.nowMs() >= next;
    },
    async run(context) {
      const notes = decodeBackupNotes(context.notes);
      const backup = backupOf(notes, options);
      if (backup === undefined || settings() === undefined) return context.notes;
      return encodeBackupNotes(await runBackup(backup, notes, options, context));
    },
  };
}

function backupOf(notes: BackupNotes, options: BackupWorkOptions): BegunBackup | undefined {
  const { settings, takeAsked, clock, random } = options;
  const asked = takeAsked();
  // One at a time: who asks meanwhile is told.
  if (notes.running !== undefined) return { ...notes.running, attempt: notes.running.attempt + 1 };
  const place = asked?.place ?? settings()?.place ?? '';
  if (place === '') return undefined;
  const begunMs = clock.nowMs();
  const none = { groups: 0, groupsDone: 0, bytes: 0, doneBytes: 0, newBytes: 0, problem: '', retryAtMs: 0 };
  return { id: backupIdOf(begunMs, random.bytes(CHANCE_BYTES)), place, begunMs, attempt: 1, ...none };
}

async function runBackup(
  begun: BegunBackup,
  notes: BackupNotes,
  { make, cleanUp, onBegun, clock, onError }: BackupWorkOptions,
  context: WorkContext,
): Promise<BackupNotes> {
  const { last, failed, cleaned } = notes;
  let running = begun;
  await context.save(encodeBackupNotes({ ...notes, running }));
  onBegun(running);
  try {
    const manifest = await make(
      running,
      (progress) => {
        running = { ...running, ...progress };
      },
      {
        ...context,
        save: () => context.save(encodeBackupNotes({ ...notes, running })),
      },
    );
    const sum = (of: 'bytes' | 'newBytes'): number => manifest.groups.reduce((total, group) => total + group[of], 0);
    const made = {
      id: begun.id,
      place: begun.place,
      begunMs: begun.begunMs,
      doneMs: clock.nowMs(),
      groups: manifest.groups.length,
      bytes: sum('bytes'),
      newBytes: sum('newBytes'),
    };
    const done: BackupNotes = { last: made, ...(failed === undefined ? {} : { failed }), ...(cleaned && { cleaned }) };
    await context.save(encodeBackupNotes(done));
    return { ...done, cleaned: await cleanedUp(begun.place, cleanUp, clock, onError) };
  } catch (error) {
    // Somebody else goes on from the notes.
    context.signal.throwIfAborted();
    onError(error);
    const problem = error instanceof Error ? error.message : String(error);
    const isOver = dispositionOf(error) === 'final' || begun.attempt >= ATTEMPTS;
    const kept = { ...(last && { last }), ...(cleaned && { cleaned }) };
    if (isOver) return { ...kept, failed: { id: begun.id, place: begun.place, atMs: clock.nowMs(), problem } };
    const retryAtMs = clock.nowMs() + RETRY_MS * begun.attempt;
    return { ...kept, ...(failed && { failed }), running: { ...running, problem, retryAtMs } };
  }
}

async function cleanedUp(
  place: string,
  cleanUp: BackupWorkOptions['cleanUp'],
  clock: Clock,
  onError: (error: unknown) => void,
): Promise<NonNullable<BackupNotes['cleaned']>> {
  try {
    const { removed, objects, bytes } = await cleanUp(place);
    return { atMs: clock.nowMs(), removed: removed.length, objects, bytes, problem: '' };
  } catch (error) {
    // The backup is made all the same; the next one cleans up too.
    onError(error);
    const problem = error instanceof Error ? error.message : String(error);
    return { atMs: clock.nowMs(), removed: 0, objects: 0, bytes: 0, problem };
  }
}
