/**
 * The unit of work that archives changes. Whoever has it keeps it, and writes a step after the other; what is noted behind each is enough for
 * another node to go on, and what was not noted is found at the place. A chain ends for one reason only: the past that the next step needs is gone,
 * here or at the place. Then another one begins, with a backup as soon as it can be made, and everybody is told.
 */
import {
  type BackupManifest,
  type BackupPlace,
  backupIdOf,
  beginChain,
  type ChangedCluster,
  ChangeLog,
  leadsOnFrom,
  readableBackups,
  resumeChain,
  type StoredStep,
  writeStep,
} from '../../backup/index.ts';
import {
  type Clock,
  type ErrorDisposition,
  hasCode,
  hlcTimestamp,
  KvorumError,
  type Millis,
  physicalMs,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import type { WorkContext, WorkUnit } from '../work/index.ts';
import { type ArchiveNotes, decodeArchiveNotes, encodeArchiveNotes, endOf, NO_ARCHIVE } from './archive-notes.ts';
import type { ArchiveSettings } from './settings.ts';

/** Name of the unit. */
export const ARCHIVE_UNIT = 'archive';

/** Groups whose changes are asked for at a time; each node does four of its own. */
const PARALLEL_GROUPS = 16;
/** A step that has brought so much is followed by the next one sooner, as much as it was more. */
const STEP_BYTES = 16 << 20;
/** Behind an attempt that failed, times how many there were. */
const RETRY_MS: Millis = 2_000;
const MAX_RETRY_MS: Millis = 30_000;
/** After so many failures in a row another node may try. */
const GIVE_AWAY = 5;
/** What looks damaged at the place is looked at so often before the chain is given up for it. */
const DAMAGED_LOOKS = 3;
const CHANCE_BYTES = 4;

/** Said, once, when a chain has broken off. */
export class ArchiveBrokenError extends KvorumError {
  readonly code = 'ARCHIVE_BROKEN';
  readonly disposition: ErrorDisposition = 'final';
}

/** What is known of the backups at the place. */
export interface KnownBackups {
  /** Another one when a backup was made or taken away. */
  readonly mark: string;
  /** When the last good one at the place was begun; 0 for never. */
  readonly lastMs: Millis;
  /** One is being made, or was given up a short time ago. */
  readonly isUnderWay: boolean;
}

export interface ArchiveWorkOptions {
  /** Undefined: nothing is archived, or this node was not told yet. */
  readonly settings: () => ArchiveSettings | undefined;
  /** Opens a place to write. The caller closes its store. */
  readonly open: (place: string) => Promise<BackupPlace>;
  readonly cluster: (place: string, placeId: string, signal: AbortSignal) => ChangedCluster;
  readonly clusterName: string;
  /** Of the program. */
  readonly version: string;
  readonly backups: (place: string) => Promise<KnownBackups>;
  /** Begins a backup there. */
  readonly askBackup: (place: string) => Promise<unknown>;
  /** Keeps all of the past that there still is. @returns ends that */
  readonly holdPast: () => () => void;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly onError: (error: unknown) => void;
}

/** The unit of work. */
export function archiveWork(options: ArchiveWorkOptions): WorkUnit {
  const { settings, clock, scheduler } = options;
  return {
    name: ARCHIVE_UNIT,
    isDue: (notes) => settings() !== undefined && clock.nowMs() >= decodeArchiveNotes(notes).retryAtMs,
    async run({ notes: stored, signal, save }) {
      const archiver = new Archiver(options, decodeArchiveNotes(stored), signal, save);
      try {
        for (let wanted = settings(); wanted !== undefined; wanted = settings()) {
          const begunMs = clock.nowMs();
          await archiver.step(wanted);
          await saved(archiver.notes, save, signal, options);
          if (archiver.notes.failures >= GIVE_AWAY) break;
          const waitMs = archiver.waitMs(wanted) - (clock.nowMs() - begunMs);
          await sleep(scheduler, Math.max(0, waitMs), signal);
        }
      } finally {
        await archiver.close();
      }
      return encodeArchiveNotes(archiver.notes);
    },
  };
}

/** Notes that could not be stored are found at the place. */
async function saved(
  notes: ArchiveNotes,
  save: WorkContext['save'],
  signal: AbortSignal,
  { onError }: Pick<ArchiveWorkOptions, 'onError'>,
): Promise<void> {
  try {
    await save(encodeArchiveNotes(notes));
  } catch (error) {
    signal.throwIfAborted();
    onError(error);
  }
}

/** Writes steps, as long as this node has the unit. */
class Archiver {
  private readonly options: ArchiveWorkOptions;
  private readonly signal: AbortSignal;
  private readonly save: WorkContext['save'];
  private opened: { readonly name: string; readonly place: BackupPlace } | undefined;
  /** The last step of the chain, once it was read or written here. */
  private end: StoredStep | undefined;
  notes: ArchiveNotes;

  constructor(options: ArchiveWorkOptions, notes: ArchiveNotes, signal: AbortSignal, save: WorkContext['save']) {
    this.options = options;
    this.notes = notes;
    this.signal = signal;
    this.save = save;
  }

  /** Writes one step, or notes why not. @throws what the signal was aborted with */
  async step(wanted: ArchiveSettings): Promise<void> {
    const { onError, clock } = this.options;
    this.signal.throwIfAborted();
    try {
      const log = new ChangeLog(await this.placeAt(wanted.place));
      const end = await this.endAt(log, wanted.place);
      const cluster = this.options.cluster(wanted.place, log.place.id, this.signal);
      const { random } = this.options;
      const facts = this.facts();
      this.end = await writeStep(end, { log, facts, cluster, parallel: PARALLEL_GROUPS, random, signal: this.signal });
      this.note(this.end);
      await this.lookAtBackups(log);
    } catch (error) {
      this.signal.throwIfAborted();
      onError(error);
      await this.close();
      const failures = this.notes.failures + 1;
      const retryAtMs = clock.nowMs() + Math.min(MAX_RETRY_MS, RETRY_MS * failures);
      const problem = error instanceof Error ? error.message : String(error);
      this.notes = { ...this.notes, failures, problem, retryAtMs };
      const isGone = hasCode(error, 'MOMENT_COLLECTED');
      const isDamaged = hasCode(error, 'BACKUP_DAMAGED') && failures >= DAMAGED_LOOKS;
      if (isGone || isDamaged) this.breakOff(problem);
    }
  }

  /** Until the next step, from the beginning of this one. */
  waitMs({ everyMs }: ArchiveSettings): Millis {
    const { failures, chain } = this.notes;
    if (failures > 0) return Math.min(MAX_RETRY_MS, RETRY_MS * failures);
    const bytes = chain?.lastBytes ?? 0;
    return bytes <= STEP_BYTES ? everyMs : (everyMs * STEP_BYTES) / bytes;
  }

  async close(): Promise<void> {
    const { opened } = this;
    this.opened = undefined;
    this.end = undefined;
    await opened?.place.store.close();
  }

  private facts(): Parameters<typeof beginChain>[1]['facts'] {
    const { clock, version, clusterName } = this.options;
    return { createdMs: clock.nowMs(), version, clusterName };
  }

  private async placeAt(name: string): Promise<BackupPlace> {
    if (this.opened?.name === name) return this.opened.place;
    await this.close();
    const place = await this.options.open(name);
    this.opened = { name, place };
    return place;
  }

  /** The step to go on from; of a new chain when there is none. */
  private async endAt(log: ChangeLog, place: string): Promise<StoredStep> {
    if (this.end !== undefined) return this.end;
    const { chain } = this.notes;
    // At another place everything begins anew.
    if (chain?.placeId === log.place.id) return resumeChain(log, chain.id, chain.seq, chain.sha256);
    const release = this.options.holdPast();
    try {
      return await this.begin(log, place);
    } finally {
      release();
    }
  }

  /** Begins a chain. The past behind its beginning is kept because of the notes: so they are stored before it is used. */
  private async begin(log: ChangeLog, place: string): Promise<StoredStep> {
    const { clock, random } = this.options;
    const begunMs = clock.nowMs();
    const id = backupIdOf(begunMs, random.bytes(CHANCE_BYTES));
    const cluster = this.options.cluster(place, log.place.id, this.signal);
    const first = await beginChain(id, { log, facts: this.facts(), cluster });
    const { step, sha256 } = first;
    const [from, to] = [step.from.toString(), step.to.toString()];
    const none = { seq: 0, versions: 0, lastBytes: 0 };
    const chain = { place, placeId: log.place.id, id, begunMs, from, to, sha256, ...none };
    const notes: ArchiveNotes = { ...this.notes, chain };
    await this.save(encodeArchiveNotes(notes));
    this.notes = notes;
    return first;
  }

  private note({ step, sha256 }: StoredStep): void {
    const { broken, chain } = this.notes;
    const sum = (of: 'versions' | 'bytes'): number => step.parts.reduce((total, part) => total + part[of], 0);
    this.notes = {
      ...NO_ARCHIVE,
      ...(broken && { broken }),
      chain: {
        ...chain!,
        to: step.to.toString(),
        seq: step.seq,
        sha256,
        versions: chain!.versions + sum('versions'),
        lastBytes: sum('bytes'),
      },
    };
  }

  /** Whether the chain leads on from a backup; one is asked for when it does not. */
  private async lookAtBackups(log: ChangeLog): Promise<void> {
    const { backups, askBackup, clusterName, onError } = this.options;
    const chain = this.notes.chain!;
    const known = await backups(chain.place);
    if (chain.since !== undefined && chain.backups === known.mark) return;
    const isOfChain = leadsOnFrom({ clusterName, from: hlcTimestamp(BigInt(chain.from)), to: endOf(chain) });
    const oldest: BackupManifest | undefined = (await readableBackups(log.place)).find(isOfChain);
    const { since: _, ...rest } = chain;
    const since = oldest === undefined ? {} : { since: oldest.at.toString() };
    this.notes = { ...this.notes, chain: { ...rest, ...since, backups: known.mark } };
    if (oldest !== undefined || known.isUnderWay || known.lastMs >= chain.begunMs) return;
    // It is made by whoever has that unit; this one goes on meanwhile.
    await askBackup(chain.place).catch(onError);
  }

  /** The chain does not go on. */
  private breakOff(why: string): void {
    const { chain, ...rest } = this.notes;
    if (chain === undefined) return;
    this.notes = { ...rest, broken: { atMs: this.options.clock.nowMs(), to: chain.to, why }, retryAtMs: 0 };
    const untilMs = physicalMs(endOf(chain));
    this.options.onError(
      new ArchiveBrokenError(
        `the archive of changes ${chain.id} at ${chain.place} broke off: no moment behind ${untilMs} (unix milliseconds) can be ` +
          `restored until a new backup is made; ${why}`,
      ),
    );
  }
}
